import { formatUuid } from "../../src/bytes/uuid.ts";
import { BlockGroupItem } from "../../src/format/block-group.ts";
import { DevExtent } from "../../src/format/device-items.ts";
import { decodeDirEntries, dirTypeName } from "../../src/format/dir-item.ts";
import { decodeInlineRefs, ExtentItem, type ExtentRef } from "../../src/format/extent-item.ts";
import {
  compressionName,
  decodeFileExtent,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
} from "../../src/format/file-extent.ts";
import { FreeSpaceInfo } from "../../src/format/free-space.ts";
import { InodeItem, type Timespec } from "../../src/format/inode.ts";
import { decodeInodeExtrefs, decodeInodeRefs } from "../../src/format/inode-ref.ts";
import * as types from "../../src/format/key-type.ts";
import { keyTypeName } from "../../src/format/key-type.ts";
import { itemBytes, itemData, type Leaf, slotKey, slotType } from "../../src/format/node.ts";
import { treeName } from "../../src/format/objectid.ts";
import { QgroupInfoItem, QgroupLimitItem } from "../../src/format/quota.ts";
import { decodeRootItem, decodeRootRef } from "../../src/format/root.ts";
import { decodeSubvolumeIds } from "../../src/format/uuid-tree.ts";

const latin1 = new TextDecoder("latin1");

type Say = (leaf: Leaf, slot: number) => string;
type Time = InstanceType<typeof Timespec>;

const time = (name: string, { sec, nsec }: Time) => `${name} ${sec}.${nsec}`;

const inode: Say = (leaf, slot) => {
  const i = new InodeItem(itemData(leaf, slot));
  return [
    `generation ${i.generation} transid ${i.transid} size ${i.size} nbytes ${i.nbytes}`,
    `block group ${i.blockGroup} mode ${i.mode.toString(8)} links ${i.nlink} uid ${i.uid} gid ${i.gid} rdev ${i.rdev}`,
    `sequence ${i.sequence} flags 0x${i.flags.toString(16)}`,
    time("atime", i.atime),
    time("ctime", i.ctime),
    time("mtime", i.mtime),
    time("otime", i.otime),
  ].join(" ");
};

const entries: Say = (leaf, slot) =>
  decodeDirEntries(itemBytes(leaf, slot))
    .map(({ location: { objectid, type, offset }, transid, type: kind, name, data }) => {
      const id = type === types.ROOT_ITEM ? treeName(objectid) : objectid;
      const location = `location key (${id} ${keyTypeName(type).replace("UNTYPED", "UNKNOWN.0")} ${offset})`;
      const head = `${location} type ${dirTypeName(kind)} transid ${transid} data_len ${data.byteLength} name_len ${name.byteLength}`;
      return `${head} name: ${latin1.decode(name)}${data.byteLength > 0 ? ` data ${latin1.decode(data)}` : ""}`;
    })
    .join(" ");

const fileExtent: Say = (leaf, slot) => {
  const e = decodeFileExtent(leaf, slot);
  const compression = `compression ${e.compression} (${compressionName(e.compression)})`;
  if (e.type === FILE_EXTENT_INLINE) {
    return `generation ${e.generation} type 0 (inline) inline extent data size ${e.data.byteLength} ram_bytes ${e.ramBytes} ${compression}`;
  }
  if (e.type === FILE_EXTENT_PREALLOC) {
    return `generation ${e.generation} type 2 (prealloc) prealloc data disk byte ${e.diskBytenr} nr ${e.diskNumBytes} prealloc data offset ${e.offset} nr ${e.numBytes}`;
  }
  return `generation ${e.generation} type 1 (regular) extent data disk byte ${e.diskBytenr} nr ${e.diskNumBytes} extent data offset ${e.offset} nr ${e.numBytes} ram ${e.ramBytes} extent ${compression}`;
};

const root: Say = (leaf, slot) => {
  const r = decodeRootItem(itemBytes(leaf, slot));
  const uuid = (name: string, value: Uint8Array) => `${name} ${formatUuid(value)}`;
  return [
    `generation ${r.generation} root_dirid ${r.rootDirid} bytenr ${r.bytenr} byte_limit ${r.byteLimit} bytes_used ${r.bytesUsed}`,
    `last_snapshot ${r.lastSnapshot} flags 0x${r.flags.toString(16)} refs ${r.refs}`,
    `drop_progress key (${r.dropProgress.objectid} ${keyTypeName(r.dropProgress.type).replace("UNTYPED", "UNKNOWN.0")} ${r.dropProgress.offset}) drop_level ${r.dropLevel}`,
    `level ${r.level} generation_v2 ${r.generationV2}`,
    uuid("uuid", r.uuid),
    uuid("parent_uuid", r.parentUuid),
    uuid("received_uuid", r.receivedUuid),
    `ctransid ${r.ctransid} otransid ${r.otransid} stransid ${r.stransid} rtransid ${r.rtransid}`,
    time("ctime", r.ctime),
    time("otime", r.otime),
    time("stime", r.stime),
    time("rtime", r.rtime),
  ].join(" ");
};

