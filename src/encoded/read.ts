import { BtrfsError, EncodedIoError } from "../errors.ts";
import type { EncodedIo, EncodedReader } from "../format/encoded-io.ts";
import { ENCODED_LZO_4K, ENCODED_NONE, ENCODED_ZLIB, ENCODED_ZSTD, MAX_ENCODED_BYTES } from "../format/encoded-io.ts";
import {
  COMPRESS_LZO,
  COMPRESS_NONE,
  COMPRESS_ZLIB,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
  type InlineExtent,
  type StoredExtent,
} from "../format/file-extent.ts";
import { findExtent, roundUp, smaller } from "../fs/extents.ts";
import type { OpenFile } from "../fs/file.ts";
import { checkExtent, readStored } from "../fs/stored.ts";

/** What an encoded read tells: the nouns, and how many bytes of the target are filled. */
export type EncodedAnswer = EncodedIo & { readonly byteLength: number };

/** Reads the extents of a file of an image as `BTRFS_IOC_ENCODED_READ` does on a filesystem that has just been mounted. */
export function encodedReader(file: OpenFile): EncodedReader {
  return new ImageReader(file);
}

class ImageReader implements EncodedReader {
  readonly #file: OpenFile;
  readonly #sectorSize: number;

  constructor(file: OpenFile) {
    this.#file = file;
    this.#sectorSize = file.inode.subvolume.filesystem.volume.sectorSize;
  }

  async readEncoded(offset: bigint, target: Uint8Array): Promise<EncodedAnswer> {
    if (target.byteLength === 0) return plain(offset, 0);
    if (offset < 0n || offset >= 1n << 63n) {
      throw this.#refuse("EINVAL", offset, `offset is ${offset}, expected 0 to 2^63 - 1`);
    }
    if (offset >= this.#file.size) return plain(offset, 0);
    try {
      return await this.#read(offset, target);
    } catch (error) {
      if (!(error instanceof BtrfsError) || error instanceof EncodedIoError) throw error;
      throw new EncodedIoError("EIO", error.sentence, { where: { fileOffset: offset, ...error.where }, cause: error });
    }
  }

  async #read(offset: bigint, target: Uint8Array): Promise<EncodedAnswer> {
    const window = this.#windowEnd(offset);
    const { extent, next } = await findExtent(this.#file.inode, offset, window);
    if (extent === undefined) return this.#readHole(offset, next ?? window, target);
    if (extent.type === FILE_EXTENT_INLINE) return this.#readInline(offset, extent, target);
    if (extent.type === FILE_EXTENT_PREALLOC || extent.diskBytenr === 0) {
      return this.#readHole(offset, extent.fileOffset + extent.numBytes, target);
    }
    if (extent.compression === COMPRESS_NONE) return this.#readPlain(offset, extent, target);
    return this.#readCompressed(offset, extent, target);
  }

  /** Zeros up to file offset `end`. */
  #readHole(offset: bigint, end: bigint, target: Uint8Array): EncodedAnswer {
    const length = this.#lengthTo(end, offset, target);
    target.fill(0, 0, length);
    return plain(offset, length);
  }

  #readInline(offset: bigint, extent: InlineExtent, target: Uint8Array): EncodedAnswer {
    const { ramBytes, data, compression } = extent;
    // The kernel hands out foreign bytes here: see docs/encoded-reads.md.
    if (offset >= ramBytes) return this.#readHole(offset, roundUp(ramBytes, BigInt(this.#sectorSize)), target);
    if (compression === COMPRESS_NONE) {
      const length = this.#lengthTo(ramBytes, offset, target);
      target.set(data.subarray(Number(offset), Number(offset) + length));
      return plain(offset, length);
    }
    this.#demandRoom(offset, data.byteLength, target);
    target.set(data);
    return {
      byteLength: data.byteLength,
      offset,
      length: this.#clip(ramBytes) - offset,
      unencodedLength: ramBytes,
      unencodedOffset: offset,
      compression: encodedCompression(compression, this.#sectorSize),
      encryption: 0,
    };
  }

  async #readPlain(offset: bigint, extent: StoredExtent, target: Uint8Array): Promise<EncodedAnswer> {
    checkExtent(this.#file.inode, extent);
    const end = extent.fileOffset + extent.numBytes;
    const window = this.#windowEnd(offset);
    const length = this.#lengthTo(smaller(end, window), offset, target);
    const at = Number(extent.offset + offset - extent.fileOffset);
    await readStored(this.#file.inode, extent, at, target.subarray(0, length));
    return plain(offset, length);
  }

  async #readCompressed(offset: bigint, extent: StoredExtent, target: Uint8Array): Promise<EncodedAnswer> {
    const byteLength = extent.diskNumBytes;
    this.#demandRoom(offset, byteLength, target);
    checkExtent(this.#file.inode, extent);
    await readStored(this.#file.inode, extent, 0, target.subarray(0, byteLength));
    return {
      byteLength,
      offset,
      length: this.#clip(extent.fileOffset + extent.numBytes) - offset,
      unencodedLength: extent.ramBytes,
      unencodedOffset: offset - extent.fileOffset + extent.offset,
      compression: encodedCompression(extent.compression, this.#sectorSize),
      encryption: 0,
    };
  }

  /** One call looks at so much of a file, counted from the sector that it begins in. */
  #windowEnd(offset: bigint): bigint {
    return offset - (offset % BigInt(this.#sectorSize)) + BigInt(MAX_ENCODED_BYTES);
  }

  #clip(end: bigint): bigint {
    return smaller(end, this.#file.size);
  }

  /** Bytes from `offset` to `end`, as far as the file and `target` go. */
  #lengthTo(end: bigint, offset: bigint, target: Uint8Array): number {
    const left = this.#clip(end) - offset;
    return left < BigInt(target.byteLength) ? Number(left) : target.byteLength;
  }

  #demandRoom(offset: bigint, byteLength: number, target: Uint8Array): void {
    if (target.byteLength >= byteLength) return;
    const problem = `the extent has ${byteLength} bytes, the buffer ${target.byteLength}`;
    throw this.#refuse("ENOBUFS", offset, problem);
  }

  #refuse(errno: string, offset: bigint, problem: string): EncodedIoError {
    const where = { ...this.#file.inode.where, fileOffset: offset };
    return new EncodedIoError(errno, `Cannot read encoded: ${problem}`, { where });
  }
}

/** An answer that is not compressed. */
function plain(offset: bigint, byteLength: number): EncodedAnswer {
  const length = BigInt(byteLength);
  return {
    byteLength,
    offset,
    length,
    unencodedLength: length,
    unencodedOffset: 0n,
    compression: ENCODED_NONE,
    encryption: 0,
  };
}

/**
 * The ioctl's number for an on-disk compression (`COMPRESS_*`). That of LZO depends on the sector size, as its data does.
 *
 * @param sectorSize A power of two from 4096 to 65536.
 */
export function encodedCompression(compression: number, sectorSize: number): number {
  if (compression === COMPRESS_NONE) return ENCODED_NONE;
  if (compression === COMPRESS_ZLIB) return ENCODED_ZLIB;
  return compression === COMPRESS_LZO ? ENCODED_LZO_4K + Math.log2(sectorSize / 4096) : ENCODED_ZSTD;
}
