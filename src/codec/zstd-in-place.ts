import { readFileSync } from "node:fs";
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

/** The same before it is initialised. */
interface WasmLoader extends Partial<WasmModule> {
  instantiateWasm?: (imports: WebAssembly.Imports, receive: (instance: WebAssembly.Instance) => void) => object;
  init?: (bytes: Uint8Array) => void;
}

/**
 * The package's module, without waiting and without most of the package: that takes a quarter of the time, which every thread spends
 * before it decodes. Decodes inside of the module's memory, which is kept: the package's own function takes memory for every frame,
 * which costs as much again as decoding a small one. `undefined` where the module can't be reached, as in a bundle.
 *
 * @returns A library whose decoded bytes are lent until it decodes again.
 */
export function zstdInPlace(): ZstdLibrary | undefined {
  const require = createRequire(import.meta.url);
  const wasm = findModule(require);
  if (wasm === undefined) return undefined;
  return {
    compress: (data, level) => (require(PACKAGE) as ZstdLibrary).compress(data, level),
    decompress: decompressIn(wasm),
  };
}

const PACKAGE = "@bokuweb/zstd-wasm";

function decompressIn(wasm: WasmModule): ZstdLibrary["decompress"] {
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

/** Beside the file that the package's name leads to. */
function findModule(require: NodeJS.Require): WasmModule | undefined {
  try {
    const directory = dirname(require.resolve(PACKAGE));
    const { Module } = require(join(directory, "module.js")) as { Module: WasmLoader };
    if (!(Module.HEAPU8 instanceof Uint8Array)) initialise(Module, readFileSync(join(directory, "zstd.wasm")));
    const isWhole = typeof Module._ZSTD_decompress_usingDict === "function" && Module.HEAPU8 instanceof Uint8Array;
    return isWhole ? (Module as WasmModule) : undefined;
  } catch {
    return undefined;
  }
}

/** Whoever initialises it again, through the package, gets the same instance: another one would pull its memory away. */
function initialise(loader: WasmLoader, bytes: Uint8Array<ArrayBuffer>): void {
  const compiled = new WebAssembly.Module(bytes);
  let instance: WebAssembly.Instance | undefined;
  loader.instantiateWasm = (imports, receive) => {
    instance ??= new WebAssembly.Instance(compiled, imports);
    receive(instance);
    return {};
  };
  loader.init?.(bytes);
}
