import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { ZstdLibrary } from "./zstd.ts";

/** What we use of the WebAssembly module inside of `@bokuweb/zstd-wasm`: emscripten's names, positions in its memory. */
interface WasmModule {
  readonly HEAPU8: Uint8Array;
  _malloc(byteLength: number): number;
  _free(at: number): void;
  _ZSTD_createDCtx(): number;
  _ZSTD_decompress_usingDict(
    context: number,
    to: number,
    capacity: number,
    from: number,
    length: number,
    dictionary: number,
    dictionaryLength: number,
  ): number;
}

/**
 * Decodes inside of the module's memory, which is kept: the package's own function takes memory for every frame, which costs as much
 * again as decoding a small one. `undefined` where the module can't be reached, as in a bundle.
 *
 * @returns A function whose result is lent until its next call.
 */
export function decompressInPlace(): ZstdLibrary["decompress"] | undefined {
  const wasm = findModule();
  if (wasm === undefined) return undefined;
  const context = wasm._ZSTD_createDCtx();
  const from = new Room(wasm);
  const to = new Room(wasm);
  return (frame, capacity) => {
    const room = from.atLeast(frame.byteLength + 7);
    // Out of memory that threads share, V8 copies words only where both sides lie alike in theirs, else single bytes.
    const input = room + ((frame.byteOffset - room) & 7);
    const output = to.atLeast(capacity);
    wasm.HEAPU8.set(frame, input);
    const length = wasm._ZSTD_decompress_usingDict(context, output, capacity, input, frame.byteLength, 0, 0);
    // Errors are small negative numbers.
    if (length < 0 || length > capacity) throw new Error(`zstd refuses the frame: error ${-length}`);
    return wasm.HEAPU8.subarray(output, output + length);
  };
}

/** Memory of the module that only grows. */
class Room {
  readonly #wasm: WasmModule;
  #at = 0;
  #byteLength = 0;

  constructor(wasm: WasmModule) {
    this.#wasm = wasm;
  }

  atLeast(byteLength: number): number {
    if (this.#byteLength >= byteLength) return this.#at;
    if (this.#at !== 0) this.#wasm._free(this.#at);
    this.#byteLength = 0;
    this.#at = this.#wasm._malloc(byteLength);
    if (this.#at === 0) throw new Error(`no ${byteLength} bytes are left for zstd`);
    this.#byteLength = byteLength;
    return this.#at;
  }
}

/** Beside the file that the package's name leads to. It is initialised with the package. */
function findModule(): WasmModule | undefined {
  try {
    const require = createRequire(import.meta.url);
    const entry = require.resolve("@bokuweb/zstd-wasm");
    const { Module } = require(join(dirname(entry), "module.js")) as { Module: Partial<WasmModule> };
    const isWhole = typeof Module._ZSTD_decompress_usingDict === "function" && Module.HEAPU8 instanceof Uint8Array;
    return isWhole ? (Module as WasmModule) : undefined;
  } catch {
    return undefined;
  }
}
