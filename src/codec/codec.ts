import { decodeLzo, encodeLzo } from "./lzo.ts";
import {
  type Algorithm,
  checkSectorSize,
  type DecodeOptions,
  type EncodeOptions,
  MAX_EXTENT_BYTES,
} from "./options.ts";
import { decodeZlib } from "./zlib.ts";
import { decodeZstd, encodeZstd, type ZstdLibrary } from "./zstd.ts";

/** How an algorithm is done here: "native" is fast, but its compressed bytes may differ from host to host. */
export type Implementation = "native" | "wasm" | "javascript";

/** One compression algorithm in the framing of btrfs. Ready to use: nothing waits. */
export interface Codec {
  readonly algorithm: Algorithm;
  readonly implementation: Implementation;
  /**
   * Decodes one stored extent into the caller's buffer, as far as that goes: what would be more is cut, as the kernel
   * cuts at `ram_bytes`.
   *
   * @param input The stored bytes; zeros may pad them.
   * @returns Bytes written. When they are fewer than `output` has, the rest of the extent is zero: filling is up to the caller.
   * @throws {CorruptError} when `input` is not such data. `output` then holds scrap.
   */
  decode(input: Uint8Array, output: Uint8Array, options: DecodeOptions): number;
  /**
   * Encodes into the caller's buffer, so that the kernel reads it.
   *
   * @param input At most 131072 bytes.
   * @returns Bytes written; 0 when they do not fit into `output`, which then holds scrap.
   */
  encode(input: Uint8Array, output: Uint8Array, options: EncodeOptions): number;
}

export interface Codecs {
  decode(algorithm: Algorithm, ...args: Parameters<Codec["decode"]>): number;
  encode(algorithm: Algorithm, ...args: Parameters<Codec["encode"]>): number;
  readonly zlib: Codec;
  readonly lzo: Codec;
  readonly zstd: Codec;
}

export interface LoadOptions {
  /** The side that gives the same compressed bytes on every host, also where a faster one is there. */
  readonly portable?: boolean;
}

/** What `#codec` gives on every host. */
export interface CodecSide {
  loadCodec(algorithm: Algorithm, options?: LoadOptions): Promise<Codec>;
  loadCodecs(options?: LoadOptions): Promise<Codecs>;
}

const DEFAULT_LEVEL = 3;
const MAX_LEVEL = { zlib: 9, zstd: 15 };

function levelOf(algorithm: "zlib" | "zstd", { level = DEFAULT_LEVEL }: EncodeOptions): number {
  if (!(Number.isInteger(level) && level >= 1 && level <= MAX_LEVEL[algorithm])) {
    throw new RangeError(`Cannot encode with ${algorithm} level ${level}: there are 1 to ${MAX_LEVEL[algorithm]}`);
  }
  return level;
}

/** The checks that all three share. */
function makeCodec(
  algorithm: Algorithm,
  implementation: Implementation,
  decode: Codec["decode"],
  encode: Codec["encode"],
): Codec {
  return {
    algorithm,
    implementation,
    decode(input, output, options) {
      checkSectorSize(options.sectorSize);
      return decode(input, output, options);
    },
    encode(input, output, options) {
      checkSectorSize(options.sectorSize);
      if (input.byteLength > MAX_EXTENT_BYTES) {
        throw new RangeError(`Cannot encode ${input.byteLength} bytes: an extent has at most ${MAX_EXTENT_BYTES}`);
      }
      if (options.inline === true && input.byteLength > options.sectorSize) {
        throw new RangeError(`Cannot encode ${input.byteLength} bytes inline: a sector has ${options.sectorSize}`);
      }
      return encode(input, output, options);
    },
  };
}

export const lzo: Codec = makeCodec("lzo", "javascript", decodeLzo, encodeLzo);

/** Compresses into a zlib stream of its own. */
export type Deflate = (data: Uint8Array, level: number) => Uint8Array;

export function zlibCodec(
  implementation: Implementation,
  deflate: Deflate,
  decode: Codec["decode"] = decodeZlib,
): Codec {
  return makeCodec("zlib", implementation, decode, (input, output, options) => {
    const level = levelOf("zlib", options);
    if (input.byteLength === 0) return 0;
    const stream = deflate(input, level);
    if (stream.byteLength > output.byteLength) return 0;
    output.set(stream);
    return stream.byteLength;
  });
}

export function zstdCodec(implementation: Implementation, library: ZstdLibrary): Codec {
  return makeCodec(
    "zstd",
    implementation,
    (input, output, options) => decodeZstd(library, input, output, options),
    (input, output, options) => encodeZstd(library, input, output, levelOf("zstd", options)),
  );
}

/** All three as one. */
export function allCodecs(codecs: Readonly<Record<Algorithm, Codec>>): Codecs {
  return {
    ...codecs,
    decode: (algorithm, input, output, options) => codecs[algorithm].decode(input, output, options),
    encode: (algorithm, input, output, options) => codecs[algorithm].encode(input, output, options),
  };
}
