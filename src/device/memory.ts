import { checkBounds } from "./bounds.ts";
import type { ByteStore } from "./source.ts";

/** Bytes in memory. The array that was given is used, not copied. */
export class MemoryDevice implements ByteStore {
  readonly name: string;
  bytes: Uint8Array;

  constructor(bytes: Uint8Array, name = "memory") {
    this.bytes = bytes;
    this.name = name;
  }

  get size(): number {
    return this.bytes.byteLength;
  }

  readSync(at: number, target: Uint8Array): void {
    checkBounds(this, at, target.byteLength);
    target.set(this.bytes.subarray(at, at + target.byteLength));
  }

  async read(at: number, target: Uint8Array, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    options.signal?.throwIfAborted();
    this.readSync(at, target);
  }

  async write(at: number, data: Uint8Array): Promise<void> {
    checkBounds(this, at, data.byteLength);
    this.bytes.set(data, at);
  }

  async flush(): Promise<void> {}

  async resize(size: number): Promise<void> {
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, size));
    this.bytes = bytes;
  }
}
