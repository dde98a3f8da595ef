import { CorruptError } from "../errors.ts";

export type Algorithm = "zlib" | "lzo" | "zstd";

/** Most bytes of one extent, decoded as well as stored: `BTRFS_MAX_UNCOMPRESSED`, `BTRFS_MAX_COMPRESSED`. */
export const MAX_EXTENT_BYTES = 131_072;

export interface DecodeOptions {
  /** Bytes of a sector of the filesystem that the data comes from, 4096 to 65536. LZO data can't be read with another. */
  readonly sectorSize: number;
  /** The data of an inline extent: LZO is then one segment that fills the input. */
  readonly inline?: boolean;
  /** Refuse, instead of warning, what the kernel reads although it is not as the kernel writes it. */
  readonly strict?: boolean;
  /** Told of what is odd but readable, as a sentence. */
  readonly warn?: (sentence: string) => void;
}

export interface EncodeOptions {
  readonly sectorSize: number;
  /** zlib 1 to 9, zstd 1 to 15, as the mount option means them; 3 where nothing is said. LZO has none. */
  readonly level?: number;
  /** For an inline extent: at most one sector of input. */
  readonly inline?: boolean;
}

/** @throws {RangeError} for a sector size that no btrfs has. */
export function checkSectorSize(size: number): void {
  if (!(size >= 4096 && size <= 65_536 && (size & (size - 1)) === 0)) {
    throw new RangeError(`Cannot use sector size ${size}: it is a power of two from 4096 to 65536`);
  }
}

export function corrupt(
  algorithm: Algorithm,
  what: string,
  code: "corrupt" | "truncated" = "corrupt",
  cause?: unknown,
): CorruptError {
  return new CorruptError(`Cannot decode ${algorithm} data: ${what}`, {}, { code, cause });
}

/** A sentence for `options.warn`, or the error that it is under `strict`. */
export function odd(algorithm: Algorithm, options: DecodeOptions, what: string): void {
  if (options.strict === true) throw corrupt(algorithm, what);
  options.warn?.(`Odd ${algorithm} data: ${what}`);
}