const rootRef =
  (word: string): Say =>
  (leaf, slot) => {
    const { dirid, sequence, name } = decodeRootRef(itemBytes(leaf, slot));
    return `root ${word} key dirid ${dirid} sequence ${sequence} name ${latin1.decode(name)}`;
  };

function sayRef(ref: ExtentRef): string {
  switch (ref.type) {
    case types.TREE_BLOCK_REF:
      return `tree block backref root ${treeName(ref.root)}`;
    case types.SHARED_BLOCK_REF:
      return `shared block backref parent ${ref.parent}`;
    case types.SHARED_DATA_REF:
      return `shared data backref parent ${ref.parent} count ${ref.count}`;
    case types.EXTENT_DATA_REF:
      return `extent data backref root ${treeName(ref.root)} objectid ${ref.objectid} offset ${ref.offset} count ${ref.count}`;
    case types.EXTENT_OWNER_REF:
      return `extent owner root ${treeName(ref.root)}`;
  }
}

const extent: Say = (leaf, slot) => {
  const data = itemData(leaf, slot);
  const { refs, generation, flags } = new ExtentItem(data);
  const { type, offset } = slotKey(leaf, slot);
  const kind = flags & 1n ? "DATA" : `TREE_BLOCK${flags & 0x100n ? "|FULL_BACKREF" : ""}`;
  const level = type === types.METADATA_ITEM ? [`tree block skinny level ${offset}`] : [];
  return [`refs ${refs} gen ${generation} flags ${kind}`, ...level, ...decodeInlineRefs(data, type).map(sayRef)].join(
    " ",
  );
};

const SAY: Readonly<Record<number, Say>> = {
  [types.INODE_ITEM]: inode,
  [types.INODE_REF]: (leaf, slot) =>
    decodeInodeRefs(itemBytes(leaf, slot), slotKey(leaf, slot).offset)
      .map(({ index, name }) => `index ${index} namelen ${name.byteLength} name: ${latin1.decode(name)}`)
      .join(" "),
  [types.INODE_EXTREF]: (leaf, slot) =>
    decodeInodeExtrefs(itemBytes(leaf, slot))
      .map(
        ({ index, parent, name }) =>
          `index ${index} parent ${parent} namelen ${name.byteLength} name: ${latin1.decode(name)}`,
      )
      .join(" "),
  [types.DIR_ITEM]: entries,
  [types.DIR_INDEX]: entries,
  [types.XATTR_ITEM]: entries,
  [types.ORPHAN_ITEM]: () => "orphan item",
  [types.EXTENT_DATA]: fileExtent,
  [types.ROOT_ITEM]: root,
  [types.ROOT_REF]: rootRef("ref"),
  [types.ROOT_BACKREF]: rootRef("backref"),
  [types.EXTENT_ITEM]: extent,
  [types.METADATA_ITEM]: extent,
  [types.BLOCK_GROUP_ITEM]: (leaf, slot) => {
    const { used, chunkObjectid } = new BlockGroupItem(itemData(leaf, slot));
    return `block group used ${used} chunk_objectid ${chunkObjectid} flags`;
  },
  [types.FREE_SPACE_INFO]: (leaf, slot) => {
    const { extentCount, flags } = new FreeSpaceInfo(itemData(leaf, slot));
    return `free space info extent count ${extentCount} flags ${flags}`;
  },
  [types.DEV_EXTENT]: (leaf, slot) => {
    const e = new DevExtent(itemData(leaf, slot));
    return `dev extent chunk_tree ${e.chunkTree} chunk_objectid ${e.chunkObjectid} chunk_offset ${e.chunkOffset} length ${e.length} chunk_tree_uuid ${formatUuid(e.chunkTreeUuid)}`;
  },
  [types.QGROUP_INFO]: (leaf, slot) => {
    const q = new QgroupInfoItem(itemData(leaf, slot));
    return `generation ${q.generation} referenced ${q.rfer} referenced_compressed ${q.rferCmpr} exclusive ${q.excl} exclusive_compressed ${q.exclCmpr}`;
  },
  [types.QGROUP_LIMIT]: (leaf, slot) => {
    const q = new QgroupLimitItem(itemData(leaf, slot));
    return `flags ${q.flags.toString(16)} max_referenced ${q.maxRfer} max_exclusive ${q.maxExcl} rsv_referenced ${q.rsvRfer} rsv_exclusive ${q.rsvExcl}`;
  },
  [types.UUID_SUBVOL]: (leaf, slot) =>
    decodeSubvolumeIds(itemData(leaf, slot))
      .map((id) => `subvol_id ${id}`)
      .join(" "),
};

/** What btrfs-progs 6.2 prints about an item in one line, without what is in parentheses; `undefined` for other types. */
export function dumpText(leaf: Leaf, slot: number): string | undefined {
  return SAY[slotType(leaf, slot)]?.(leaf, slot);
}
