import { struct, u8, u16, u64 } from "../bytes/struct.ts";
import { readSafe } from "../bytes/u64.ts";
import { CorruptError, type Where } from "../errors.ts";
import { itemSize, itemStart, itemWhere, keyAt, type Leaf } from "./node.ts";

/** `struct btrfs_file_extent_item`. An inline extent stops before `diskBytenr`; its data follows. */
export const FileExtentItem = struct("btrfs_file_extent_item", 53, {
  generation: u64,
  /** Decoded length in bytes of the whole extent. */
  ramBytes: u64,
  /** `COMPRESS_*`. */
  compression: u8,
  encryption: u8,
  otherEncoding: u16,
  /** `FILE_EXTENT_*`. */
  type: u8,
  /** Logical address of the stored extent; 0 is a hole. */
  diskBytenr: u64,
  /** Stored length in bytes, compressed or not. */
  diskNumBytes: u64,
  /** Where this reference starts inside the decoded extent, in bytes. */
  offset: u64,
  /** File bytes this reference covers. */
  numBytes: u64,
});

const { offsets: AT } = FileExtentItem;

/** Bytes before the data of an inline extent. */
export const INLINE_DATA_AT = FileExtentItem.offsets.diskBytenr;

export const FILE_EXTENT_INLINE = 0;
export const FILE_EXTENT_REG = 1;
/** Allocated, never written: reads as zeros. */
export const FILE_EXTENT_PREALLOC = 2;

export const COMPRESS_NONE = 0;
export const COMPRESS_ZLIB = 1;
export const COMPRESS_LZO = 2;
export const COMPRESS_ZSTD = 3;

const COMPRESSION_NAMES = ["none", "zlib", "lzo", "zstd"];
const EXTENT_TYPE_NAMES = ["inline", "regular", "prealloc"];

/** As `zstd`. */
export function compressionName(compression: number): string {
  return COMPRESSION_NAMES[compression] ?? `unknown.${compression}`;
}

/** As `prealloc`. */
export function fileExtentTypeName(type: number): string {
  return EXTENT_TYPE_NAMES[type] ?? `unknown.${type}`;
}

interface FileExtentBase {
  /** Offset in the file, in bytes. */
  readonly fileOffset: bigint;
  readonly generation: bigint;
  /** Decoded length in bytes of the whole extent. */
  readonly ramBytes: bigint;
  readonly compression: number;
  readonly encryption: number;
  readonly otherEncoding: number;
}

export interface InlineExtent extends FileExtentBase {
  readonly type: typeof FILE_EXTENT_INLINE;
  /** As stored: bytes of the leaf, not a copy. */
  readonly data: Uint8Array;
}

export interface StoredExtent extends FileExtentBase {
  readonly type: typeof FILE_EXTENT_REG | typeof FILE_EXTENT_PREALLOC;
  /** Logical address in bytes; 0 is a hole. */
  readonly diskBytenr: number;
  /** Stored length in bytes of the whole extent. */
  readonly diskNumBytes: number;
  /** Where this reference starts inside the decoded extent, in bytes. */
  readonly offset: bigint;
  /** File bytes this reference covers. */
  readonly numBytes: bigint;
}

export type FileExtent = InlineExtent | StoredExtent;

/**
 * The EXTENT_DATA item in `slot`.
 *
 * @throws {CorruptError} when it is of an unknown type, or of another size than its type has.
 */
export function decodeFileExtent(leaf: Leaf, slot: number): FileExtent {
  const fileOffset = leaf.view.getBigUint64(keyAt(leaf, slot) + 9, true);
  return decodeExtentData(leaf.view, itemStart(leaf, slot), itemSize(leaf, slot), fileOffset, () =>
    itemWhere(leaf, slot),
  );
}

/**
 * The data of an EXTENT_DATA item: `size` bytes of `view` from byte `start` on.
 *
 * @throws {CorruptError} as `decodeFileExtent`.
 */
export function decodeExtentData(
  view: DataView,
  start: number,
  size: number,
  fileOffset: bigint,
  where: () => Where,
): FileExtent {
  if (size < INLINE_DATA_AT) throw wrongSize(size, `at least ${INLINE_DATA_AT}`, where());
  const type = view.getUint8(start + AT.type);
  const generation = view.getBigUint64(start + AT.generation, true);
  const ramBytes = view.getBigUint64(start + AT.ramBytes, true);
  const compression = view.getUint8(start + AT.compression);
  const encryption = view.getUint8(start + AT.encryption);
  const otherEncoding = view.getUint16(start + AT.otherEncoding, true);
  if (type === FILE_EXTENT_INLINE) {
    const data = new Uint8Array(view.buffer, view.byteOffset + start + INLINE_DATA_AT, size - INLINE_DATA_AT);
    return { fileOffset, generation, ramBytes, compression, encryption, otherEncoding, type, data };
  }
  if (type !== FILE_EXTENT_REG && type !== FILE_EXTENT_PREALLOC) {
    throw new CorruptError(`Cannot read file extent: its type is ${type}, at most 2 is known`, where());
  }
  if (size !== FileExtentItem.byteLength) throw wrongSize(size, `${FileExtentItem.byteLength}`, where());
  return {
    fileOffset,
    generation,
    ramBytes,
    compression,
    encryption,
    otherEncoding,
    type,
    diskBytenr: readSafe(view, start + AT.diskBytenr, "extent address"),
    diskNumBytes: readSafe(view, start + AT.diskNumBytes, "extent length"),
    offset: view.getBigUint64(start + AT.offset, true),
    numBytes: view.getBigUint64(start + AT.numBytes, true),
  };
}

function wrongSize(size: number, expected: string, where: Where): CorruptError {
  return new CorruptError(`Cannot read file extent: the item has ${size} bytes, expected ${expected}`, where);
}

/** Longest file that is stored inline, in bytes, where the mount option `max_inline` says nothing else. */
export const DEFAULT_MAX_INLINE = 2048;
