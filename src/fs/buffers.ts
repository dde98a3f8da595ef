/** Two sizes are kept for the next one who needs them: as large as most extents, and as several together. */
const CLASSES = [
  { byteLength: 131_072 + 65_536, most: 32 },
  { byteLength: 1 << 20, most: 8 },
] as const;

/** Buffers that are used again: a fresh one costs its zeroing, and the collector's work. */
export class Buffers {
  readonly #free = CLASSES.map((): ArrayBufferLike[] => []);

  /** Bytes that hold scrap. */
  take(byteLength: number): Uint8Array {
    const index = CLASSES.findIndex((kept) => byteLength <= kept.byteLength);
    if (index < 0) return new Uint8Array(byteLength);
    return new Uint8Array(this.#free[index]!.pop() ?? new ArrayBuffer(CLASSES[index]!.byteLength), 0, byteLength);
  }

  /** Nobody may look at `bytes` any more. */
  give({ buffer }: Uint8Array): void {
    const index = CLASSES.findIndex((kept) => buffer.byteLength === kept.byteLength);
    if (index >= 0 && this.#free[index]!.length < CLASSES[index]!.most) this.#free[index]!.push(buffer);
  }
}
