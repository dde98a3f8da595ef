import { checkBounds } from "./bounds.ts";
import type { ByteSource, ByteStore } from "./source.ts";

const PAGE_BYTES = 16384;

/**
 * A store whose writes stay in memory, in front of a source that is only read: for dry runs and for tests.
 *
 * Memory grows with the pages of 16 KiB that were written.
 */
export class OverlayDevice implements ByteStore {
  readonly name: string;
  readonly #base: ByteSource;
  readonly #pages = new Map<number, Uint8Array>();
  #size: number;
  /** Bytes from here on are no longer the base's: it was shrunk to this once, or ends here. */
  #baseEnd: number;

  constructor(base: ByteSource) {
    this.#base = base;
    this.#size = base.size;
    this.#baseEnd = base.size;
    this.name = base.name;
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of memory that written pages take. */
  get writtenBytes(): number {
    return this.#pages.size * PAGE_BYTES;
  }

  async read(at: number, target: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<void> {
    checkBounds(this, at, target.byteLength);
    await this.#readBase(at, target, options);
    if (this.#pages.size === 0) return;
    this.#eachPage(at, target.byteLength, (index, from, to, position) => {
      const page = this.#pages.get(index);
      if (page !== undefined) target.set(page.subarray(from, to), position);
    });
  }

  async write(at: number, data: Uint8Array): Promise<void> {
    checkBounds(this, at, data.byteLength);
    const fresh = new Map<number, Uint8Array>();
    this.#eachPage(at, data.byteLength, (index) => {
      if (!this.#pages.has(index)) fresh.set(index, new Uint8Array(PAGE_BYTES));
    });
    for (const [index, page] of fresh) {
      const start = index * PAGE_BYTES;
      await this.#readBase(start, page.subarray(0, Math.min(PAGE_BYTES, this.#size - start)));
    }
    // Another write may have made the page meanwhile.
    for (const [index, page] of fresh) if (!this.#pages.has(index)) this.#pages.set(index, page);
    this.#eachPage(at, data.byteLength, (index, from, to, position) => {
      this.#pages.get(index)!.set(data.subarray(position, position + to - from), from);
    });
  }

  async flush(): Promise<void> {}

  async resize(size: number): Promise<void> {
    for (const [index, page] of this.#pages) {
      const keep = size - index * PAGE_BYTES;
      if (keep <= 0) this.#pages.delete(index);
      else if (keep < PAGE_BYTES) page.fill(0, keep);
    }
    this.#baseEnd = Math.min(this.#baseEnd, size);
    this.#size = size;
  }

  async close(): Promise<void> {
    await this.#base.close?.();
  }

  async #readBase(at: number, target: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<void> {
    const known = Math.max(0, Math.min(target.byteLength, this.#baseEnd - at));
    target.fill(0, known);
    if (known > 0) await this.#base.read(at, target.subarray(0, known), options);
  }

  #eachPage(
    at: number,
    length: number,
    visit: (index: number, from: number, to: number, position: number) => void,
  ): void {
    for (let position = 0; position < length; ) {
      const from = (at + position) % PAGE_BYTES;
      const to = Math.min(PAGE_BYTES, from + length - position);
      visit((at + position - from) / PAGE_BYTES, from, to, position);
      position += to - from;
    }
  }
}
