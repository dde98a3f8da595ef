import { asStruct } from "../../bytes/struct.ts";
import { decodeDirEntries, dirTypeName } from "../dir-item.ts";
import { DirLogItem } from "../dir-log.ts";
import { compressionName, decodeFileExtent, FILE_EXTENT_INLINE, fileExtentTypeName } from "../file-extent.ts";
import { InodeItem, inodeFlagNames } from "../inode.ts";
import { decodeInodeExtrefs, decodeInodeRefs } from "../inode-ref.ts";
import * as types from "../key-type.ts";
import { itemBytes, itemData, itemWhere, slotKey } from "../node.ts";
import { VerityDescriptorItem } from "../verity.ts";
import type { DescribeItem } from "./item.ts";
import { type Described, describeKey, fieldsOf } from "./value.ts";

/** An inode, also inside of a root item. */
export function describeInode(inode: InstanceType<typeof InodeItem>): Described {
  const { mode, flags, ...rest } = fieldsOf(inode) as Described & { mode: number; flags: bigint };
  return { ...rest, mode, mode_name: `0${mode.toString(8)}`, flags, flags_names: inodeFlagNames(flags) };
}

const entries: DescribeItem = (leaf, slot) => ({
  entries: decodeDirEntries(itemBytes(leaf, slot), itemWhere(leaf, slot)).map((entry) => ({
    location: describeKey(entry.location),
    type: entry.type,
    type_name: dirTypeName(entry.type),
    transid: entry.transid,
    name: entry.name,
    ...(entry.type === XATTR ? { data: entry.data } : {}),
  })),
});

const XATTR = 8;

const fileExtent: DescribeItem = (leaf, slot) => {
  const extent = decodeFileExtent(leaf, slot);
  const { type, generation, ramBytes, compression, encryption, otherEncoding } = extent;
  const base = {
    generation,
    type,
    type_name: fileExtentTypeName(type),
    ram_bytes: ramBytes,
    compression,
    compression_name: compressionName(compression),
    encryption,
    other_encoding: otherEncoding,
  };
  if (extent.type === FILE_EXTENT_INLINE) return { ...base, inline_bytes: extent.data.byteLength };
  const { diskBytenr, diskNumBytes, offset, numBytes } = extent;
  return { ...base, disk_bytenr: diskBytenr, disk_num_bytes: diskNumBytes, offset, num_bytes: numBytes };
};

/** Items of subvolumes, of their logs, and of the directory in the root tree. */
export const FILE_ITEMS: Readonly<Record<number, DescribeItem>> = {
  [types.INODE_ITEM]: (leaf, slot) => describeInode(asStruct(InodeItem, itemData(leaf, slot), itemWhere(leaf, slot))),
  [types.INODE_REF]: (leaf, slot) => ({
    names: decodeInodeRefs(itemBytes(leaf, slot), slotKey(leaf, slot).offset, itemWhere(leaf, slot)).map(
      ({ index, name }) => ({ index, name }),
    ),
  }),
  [types.INODE_EXTREF]: (leaf, slot) => ({
    names: decodeInodeExtrefs(itemBytes(leaf, slot), itemWhere(leaf, slot)).map(({ parent, index, name }) => ({
      parent,
      index,
      name,
    })),
  }),
  [types.XATTR_ITEM]: entries,
  [types.DIR_ITEM]: entries,
  [types.DIR_INDEX]: entries,
  [types.EXTENT_DATA]: fileExtent,
  [types.ORPHAN_ITEM]: () => ({}),
  [types.DIR_LOG_ITEM]: (leaf, slot) => fieldsOf(asStruct(DirLogItem, itemData(leaf, slot), itemWhere(leaf, slot))),
  [types.DIR_LOG_INDEX]: (leaf, slot) => fieldsOf(asStruct(DirLogItem, itemData(leaf, slot), itemWhere(leaf, slot))),
  [types.VERITY_DESC_ITEM]: (leaf, slot) => {
    const data = itemData(leaf, slot);
    if (slotKey(leaf, slot).offset !== 0n) return { descriptor_bytes: data.byteLength };
    return fieldsOf(asStruct(VerityDescriptorItem, data, itemWhere(leaf, slot)));
  },
  [types.VERITY_MERKLE_ITEM]: (leaf, slot) => ({ merkle_tree_bytes: itemData(leaf, slot).byteLength }),
};
