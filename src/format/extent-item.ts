import { nested, struct, u8, u32, u64 } from "../bytes/struct.ts";
import { CorruptError, type Where } from "../errors.ts";
import { DiskKey } from "./key.ts";
import {
  EXTENT_DATA_REF,
  EXTENT_ITEM,
  EXTENT_OWNER_REF,
  SHARED_BLOCK_REF,
  SHARED_DATA_REF,
  TREE_BLOCK_REF,
} from "./key-type.ts";

/** `struct btrfs_extent_item`: an allocated extent, as EXTENT_ITEM or METADATA_ITEM; inline references follow. */
export const ExtentItem = struct("btrfs_extent_item", 24, {
  /** References, inline and in items of their own. */
  refs: u64,
  generation: u64,
  /** `EXTENT_FLAG_*`. */
  flags: u64,
});

/** `struct btrfs_tree_block_info`: follows the extent item of a tree block under EXTENT_ITEM, not under METADATA_ITEM. */
export const TreeBlockInfo = struct("btrfs_tree_block_info", 18, { key: nested(DiskKey), level: u8 });

export const EXTENT_FLAG_DATA = 1n << 0n;
export const EXTENT_FLAG_TREE_BLOCK = 1n << 1n;
/** Everything the block points to is referenced by the block's address, not by its tree. */
export const BLOCK_FLAG_FULL_BACKREF = 1n << 8n;

/** `struct btrfs_extent_data_ref`: file extents of one inode. As an item of its own, a multiple of these. */
export const ExtentDataRef = struct("btrfs_extent_data_ref", 28, {
  /** Object id of the tree. */
  root: u64,
  /** Inode. */
  objectid: u64,
  /** File offset at which the extent would start, modulo 2^64. */
  offset: u64,
  count: u32,
});

/** `struct btrfs_shared_data_ref`: file extents in the leaf whose address is the key's offset. */
export const SharedDataRef = struct("btrfs_shared_data_ref", 4, { count: u32 });

/** A reference to an extent, whatever the item. */
export type ExtentRef =
  | { readonly type: typeof EXTENT_OWNER_REF; readonly root: bigint }
  | { readonly type: typeof TREE_BLOCK_REF; readonly root: bigint }
  | { readonly type: typeof SHARED_BLOCK_REF; readonly parent: bigint }
  | { readonly type: typeof SHARED_DATA_REF; readonly parent: bigint; readonly count: number }
  | {
      readonly type: typeof EXTENT_DATA_REF;
      readonly root: bigint;
      readonly objectid: bigint;
      readonly offset: bigint;
      readonly count: number;
    };

/** Bytes of an inline reference, with its type byte; `undefined` for a type that can't be inline. */
export function inlineRefSize(type: number): number | undefined {
  switch (type) {
    case EXTENT_OWNER_REF:
    case TREE_BLOCK_REF:
    case SHARED_BLOCK_REF:
      return 9;
    case SHARED_DATA_REF:
      return 13;
    case EXTENT_DATA_REF:
      return 29;
    default:
      return undefined;
  }
}

/** Byte of an extent item at which its inline references start. */
export function inlineRefsAt(keyType: number, flags: bigint): number {
  const hasInfo = keyType === EXTENT_ITEM && (flags & EXTENT_FLAG_TREE_BLOCK) !== 0n;
  return ExtentItem.byteLength + (hasInfo ? TreeBlockInfo.byteLength : 0);
}

/**
 * The inline references of an EXTENT_ITEM or METADATA_ITEM.
 *
 * @throws {CorruptError} when one is of an unknown type or does not end inside the item.
 */
export function decodeInlineRefs(data: DataView, keyType: number, where: Where = {}): ExtentRef[] {
  if (data.byteLength < ExtentItem.byteLength) throw tooShort(ExtentItem.byteLength, data.byteLength, where);
  const refs: ExtentRef[] = [];
  for (let at = inlineRefsAt(keyType, new ExtentItem(data).flags); at < data.byteLength; ) {
    const type = data.getUint8(at);
    const size = inlineRefSize(type);
    if (size === undefined) throw new CorruptError(`Cannot read inline reference: type ${type} is unknown`, where);
    if (at + size > data.byteLength) throw tooShort(at + size, data.byteLength, where);
    refs.push(inlineRef(data, type, at + 1));
    at += size;
  }
  return refs;
}

function inlineRef(data: DataView, type: number, at: number): ExtentRef {
  if (type === EXTENT_DATA_REF) return dataRef(data, at);
  const value = data.getBigUint64(at, true);
  if (type === SHARED_DATA_REF) return { type, parent: value, count: data.getUint32(at + 8, true) };
  if (type === SHARED_BLOCK_REF) return { type, parent: value };
  return { type: type as typeof TREE_BLOCK_REF | typeof EXTENT_OWNER_REF, root: value };
}

function dataRef(data: DataView, at: number): ExtentRef {
  const { root, objectid, offset, count } = new ExtentDataRef(data, at);
  return { type: EXTENT_DATA_REF, root, objectid, offset, count };
}

/**
 * The references in an item of their own: TREE_BLOCK_REF, SHARED_BLOCK_REF, EXTENT_DATA_REF, SHARED_DATA_REF.
 *
 * @throws {CorruptError} when the item does not have the size that its type has.
 */
export function decodeKeyedRefs(data: DataView, keyType: number, keyOffset: bigint, where: Where = {}): ExtentRef[] {
  const size = data.byteLength;
  if (keyType === TREE_BLOCK_REF && size === 0) return [{ type: TREE_BLOCK_REF, root: keyOffset }];
  if (keyType === SHARED_BLOCK_REF && size === 0) return [{ type: SHARED_BLOCK_REF, parent: keyOffset }];
  if (keyType === SHARED_DATA_REF && size === SharedDataRef.byteLength) {
    return [{ type: SHARED_DATA_REF, parent: keyOffset, count: data.getUint32(0, true) }];
  }
  if (keyType === EXTENT_DATA_REF && size > 0 && size % ExtentDataRef.byteLength === 0) {
    return Array.from({ length: size / ExtentDataRef.byteLength }, (_, index) =>
      dataRef(data, index * ExtentDataRef.byteLength),
    );
  }
  throw new CorruptError(`Cannot read extent reference: type ${keyType} does not have ${size} bytes`, where);
}

function tooShort(end: number, size: number, where: Where): CorruptError {
  return new CorruptError(`Cannot read btrfs_extent_item: it ends at byte ${end}, the item has ${size}`, where);
}
