import { foldableBytes } from "#checksum";

/** Two sizes are kept for the next one who needs them: for one extent or a run of small ones, and for a large read. */
const KEPT = [
  { slotBytes: 256 * 1024, slots: 8 },
  { slotBytes: 1 << 20, slots: 2 },
] as const;
/** Of each size: no more than 8 MiB. */
const MOST_ARENAS = 4;

/**
 * Buffers that are used again: a fresh one costs its zeroing, and the collector's work. They begin at a page, which a bare
 * `Uint8Array` seldom does: there the kernel copies five times as fast (an AMD Zen 3: 8 GB/s for 1.6). And their CRC-32C
 * is taken in place.
 */
export class Buffers {
  readonly #pools = KEPT.map(({ slotBytes, slots }) => new Pool(slotBytes, slots));

  /** Bytes that hold scrap. */
  take(byteLength: number): Uint8Array {
    const pool = this.#pools.find(({ slotBytes }) => byteLength <= slotBytes);
    return pool?.take(byteLength) ?? new Uint8Array(byteLength);
  }

  /** What `take` gave. Nobody may look at `bytes` any more. */
  give(bytes: Uint8Array): void {
    for (const pool of this.#pools) if (pool.owns(bytes)) pool.give(bytes);
  }
}

/** Slots of one size, cut from a few arenas. */
class Pool {
  readonly slotBytes: number;
  readonly #slots: number;
  readonly #arenas = new Set<ArrayBufferLike>();
  readonly #free: Uint8Array[] = [];

  constructor(slotBytes: number, slots: number) {
    this.slotBytes = slotBytes;
    this.#slots = slots;
  }

  take(byteLength: number): Uint8Array | undefined {
    if (this.#free.length === 0 && this.#arenas.size < MOST_ARENAS) this.#addArena();
    return this.#free.pop()?.subarray(0, byteLength);
  }

  owns({ buffer }: Uint8Array): boolean {
    return this.#arenas.has(buffer);
  }

  give({ buffer, byteOffset }: Uint8Array): void {
    this.#free.push(new Uint8Array(buffer, byteOffset, this.slotBytes));
  }

  #addArena(): void {
    const arena = foldableBytes(this.#slots * this.slotBytes);
    this.#arenas.add(arena.buffer);
    for (let slot = this.#slots; slot > 0; slot--) {
      this.#free.push(arena.subarray((slot - 1) * this.slotBytes, slot * this.slotBytes));
    }
  }
}
