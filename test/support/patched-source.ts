import type { ByteSource } from "../../src/device/source.ts";

/** A source some bytes of which are others; read without waiting, as a file is. */
export class PatchedSource implements ByteSource {
  readonly name = "patched";
  readonly #source: ByteSource;
  readonly #patches: { readonly at: number; readonly data: Uint8Array }[] = [];

  /** @param source One that has `readSync`. */
  constructor(source: ByteSource) {
    this.#source = source;
  }

  get size(): number {
    return this.#source.size;
  }

  patch(at: number, data: Uint8Array): void {
    this.#patches.push({ at, data });
  }

  async read(at: number, target: Uint8Array): Promise<void> {
    this.readSync(at, target);
  }

  readSync(at: number, target: Uint8Array): void {
    this.#source.readSync!(at, target);
    for (const { at: start, data } of this.#patches) {
      const from = Math.max(start, at);
      const to = Math.min(start + data.byteLength, at + target.byteLength);
      if (from < to) target.set(data.subarray(from - start, to - start), from - at);
    }
  }
}
