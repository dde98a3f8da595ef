/** Written at a time. */
const BUFFER_BYTES = 1 << 20;
/** Writes that may be under way at once: as many as the host has threads for them. */
const MAX_FLYING = 4;
/** After so many bytes the devices are to begin with making them durable: at the commit little is left to wait for. */
const FLUSH_EVERY_BYTES = 64 << 20;

interface Buffer {
  readonly bytes: Uint8Array;
  logical: number;
  used: number;
}

/**
 * Data on its way to the devices. What lies together is written together, while the next is gathered. A write that fails
 * fails the transaction: whoever waits next hears of it.
 */
export class WriteBehind {
  readonly #write: (logical: number, data: Uint8Array) => Promise<void>;
  readonly #idle: Buffer[] = [];
  readonly #flying = new Set<Promise<void>>();
  #filling: Buffer | undefined;
  #failure: { readonly error: unknown } | undefined;
  readonly #flush: () => Promise<void>;
  #unflushed = 0;
  #flushing: Promise<void> | undefined;
  /** Nobody knows what is on the devices then. */
  flushFailure: { readonly error: unknown } | undefined;

  constructor(write: (logical: number, data: Uint8Array) => Promise<void>, flush: () => Promise<void>) {
    this.#write = write;
    this.#flush = flush;
  }

  /** Nothing more should be given before `room` has resolved: it would have to be kept in memory. */
  get isBusy(): boolean {
    return this.#flying.size >= MAX_FLYING;
  }

  get isEmpty(): boolean {
    return this.#flying.size === 0 && this.#filling === undefined && this.#failure === undefined;
  }

  /** @returns Where to put the first bytes of `length` at `logical`, before the next call: some of them may not fit. */
  place(logical: number, length: number): Uint8Array {
    let buffer = this.#filling;
    if (buffer === undefined || buffer.logical + buffer.used !== logical || buffer.used === BUFFER_BYTES) {
      this.#send();
      buffer = this.#idle.pop() ?? { bytes: new Uint8Array(BUFFER_BYTES), logical, used: 0 };
      buffer.logical = logical;
      buffer.used = 0;
      this.#filling = buffer;
    }
    const at = buffer.used;
    buffer.used = Math.min(at + length, BUFFER_BYTES);
    return buffer.bytes.subarray(at, buffer.used);
  }

  /** Waits until fewer writes are under way. @throws what a write threw. */
  async room(): Promise<void> {
    while (this.isBusy) await Promise.race(this.#flying);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Writes what was gathered, and waits for all. @throws what a write threw. */
  async drain(): Promise<void> {
    this.#send();
    await Promise.all(this.#flying);
    await this.#flushing;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Forgets what was gathered, and waits for what is under way: it would land in what is handed out next. */
  async settle(): Promise<void> {
    this.#filling = undefined;
    await Promise.all(this.#flying);
    await this.#flushing;
  }

  #send(): void {
    const buffer = this.#filling;
    if (buffer === undefined) return;
    this.#filling = undefined;
    const flight: Promise<void> = this.#write(buffer.logical, buffer.bytes.subarray(0, buffer.used))
      .catch((error) => {
        this.#failure ??= { error };
      })
      .then(() => {
        this.#flying.delete(flight);
        this.#idle.push(buffer);
        this.#noteWritten(buffer.used);
      });
    this.#flying.add(flight);
  }

  /** A device that fails to make something durable may say so only once: it counts as a write that failed. */
  #noteWritten(bytes: number): void {
    this.#unflushed += bytes;
    if (this.#unflushed < FLUSH_EVERY_BYTES || this.#flushing !== undefined) return;
    this.#unflushed = 0;
    this.#flushing = this.#flush()
      .catch((error) => {
        this.flushFailure = { error };
        this.#failure ??= { error };
      })
      .then(() => {
        this.#flushing = undefined;
      });
  }
}
