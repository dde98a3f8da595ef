import { viewOf } from "../bytes/bytes.ts";
import { bytes, struct, u8, u32, u64 } from "../bytes/struct.ts";
import { readSafe } from "../bytes/u64.ts";
import { CorruptError, type Where } from "../errors.ts";
import { comparePackedKeys, decodeKey, formatKey, type Key } from "./key.ts";

/** `struct btrfs_header`: the start of every tree block. */
export const NodeHeader = struct("btrfs_header", 101, {
  /** Over everything after it, up to the node size. */
  csum: bytes(32),
  /** The metadata UUID of the filesystem. */
  fsid: bytes(16),
  /** The block's own logical address. */
  bytenr: u64,
  /** `HEADER_FLAG_*`; the top byte is the back reference revision. */
  flags: u64,
  chunkTreeUuid: bytes(16),
  generation: u64,
  /** Object id of the tree that wrote the block. */
  owner: u64,
  nritems: u32,
  /** 0 is a leaf. */
  level: u8,
});

/** `struct btrfs_item`: one item of a leaf. */
export const ItemHeader = struct("btrfs_item", 25, {
  objectid: u64,
  type: u8,
  keyOffset: u64,
  /** Where the data starts, in bytes from the end of the node header. */
  offset: u32,
  /** Length of the data in bytes. */
  size: u32,
});

/** `struct btrfs_key_ptr`: one child of an inner node. Its key is the first key of the child. */
export const KeyPointer = struct("btrfs_key_ptr", 33, {
  objectid: u64,
  type: u8,
  keyOffset: u64,
  /** Logical address of the child. */
  blockptr: u64,
  /** Generation of the child. */
  generation: u64,
});

export const HEADER_BYTES = NodeHeader.byteLength;
export const ITEM_HEADER_BYTES = ItemHeader.byteLength;
export const KEY_POINTER_BYTES = KeyPointer.byteLength;

/** Levels run from 0 to 7. */
export const MAX_LEVEL = 8;
export const MIXED_BACKREF_REV = 1;
export const HEADER_FLAG_WRITTEN = 1n;
export const HEADER_FLAG_RELOC = 2n;
/** What a block has as `flags` when it is written. */
export const BLOCK_HEADER_FLAGS = HEADER_FLAG_WRITTEN | (BigInt(MIXED_BACKREF_REV) << 56n);

/**
 * One tree block in memory. Its fields are read from the bytes, so a change of the bytes shows.
 * Trust it only after `checkNode`.
 */
export class NodeBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where it was read from. */
  readonly where: Where;

  /** @throws {CorruptError} when `bytes` can't hold a node header. */
  constructor(bytes: Uint8Array, where: Where = {}) {
    if (bytes.byteLength < HEADER_BYTES) {
      throw new CorruptError(`Cannot read node: ${bytes.byteLength} bytes, its header has ${HEADER_BYTES}`, where);
    }
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.where = where;
  }

  /** Own logical address in bytes. */
  get logical(): number {
    return readSafe(this.view, NodeHeader.offsets.bytenr, "node address");
  }

  get generation(): number {
    return readSafe(this.view, NodeHeader.offsets.generation, "node generation");
  }

  get owner(): bigint {
    return this.view.getBigUint64(NodeHeader.offsets.owner, true);
  }

  /** Items of a leaf, children of an inner node. */
  get count(): number {
    return this.view.getUint32(NodeHeader.offsets.nritems, true);
  }

  get level(): number {
    return this.view.getUint8(NodeHeader.offsets.level);
  }
}

/** A `NodeBlock` of level 0. */
export type Leaf = NodeBlock;

/** Byte at which the packed key of `slot` starts, in a leaf and in an inner node. */
export function keyAt(node: NodeBlock, slot: number): number {
  return HEADER_BYTES + slot * (node.level === 0 ? ITEM_HEADER_BYTES : KEY_POINTER_BYTES);
}

export function slotKey(node: NodeBlock, slot: number): Key {
  return decodeKey(node.view, keyAt(node, slot));
}

/** Item type in `slot`: for loops that look at many kinds of items. */
export function slotType(node: NodeBlock, slot: number): number {
  return node.view.getUint8(keyAt(node, slot) + ItemHeader.offsets.type);
}

/** First slot whose key is not below the packed key at byte `at` of `key`; `node.count` when all are below. */
export function lowerBound(node: NodeBlock, key: DataView, at = 0): number {
  const { view } = node;
  const stride = node.level === 0 ? ITEM_HEADER_BYTES : KEY_POINTER_BYTES;
  let low = 0;
  let high = node.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (comparePackedKeys(view, HEADER_BYTES + middle * stride, key, at) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Length in bytes of the data of one item. */
export function itemSize(leaf: Leaf, slot: number): number {
  return leaf.view.getUint32(HEADER_BYTES + slot * ITEM_HEADER_BYTES + ItemHeader.offsets.size, true);
}

/**
 * Byte of the block at which the data of one item starts.
 *
 * @throws {CorruptError} when the data does not end inside the block.
 */
export function itemStart(leaf: Leaf, slot: number): number {
  const header = HEADER_BYTES + slot * ITEM_HEADER_BYTES;
  const start = HEADER_BYTES + leaf.view.getUint32(header + ItemHeader.offsets.offset, true);
  const end = start + leaf.view.getUint32(header + ItemHeader.offsets.size, true);
  if (end > leaf.view.byteLength) {
    throw new CorruptError(
      `Cannot read item: data ends at byte ${end}, node has ${leaf.view.byteLength} bytes`,
      itemWhere(leaf, slot),
    );
  }
  return start;
}

/** The data of one item, as a view into the leaf. */
export function itemData(leaf: Leaf, slot: number): DataView {
  const start = itemStart(leaf, slot);
  return new DataView(leaf.view.buffer, leaf.view.byteOffset + start, itemSize(leaf, slot));
}

/** The data of one item, as bytes of the leaf. */
export function itemBytes(leaf: Leaf, slot: number): Uint8Array {
  const start = itemStart(leaf, slot);
  return leaf.bytes.subarray(start, start + itemSize(leaf, slot));
}

/** Place of one item, for an error. */
export function itemWhere(node: NodeBlock, slot: number): Where {
  return { ...node.where, slot, key: formatKey(slotKey(node, slot)) };
}

/** Logical address in bytes of the child in `slot` of an inner node. */
export function childLogical(node: NodeBlock, slot: number): number {
  return readSafe(
    node.view,
    HEADER_BYTES + slot * KEY_POINTER_BYTES + KeyPointer.offsets.blockptr,
    "address of a child node",
  );
}

/** Generation that the child in `slot` of an inner node must have. */
export function childGeneration(node: NodeBlock, slot: number): number {
  return readSafe(
    node.view,
    HEADER_BYTES + slot * KEY_POINTER_BYTES + KeyPointer.offsets.generation,
    "generation of a child node",
  );
}
