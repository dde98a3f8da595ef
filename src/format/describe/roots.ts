import { asStruct } from "../../bytes/struct.ts";
import { flagNames } from "../flags.ts";
import * as types from "../key-type.ts";
import { itemBytes, itemData, itemWhere, slotKey } from "../node.ts";
import {
  formatQgroupId,
  QGROUP_ENABLE_GEN_AT,
  QGROUP_STATUS_INCONSISTENT,
  QGROUP_STATUS_ON,
  QGROUP_STATUS_RESCAN,
  QGROUP_STATUS_SIMPLE_MODE,
  QgroupInfoItem,
  QgroupLimitItem,
  QgroupStatusItem,
} from "../quota.ts";
import { decodeRootItem, decodeRootRef, ROOT_SUBVOL_DEAD, ROOT_SUBVOL_RDONLY } from "../root.ts";
import { decodeSubvolumeIds, uuidOfKey } from "../uuid-tree.ts";
import { describeInode } from "./files.ts";
import type { DescribeItem } from "./item.ts";
import { fieldsOf, uuidText } from "./value.ts";

const ROOT_FLAGS: readonly (readonly [bigint, string])[] = [
  [ROOT_SUBVOL_RDONLY, "RDONLY"],
  [ROOT_SUBVOL_DEAD, "DEAD"],
];

const QUOTA_FLAGS: readonly (readonly [bigint, string])[] = [
  [QGROUP_STATUS_ON, "ON"],
  [QGROUP_STATUS_RESCAN, "RESCAN"],
  [QGROUP_STATUS_INCONSISTENT, "INCONSISTENT"],
  [QGROUP_STATUS_SIMPLE_MODE, "SIMPLE_MODE"],
];

const rootRef: DescribeItem = (leaf, slot) => ({ ...decodeRootRef(itemBytes(leaf, slot), itemWhere(leaf, slot)) });

const uuidItem: DescribeItem = (leaf, slot) => ({
  uuid: uuidText(uuidOfKey(slotKey(leaf, slot))),
  subvolume_ids: decodeSubvolumeIds(itemData(leaf, slot), itemWhere(leaf, slot)),
});

/** Items of the root, uuid and quota trees. */
export const ROOT_ITEMS: Readonly<Record<number, DescribeItem>> = {
  [types.ROOT_ITEM]: (leaf, slot) => {
    const item = decodeRootItem(itemBytes(leaf, slot), itemWhere(leaf, slot));
    const flags = { flags: item.flags, flags_names: flagNames(item.flags, ROOT_FLAGS) };
    return { ...fieldsOf(item), ...flags, inode: describeInode(item.inode) };
  },
  [types.ROOT_REF]: rootRef,
  [types.ROOT_BACKREF]: rootRef,
  [types.UUID_SUBVOL]: uuidItem,
  [types.UUID_RECEIVED_SUBVOL]: uuidItem,
  [types.QGROUP_STATUS]: (leaf, slot) => {
    const data = itemData(leaf, slot);
    const item = asStruct(QgroupStatusItem, data, itemWhere(leaf, slot));
    const later = data.byteLength >= QGROUP_ENABLE_GEN_AT + 8;
    return {
      ...fieldsOf(item),
      flags_names: flagNames(item.flags, QUOTA_FLAGS),
      ...(later ? { enable_gen: data.getBigUint64(QGROUP_ENABLE_GEN_AT, true) } : {}),
    };
  },
  [types.QGROUP_INFO]: (leaf, slot) => ({
    qgroup: formatQgroupId(slotKey(leaf, slot).offset),
    ...fieldsOf(asStruct(QgroupInfoItem, itemData(leaf, slot), itemWhere(leaf, slot))),
  }),
  [types.QGROUP_LIMIT]: (leaf, slot) => ({
    qgroup: formatQgroupId(slotKey(leaf, slot).offset),
    ...fieldsOf(asStruct(QgroupLimitItem, itemData(leaf, slot), itemWhere(leaf, slot))),
  }),
  [types.QGROUP_RELATION]: (leaf, slot) => {
    const { objectid, offset } = slotKey(leaf, slot);
    return { qgroups: [formatQgroupId(objectid), formatQgroupId(offset)] };
  },
  [types.STRING_ITEM]: (leaf, slot) => ({ string: itemBytes(leaf, slot) }),
};
