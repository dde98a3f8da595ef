import type { ByteStore } from "../device/source.ts";
import type { FillingChunk } from "./space.ts";

/** Writes under way at most. */
const MAX_PENDING = 6;

/** Writes to all copies of a chunk, a few at a time. */
export class ImageWriter {
  readonly #store: ByteStore;
  readonly #isGrowing: boolean;
  readonly #pending = new Set<Promise<void>>();
  #failure: { readonly cause: unknown } | undefined;

  /** @param isGrowing Makes the store longer as it is needed. */
  constructor(store: ByteStore, isGrowing: boolean) {
    this.#store = store;
    this.#isGrowing = isGrowing;
  }

  /**
   * Starts to write `data` to `[logical, …)` of a chunk.
   *
   * @param done Called when `data` is no longer used.
   */
  write(chunk: FillingChunk, logical: number, data: Uint8Array, done?: () => void): void {
    const writing = this.#writeCopies(chunk, logical, data)
      .catch((cause: unknown) => {
        this.#failure ??= { cause };
      })
      .finally(() => {
        this.#pending.delete(writing);
        done?.();
      });
    this.#pending.add(writing);
  }

  /** Resolves when there is room for more, or, with `all`, when nothing is under way. @throws what a write did. */
  async settle(all = false): Promise<void> {
    while (this.#pending.size > (all ? 0 : MAX_PENDING)) await Promise.race(this.#pending);
    if (this.#failure !== undefined) {
      // Nothing may be written behind the back of who cleans up.
      await Promise.all(this.#pending);
      throw this.#failure.cause;
    }
  }

  async #writeCopies(chunk: FillingChunk, logical: number, data: Uint8Array): Promise<void> {
    for (const physical of chunk.physical) {
      const at = physical + logical - chunk.start;
      if (this.#isGrowing && this.#store.size < at + data.byteLength) await this.#grow(chunk);
      await this.#store.write(at, data);
    }
  }

  #growing: Promise<void> = Promise.resolve();

  /** To where the chunk ends: a file does not take the space before it is written. */
  #grow(chunk: FillingChunk): Promise<void> {
    this.#growing = this.#growing.then(() => {
      const end = chunk.physical.at(-1)! + chunk.length;
      return this.#store.size < end ? this.#store.resize(end) : undefined;
    });
    return this.#growing;
  }
}
