/** `ENCODED_IO_COMPRESSION_*` of `linux/btrfs.h`. Not the on-disk numbers: see `encodedCompressionOf`. */
export const ENCODED_NONE = 0;
export const ENCODED_ZLIB = 1;
export const ENCODED_ZSTD = 2;
/** LZO with 4 KiB sectors; 8K, 16K, 32K and 64K follow up to 7. */
export const ENCODED_LZO_4K = 3;
export const ENCODED_LZO_64K = 7;

/** Largest stored and largest decoded length of a compressed extent, in bytes (`BTRFS_MAX_COMPRESSED`, `BTRFS_MAX_UNCOMPRESSED`). */
export const MAX_ENCODED_BYTES = 131072;

/** The algorithm that an `ENCODED_*` number names, and the sector size that its LZO framing counts in (4096 for the others). */
export function encodedAlgorithm(
  compression: number,
): { readonly algorithm: "zlib" | "zstd" | "lzo"; readonly sectorSize: number } | undefined {
  if (compression === ENCODED_ZLIB) return { algorithm: "zlib", sectorSize: 4096 };
  if (compression === ENCODED_ZSTD) return { algorithm: "zstd", sectorSize: 4096 };
  if (compression < ENCODED_LZO_4K || compression > ENCODED_LZO_64K) return undefined;
  return { algorithm: "lzo", sectorSize: 4096 << (compression - ENCODED_LZO_4K) };
}

/** The nouns of the encoded I/O ioctls; the kernel and the offline image both speak them. Open enough to say what must be refused. */
export interface EncodedIo {
  /** File offset in bytes. */
  readonly offset: bigint;
  /** Bytes of the file that this covers. */
  readonly length: bigint;
  /** Bytes that the data decodes to. */
  readonly unencodedLength: bigint;
  /** Where `offset` lies inside the decoded data, in bytes. */
  readonly unencodedOffset: bigint;
  /** `ENCODED_*`. */
  readonly compression: number;
  /** 0: none exists. */
  readonly encryption: number;
}

/** Extents of one file as they are stored. */
export interface EncodedReader {
  /**
   * The extent that covers `offset`, as stored, into the front of `target`; `byteLength` of the answer says how much.
   *
   * @throws {EncodedIoError} with the errno that `BTRFS_IOC_ENCODED_READ` gives.
   */
  readEncoded(offset: bigint, target: Uint8Array): Promise<EncodedIo & { readonly byteLength: number }>;
}

export interface EncodedWriter {
  /**
   * Stores `data` unopened. Resolves to the number of bytes taken: `data.byteLength`, or 0 where nothing is to be done.
   *
   * @throws {EncodedIoError} with the errno that `BTRFS_IOC_ENCODED_WRITE` gives.
   */
  writeEncoded(io: EncodedIo, data: Uint8Array): Promise<number>;
}
