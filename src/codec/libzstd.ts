import { createRequire } from "node:module";
import { type Codec, zstdCodec } from "./codec.ts";
import { loadPortable } from "./portable.ts";

type Decompress = (target: Uint8Array, capacity: number, frame: Uint8Array, length: number) => number | bigint;

const LIBRARIES: Readonly<Record<string, string>> = { linux: "libzstd.so.1", darwin: "libzstd.1.dylib" };

/** Blocks of at most 128 KiB, and one more of the same size to see what is too long. */
const USUAL_CAPACITY = 262_144;

let found: Promise<Codec> | false | undefined;

/**
 * The zstd library of the system, for decoding, where it is there and the optional `koffi` loads: three times as fast as
 * wasm. Encoding stays with the portable side. `undefined` where there is none.
 */
export function findLibzstd(): Promise<Codec> | undefined {
  found ??= load() ?? false;
  return found === false ? undefined : found;
}

function load(): Promise<Codec> | undefined {
  const name = LIBRARIES[process.platform];
  if (name === undefined) return undefined;
  let decompress: Decompress;
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
    const types = ["void *", "size_t", "const void *", "size_t"];
    decompress = koffi.load(name).func("ZSTD_decompress", "size_t", types) as Decompress;
  } catch {
    // No such library, or no koffi for this host.
    return undefined;
  }
  const library = nativeLibrary(decompress);
  return loadPortable("zstd").then((portable) => ({
    ...portable,
    implementation: "native",
    decode: zstdCodec("native", library).decode,
  }));
}

function nativeLibrary(decompress: Decompress): Parameters<typeof zstdCodec>[1] {
  const usual = new Uint8Array(USUAL_CAPACITY);
  return {
    compress: () => {
      throw new Error("libzstd is for decoding only");
    },
    decompress: (frame, capacity) => {
      const target = capacity <= USUAL_CAPACITY ? usual : new Uint8Array(capacity);
      const length = Number(decompress(target, capacity, frame, frame.byteLength));
      // Errors are small negative numbers, seen as unsigned ones.
      if (length > capacity) throw new Error(`libzstd answers error ${2 ** 64 - length}`);
      return target.subarray(0, length);
    },
  };
}
