import type * as Zlib from "node:zlib";
import { allCodecs, type Codec, type CodecSide, type LoadOptions, zlibCodec, zstdCodec } from "./codec.ts";
import { type Algorithm, MAX_EXTENT_BYTES } from "./options.ts";
import { loadPortable, loadZstdLibrary, once } from "./portable.ts";
import { checkPadding, decodeZlib } from "./zlib.ts";
import { zstdInPlace } from "./zstd-in-place.ts";

export type { Codec, Codecs } from "./codec.ts";
export { type Algorithm, type DecodeOptions, type EncodeOptions, MAX_EXTENT_BYTES } from "./options.ts";

export const loadCodec: CodecSide["loadCodec"] = async (algorithm, options) => load(algorithm, options);

export const loadCodecs: CodecSide["loadCodecs"] = async (options) => {
  const [deflate, lzo, zstd] = await Promise.all([load("zlib", options), load("lzo", options), load("zstd", options)]);
  return allCodecs({ zlib: deflate, lzo, zstd });
};

async function load(algorithm: Algorithm, { portable = false }: LoadOptions = {}): Promise<Codec> {
  const native = portable ? undefined : NATIVE[algorithm]();
  return native ?? (algorithm === "zstd" ? loadZstd() : loadPortable(algorithm));
}

/** The portable library, without its copies. */
const loadZstd = once(async () => zstdCodec("wasm", zstdInPlace() ?? (await loadZstdLibrary())));

/** Loaded when it is wanted: it brings all of Node's streams, and listings decode nothing. */
const zlib = (): typeof Zlib => process.getBuiltinModule("node:zlib");

/** One chunk takes a whole extent: with smaller ones, Node joins them. */
const CHUNK = { chunkSize: MAX_EXTENT_BYTES };

const decodeNative: Codec["decode"] = (input, output, options) => {
  let data: Uint8Array;
  let end: number;
  try {
    // With `info` comes the engine, which knows where the stream ended; the types do not say so.
    const { buffer, engine } = zlib().inflateSync(input, {
      ...CHUNK,
      maxOutputLength: Math.max(1, output.byteLength),
      info: true,
    }) as unknown as { buffer: Uint8Array; engine: { bytesWritten: number } };
    data = buffer;
    end = engine.bytesWritten;
  } catch {
    // Longer than wanted, or damaged: what the kernel makes of it, and what is wrong, is for our own decoder to say.
    return decodeZlib(input, output, options);
  }
  if (data.byteLength > output.byteLength) return decodeZlib(input, output, options);
  output.set(data);
  if (options.strict === true || options.warn !== undefined) checkPadding("zlib", input, end, options);
  return data.byteLength;
};

/** What the host brings. Native zstd came with Node 22.15. */
const NATIVE: Readonly<Record<Algorithm, () => Codec | undefined>> = {
  lzo: () => undefined,
  zlib: () => zlibCodec("native", (data, level) => zlib().deflateSync(data, { ...CHUNK, level }), decodeNative),
  zstd: () => {
    const { zstdDecompressSync, zstdCompressSync, constants } = zlib();
    if (typeof zstdDecompressSync !== "function" || typeof zstdCompressSync !== "function") return undefined;
    return zstdCodec("native", {
      compress: (data, level) =>
        zstdCompressSync(data, { ...CHUNK, params: { [constants.ZSTD_c_compressionLevel]: level } }),
      decompress: (frame, capacity) => zstdDecompressSync(frame, { ...CHUNK, maxOutputLength: capacity }),
    });
  },
};
