import { viewOf } from "../bytes/bytes.ts";

/** Takes bytes in order. A chunk is lent until the promise settles; the next one is given after that. */
export interface ByteSink {
  write(chunk: Uint8Array): void | Promise<void>;
}

interface Chunk {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** Gathers small pieces into chunks. Filling is synchronous; `drain` and `flush` wait for the sink. */
export class ChunkBuffer {
  /** Room for what is being written: `reserve` first, then write at `used` and move it. */
  bytes: Uint8Array;
  view: DataView;
  used = 0;

  readonly #sink: ByteSink;
  readonly #chunkBytes: number;
  readonly #full: Chunk[] = [];
  readonly #free: Uint8Array[] = [];
  #underWay: Promise<void> | undefined;

  constructor(sink: ByteSink, chunkBytes: number) {
    this.#sink = sink;
    this.#chunkBytes = chunkBytes;
    this.bytes = this.#empty();
    this.view = viewOf(this.bytes);
  }

  /** Bytes in memory that the sink has not been given yet. */
  get pendingBytes(): number {
    return this.#full.reduce((sum, { length }) => sum + length, this.used);
  }

  /** Makes room for `length` bytes behind `used`. `bytes` and `view` may become others. */
  reserve(length: number): void {
    if (this.used + length <= this.bytes.byteLength) return;
    const larger = new Uint8Array(Math.max(2 * this.bytes.byteLength, this.used + length));
    larger.set(this.bytes.subarray(0, this.used));
    this.bytes = larger;
    this.view = viewOf(larger);
  }

  /** What is there so far may be cut off here: queued, once it makes a chunk. */
  boundary(): void {
    if (this.used < this.#chunkBytes) return;
    this.#full.push({ bytes: this.bytes, length: this.used });
    this.bytes = this.#empty();
    this.view = viewOf(this.bytes);
    this.used = 0;
  }

  /** Gives whole chunks to the sink. One may still be under way afterwards, so that making the next overlaps with it. */
  async drain(): Promise<void> {
    while (this.#full.length > 0) {
      await this.#settled();
      const { bytes, length } = this.#full.shift()!;
      const work = this.#sink.write(bytes.subarray(0, length));
      if (work === undefined) this.#recycle(bytes);
      else {
        this.#underWay = work.then(() => this.#recycle(bytes));
        // Reported by the next `drain` or `flush`; until then it is no unhandled rejection.
        this.#underWay.catch(() => {});
      }
    }
  }

  /** Gives everything to the sink, and waits until it has taken it. */
  async flush(): Promise<void> {
    await this.drain();
    await this.#settled();
    if (this.used === 0) return;
    await this.#sink.write(this.bytes.subarray(0, this.used));
    this.used = 0;
  }

  async #settled(): Promise<void> {
    await this.#underWay;
    this.#underWay = undefined;
  }

  #recycle(bytes: Uint8Array): void {
    // A buffer that had grown for one command is not kept.
    if (bytes.byteLength === this.#bufferBytes && this.#free.length < 2) this.#free.push(bytes);
  }

  #empty(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(this.#bufferBytes);
  }

  /** The command that fills a chunk ends behind its limit. */
  get #bufferBytes(): number {
    return this.#chunkBytes + 256 * 1024;
  }
}
