import { checkBounds } from "./bounds.ts";
import type { ByteSource, ByteStore, DeviceFile, Read } from "./source.ts";

/** Whether `source` can be written. */
export function isStore(source: ByteSource): source is ByteStore {
  return typeof (source as Partial<ByteStore>).write === "function";
}

/**
 * Bytes `start` to `start + size` of `source`, as a partition is of a disk. Closing it closes `source`.
 *
 * A part of a store can be written, and not be resized.
 */
export function sliceSource(source: ByteSource, start: number, size: number): ByteSource {
  checkBounds(source, start, size);
  return isStore(source) ? new StoreSlice(source, start, size) : new SourceSlice(source, start, size);
}

class SourceSlice<Whole extends ByteSource> implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly readSync?: (at: number, target: Uint8Array) => void;
  readonly readBatch?: (reads: readonly Read[]) => Promise<void>;
  readonly file: DeviceFile | undefined;
  protected readonly whole: Whole;
  protected readonly start: number;

  constructor(whole: Whole, start: number, size: number) {
    this.whole = whole;
    this.start = start;
    this.size = size;
    this.name = `${whole.name}+${start}`;
    this.file = whole.file && { ...whole.file, start: whole.file.start + start };
    if (whole.readSync !== undefined) {
      this.readSync = (at, target) => {
        checkBounds(this, at, target.byteLength);
        whole.readSync!(start + at, target);
      };
    }
    if (whole.readBatch !== undefined) {
      this.readBatch = (reads) => {
        for (const { at, target } of reads) checkBounds(this, at, target.byteLength);
        return whole.readBatch!(reads.map(({ at, target }) => ({ at: start + at, target })));
      };
    }
  }

  async read(at: number, target: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<void> {
    checkBounds(this, at, target.byteLength);
    await this.whole.read(this.start + at, target, options);
  }

  async close(): Promise<void> {
    await this.whole.close?.();
  }
}

class StoreSlice extends SourceSlice<ByteStore> implements ByteStore {
  async write(at: number, data: Uint8Array): Promise<void> {
    checkBounds(this, at, data.byteLength);
    await this.whole.write(this.start + at, data);
  }

  async flush(): Promise<void> {
    await this.whole.flush();
  }

  async resize(size: number): Promise<void> {
    if (size !== this.size) throw new RangeError(`Cannot resize: a part of ${this.whole.name} has a fixed size`);
  }
}
