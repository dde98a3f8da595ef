/** Item types of `linux/btrfs_tree.h` (`BTRFS_*_KEY`): the middle part of a key. */
/** Header of a version 1 free space cache, under `FREE_SPACE_OBJECTID`. */
export const UNTYPED = 0;
export const INODE_ITEM = 1;
export const INODE_REF = 12;
export const INODE_EXTREF = 13;
export const XATTR_ITEM = 24;
export const VERITY_DESC_ITEM = 36;
export const VERITY_MERKLE_ITEM = 37;
export const ORPHAN_ITEM = 48;
export const DIR_LOG_ITEM = 60;
export const DIR_LOG_INDEX = 72;
export const DIR_ITEM = 84;
export const DIR_INDEX = 96;
export const EXTENT_DATA = 108;
export const EXTENT_CSUM = 128;
export const ROOT_ITEM = 132;
export const ROOT_BACKREF = 144;
export const ROOT_REF = 156;
export const EXTENT_ITEM = 168;
export const METADATA_ITEM = 169;
export const EXTENT_OWNER_REF = 172;
export const TREE_BLOCK_REF = 176;
export const EXTENT_DATA_REF = 178;
export const SHARED_BLOCK_REF = 182;
export const SHARED_DATA_REF = 184;
export const BLOCK_GROUP_ITEM = 192;
export const FREE_SPACE_INFO = 198;
export const FREE_SPACE_EXTENT = 199;
export const FREE_SPACE_BITMAP = 200;
export const DEV_EXTENT = 204;
export const DEV_ITEM = 216;
export const CHUNK_ITEM = 228;
export const RAID_STRIPE = 230;
export const QGROUP_STATUS = 240;
export const QGROUP_INFO = 242;
export const QGROUP_LIMIT = 244;
export const QGROUP_RELATION = 246;
/** Saved state of a balance. */
export const TEMPORARY_ITEM = 248;
/** Error counters of a device. */
export const PERSISTENT_ITEM = 249;
export const DEV_REPLACE = 250;
export const UUID_SUBVOL = 251;
export const UUID_RECEIVED_SUBVOL = 252;
export const STRING_ITEM = 253;

const NAMES: ReadonlyMap<number, string> = new Map([
  [UNTYPED, "UNTYPED"],
  [INODE_ITEM, "INODE_ITEM"],
  [INODE_REF, "INODE_REF"],
  [INODE_EXTREF, "INODE_EXTREF"],
  [XATTR_ITEM, "XATTR_ITEM"],
  [VERITY_DESC_ITEM, "VERITY_DESC_ITEM"],
  [VERITY_MERKLE_ITEM, "VERITY_MERKLE_ITEM"],
  [ORPHAN_ITEM, "ORPHAN_ITEM"],
  [DIR_LOG_ITEM, "DIR_LOG_ITEM"],
  [DIR_LOG_INDEX, "DIR_LOG_INDEX"],
  [DIR_ITEM, "DIR_ITEM"],
  [DIR_INDEX, "DIR_INDEX"],
  [EXTENT_DATA, "EXTENT_DATA"],
  [EXTENT_CSUM, "EXTENT_CSUM"],
  [ROOT_ITEM, "ROOT_ITEM"],
  [ROOT_BACKREF, "ROOT_BACKREF"],
  [ROOT_REF, "ROOT_REF"],
  [EXTENT_ITEM, "EXTENT_ITEM"],
  [METADATA_ITEM, "METADATA_ITEM"],
  [EXTENT_OWNER_REF, "EXTENT_OWNER_REF"],
  [TREE_BLOCK_REF, "TREE_BLOCK_REF"],
  [EXTENT_DATA_REF, "EXTENT_DATA_REF"],
  [SHARED_BLOCK_REF, "SHARED_BLOCK_REF"],
  [SHARED_DATA_REF, "SHARED_DATA_REF"],
  [BLOCK_GROUP_ITEM, "BLOCK_GROUP_ITEM"],
  [FREE_SPACE_INFO, "FREE_SPACE_INFO"],
  [FREE_SPACE_EXTENT, "FREE_SPACE_EXTENT"],
  [FREE_SPACE_BITMAP, "FREE_SPACE_BITMAP"],
  [DEV_EXTENT, "DEV_EXTENT"],
  [DEV_ITEM, "DEV_ITEM"],
  [CHUNK_ITEM, "CHUNK_ITEM"],
  [RAID_STRIPE, "RAID_STRIPE"],
  [QGROUP_STATUS, "QGROUP_STATUS"],
  [QGROUP_INFO, "QGROUP_INFO"],
  [QGROUP_LIMIT, "QGROUP_LIMIT"],
  [QGROUP_RELATION, "QGROUP_RELATION"],
  [TEMPORARY_ITEM, "TEMPORARY_ITEM"],
  [PERSISTENT_ITEM, "PERSISTENT_ITEM"],
  [DEV_REPLACE, "DEV_REPLACE"],
  [UUID_SUBVOL, "UUID_SUBVOL"],
  [UUID_RECEIVED_SUBVOL, "UUID_RECEIVED_SUBVOL"],
  [STRING_ITEM, "STRING_ITEM"],
]);

/** Name of an item type, as `EXTENT_DATA`; `UNKNOWN.77` where it has none. */
export function keyTypeName(type: number): string {
  return NAMES.get(type) ?? `UNKNOWN.${type}`;
}
