import { asStruct } from "../../bytes/struct.ts";
import { BlockGroupItem } from "../block-group.ts";
import {
  BLOCK_FLAG_FULL_BACKREF,
  decodeInlineRefs,
  decodeKeyedRefs,
  EXTENT_FLAG_DATA,
  EXTENT_FLAG_TREE_BLOCK,
  ExtentItem,
  type ExtentRef,
  TreeBlockInfo,
} from "../extent-item.ts";
import { flagNames } from "../flags.ts";
import { FREE_SPACE_USING_BITMAPS, FreeSpaceHeader, FreeSpaceInfo } from "../free-space.ts";
import * as types from "../key-type.ts";
import { itemBytes, itemData, itemWhere, type Leaf, slotKey } from "../node.ts";
import { treeName } from "../objectid.ts";
import { blockGroupNames } from "./devices.ts";
import type { DescribeItem } from "./item.ts";
import { type Described, fieldsOf } from "./value.ts";

const EXTENT_FLAGS: readonly (readonly [bigint, string])[] = [
  [EXTENT_FLAG_DATA, "DATA"],
  [EXTENT_FLAG_TREE_BLOCK, "TREE_BLOCK"],
  [BLOCK_FLAG_FULL_BACKREF, "FULL_BACKREF"],
];

/** A reference, in the words of its item type. */
export function describeRef(ref: ExtentRef): Described {
  const { type, ...rest } = ref;
  const said: Described = { type, type_name: types.keyTypeName(type), ...rest };
  return "root" in ref ? { ...said, root_name: treeName(ref.root) } : said;
}

const extent: DescribeItem = (leaf, slot) => {
  const where = itemWhere(leaf, slot);
  const data = itemData(leaf, slot);
  const { refs, generation, flags } = asStruct(ExtentItem, data, where);
  const { type, offset } = slotKey(leaf, slot);
  return {
    refs,
    generation,
    flags,
    flags_names: flagNames(flags, EXTENT_FLAGS),
    ...blockInfo(leaf, slot, flags, type, offset),
    inline_refs: decodeInlineRefs(data, type, where).map(describeRef),
  };
};

function blockInfo(leaf: Leaf, slot: number, flags: bigint, type: number, offset: bigint): Described {
  if (type === types.METADATA_ITEM) return { level: offset };
  if ((flags & EXTENT_FLAG_TREE_BLOCK) === 0n) return {};
  const info = itemBytes(leaf, slot).subarray(ExtentItem.byteLength);
  return fieldsOf(asStruct(TreeBlockInfo, info, itemWhere(leaf, slot)));
}

const keyedRef: DescribeItem = (leaf, slot) => {
  const { type, offset } = slotKey(leaf, slot);
  return { refs: decodeKeyedRefs(itemData(leaf, slot), type, offset, itemWhere(leaf, slot)).map(describeRef) };
};

/** Items of the extent, free space and checksum trees. */
export const EXTENT_ITEMS: Readonly<Record<number, DescribeItem>> = {
  [types.EXTENT_ITEM]: extent,
  [types.METADATA_ITEM]: extent,
  [types.TREE_BLOCK_REF]: keyedRef,
  [types.SHARED_BLOCK_REF]: keyedRef,
  [types.EXTENT_DATA_REF]: keyedRef,
  [types.SHARED_DATA_REF]: keyedRef,
  [types.BLOCK_GROUP_ITEM]: (leaf, slot) => {
    const item = asStruct(BlockGroupItem, itemData(leaf, slot), itemWhere(leaf, slot));
    return { ...fieldsOf(item), flags_names: blockGroupNames(item.flags) };
  },
  [types.FREE_SPACE_INFO]: (leaf, slot) => {
    const item = asStruct(FreeSpaceInfo, itemData(leaf, slot), itemWhere(leaf, slot));
    return { ...fieldsOf(item), flags_names: item.flags & FREE_SPACE_USING_BITMAPS ? ["USING_BITMAPS"] : [] };
  },
  [types.FREE_SPACE_EXTENT]: () => ({}),
  [types.FREE_SPACE_BITMAP]: (leaf, slot, { sectorSize }) => ({
    free_bytes: countBits(itemBytes(leaf, slot)) * sectorSize,
  }),
  [types.UNTYPED]: (leaf, slot) => fieldsOf(asStruct(FreeSpaceHeader, itemData(leaf, slot), itemWhere(leaf, slot))),
  [types.EXTENT_CSUM]: (leaf, slot, { sectorSize, checksumSize }) => {
    const { offset } = slotKey(leaf, slot);
    const length = Math.floor(itemData(leaf, slot).byteLength / checksumSize) * sectorSize;
    return { range_start: offset, range_end: offset + BigInt(length), range_length: length };
  },
};

function countBits(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
}
