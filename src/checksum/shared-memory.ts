import { DATA_AT, PAGE_BYTES, TURN_BYTES } from "./crc32c-module.ts";

/** See `sharedMemory`. Another thread can be given it. */
export interface SharedMemory {
  readonly byteLength: number;
  readonly memory: WebAssembly.Memory | SharedArrayBuffer;
}

/**
 * Memory for two threads, to be given to the other one, and then to `foldableIn` of `#checksum` on both. In a file of its own: it is
 * wanted before anything else is loaded.
 */
export function sharedMemory(byteLength: number): SharedMemory {
  return { byteLength, memory: newMemory(byteLength, "shared") ?? new SharedArrayBuffer(byteLength) };
}

/** `undefined` where there is no WebAssembly, or it gives no memory. */
export function newMemory(dataBytes: number, use: "alone" | "shared"): WebAssembly.Memory | undefined {
  try {
    // A turn more, as the rest is read in whole vectors.
    const pages = Math.ceil((DATA_AT + dataBytes + TURN_BYTES) / PAGE_BYTES);
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: use === "shared" });
  } catch {
    return undefined;
  }
}
