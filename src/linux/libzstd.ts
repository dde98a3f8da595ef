import { BtrfsError } from "../errors.ts";
import type { DecodeFrame } from "../restore/content.ts";
import { addressBook } from "./addresses.ts";
import { loadLibrary } from "./native.ts";

/** `ZSTD_error_dstSize_tooSmall`, negated as the library returns errors. */
const NO_ROOM = -70;

const NAMES: Readonly<Record<string, string>> = { linux: "libzstd.so.1", darwin: "libzstd.1.dylib" };

/** The zstd library of the system: three times as fast as WebAssembly. `undefined` where it or koffi is not there. */
export function findLibzstd(): DecodeFrame | undefined {
  const name = NAMES[process.platform];
  if (name === undefined) return undefined;
  try {
    const library = loadLibrary(name);
    const context = library.func("ZSTD_createDCtx", "intptr_t", [])();
    if (context === 0) return undefined;
    // Errors are small negative numbers as a size_t.
    const types = ["intptr_t", "intptr_t", "size_t", "intptr_t", "size_t"];
    const decompress = library.func("ZSTD_decompressDCtx", "intptr_t", types);
    const addressOf = addressBook();
    return (input, byteLength, output, outputBytes) => {
      const from = addressOf(input, 0, byteLength);
      return decompress(context, addressOf(output, 0, outputBytes), outputBytes, from, byteLength);
    };
  } catch {
    return undefined;
  }
}

/** Compresses one frame. @returns Its bytes; 0 when they do not fit into `output`. */
export type EncodeFrame = (input: Uint8Array, output: Uint8Array) => number;

/**
 * Compression with the zstd library of the system, which keeps its tables from frame to frame. `undefined` where it or koffi
 * is not there.
 */
export function findZstdEncoder(level: number): EncodeFrame | undefined {
  const name = NAMES[process.platform];
  if (name === undefined) return undefined;
  try {
    const library = loadLibrary(name);
    const context = library.func("ZSTD_createCCtx", "void *", [])();
    if (context === null) return undefined;
    const types = ["void *", "void *", "size_t", "void *", "size_t", "int"];
    const compress = library.func("ZSTD_compressCCtx", "intptr_t", types);
    return (input, output) => {
      const bytes = compress(context, output, output.byteLength, input, input.byteLength, level);
      if (bytes > 0) return bytes;
      if (bytes === NO_ROOM) return 0;
      throw new BtrfsError("io", `Cannot compress: zstd answers ${bytes}`);
    };
  } catch {
    return undefined;
  }
}
