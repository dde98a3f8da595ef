/** Bytes of a buffer that is kept for the next one who needs some; as large as most extents. */
const KEPT_BYTES = 131_072 + 65_536;
const MAX_KEPT = 32;

/** Buffers that are used again: a fresh one costs its zeroing, and the collector's work. */
export class Buffers {
  readonly #free: ArrayBufferLike[] = [];

  /** Bytes that hold scrap. */
  take(byteLength: number): Uint8Array {
    if (byteLength > KEPT_BYTES) return new Uint8Array(byteLength);
    return new Uint8Array(this.#free.pop() ?? new ArrayBuffer(KEPT_BYTES), 0, byteLength);
  }

  /** Nobody may look at `bytes` any more. */
  give({ buffer }: Uint8Array): void {
    if (buffer.byteLength === KEPT_BYTES && this.#free.length < MAX_KEPT) this.#free.push(buffer);
  }
}
