/** Reserved object ids of `linux/btrfs_tree.h`. The kernel counts some down from zero: those are near 2^64 here. */
export const ROOT_TREE_OBJECTID = 1n;
export const EXTENT_TREE_OBJECTID = 2n;
export const CHUNK_TREE_OBJECTID = 3n;
export const DEV_TREE_OBJECTID = 4n;
/** The top-level subvolume. */
export const FS_TREE_OBJECTID = 5n;
/** Directory of the root tree whose entry `default` names the default subvolume. */
export const ROOT_TREE_DIR_OBJECTID = 6n;
export const CSUM_TREE_OBJECTID = 7n;
export const QUOTA_TREE_OBJECTID = 8n;
export const UUID_TREE_OBJECTID = 9n;
export const FREE_SPACE_TREE_OBJECTID = 10n;
export const BLOCK_GROUP_TREE_OBJECTID = 11n;
export const RAID_STRIPE_TREE_OBJECTID = 12n;

/** Object id of all DEV_ITEM keys in the chunk tree. */
export const DEV_ITEMS_OBJECTID = 1n;
export const DEV_STATS_OBJECTID = 0n;
/** Object id of all CHUNK_ITEM keys. */
export const FIRST_CHUNK_TREE_OBJECTID = 256n;

/** First and last id of subvolumes (beside 5) and of inodes. The first inode is the root directory. */
export const FIRST_FREE_OBJECTID = 256n;
export const LAST_FREE_OBJECTID = BigInt.asUintN(64, -256n);
/** The empty directory that stands where a snapshot has no copy of a nested subvolume. */
export const EMPTY_SUBVOL_DIR_OBJECTID = 2n;

export const BALANCE_OBJECTID = BigInt.asUintN(64, -4n);
export const ORPHAN_OBJECTID = BigInt.asUintN(64, -5n);
export const TREE_LOG_OBJECTID = BigInt.asUintN(64, -6n);
export const TREE_LOG_FIXUP_OBJECTID = BigInt.asUintN(64, -7n);
export const TREE_RELOC_OBJECTID = BigInt.asUintN(64, -8n);
export const DATA_RELOC_TREE_OBJECTID = BigInt.asUintN(64, -9n);
/** Object id of all EXTENT_CSUM keys. */
export const EXTENT_CSUM_OBJECTID = BigInt.asUintN(64, -10n);
/** Headers of the version 1 free space cache, in the root tree. */
export const FREE_SPACE_OBJECTID = BigInt.asUintN(64, -11n);
export const FREE_INO_OBJECTID = BigInt.asUintN(64, -12n);
export const CSUM_CHANGE_OBJECTID = BigInt.asUintN(64, -13n);
export const MULTIPLE_OBJECTIDS = BigInt.asUintN(64, -255n);

/** Whether `id` is one that a subvolume may have: 5, or from 256 without a quota group level in the top 16 bits. */
export function isSubvolumeId(id: bigint): boolean {
  return id === FS_TREE_OBJECTID || (id >= FIRST_FREE_OBJECTID && id >> 48n === 0n);
}

const NAMES: ReadonlyMap<bigint, string> = new Map([
  [ROOT_TREE_OBJECTID, "ROOT_TREE"],
  [EXTENT_TREE_OBJECTID, "EXTENT_TREE"],
  [CHUNK_TREE_OBJECTID, "CHUNK_TREE"],
  [DEV_TREE_OBJECTID, "DEV_TREE"],
  [FS_TREE_OBJECTID, "FS_TREE"],
  [ROOT_TREE_DIR_OBJECTID, "ROOT_TREE_DIR"],
  [CSUM_TREE_OBJECTID, "CSUM_TREE"],
  [QUOTA_TREE_OBJECTID, "QUOTA_TREE"],
  [UUID_TREE_OBJECTID, "UUID_TREE"],
  [FREE_SPACE_TREE_OBJECTID, "FREE_SPACE_TREE"],
  [BLOCK_GROUP_TREE_OBJECTID, "BLOCK_GROUP_TREE"],
  [RAID_STRIPE_TREE_OBJECTID, "RAID_STRIPE_TREE"],
  [BALANCE_OBJECTID, "BALANCE"],
  [ORPHAN_OBJECTID, "ORPHAN"],
  [TREE_LOG_OBJECTID, "TREE_LOG"],
  [TREE_LOG_FIXUP_OBJECTID, "TREE_LOG_FIXUP"],
  [TREE_RELOC_OBJECTID, "TREE_RELOC"],
  [DATA_RELOC_TREE_OBJECTID, "DATA_RELOC_TREE"],
  [EXTENT_CSUM_OBJECTID, "EXTENT_CSUM"],
  [FREE_SPACE_OBJECTID, "FREE_SPACE"],
  [FREE_INO_OBJECTID, "FREE_INO"],
  [CSUM_CHANGE_OBJECTID, "CSUM_CHANGE"],
  [MULTIPLE_OBJECTIDS, "MULTIPLE"],
]);

/** Name of a tree, as `FS_TREE`, or the number where it has none. */
export function treeName(id: bigint): string {
  return NAMES.get(id) ?? id.toString();
}

/** The tree with this name, as `treeName` has it or people write it: `FS_TREE`, `fs`, `free-space`. */
export function treeIdByName(name: string): bigint | undefined {
  const plain = (text: string): string =>
    text
      .toLowerCase()
      .replaceAll("_", "-")
      .replace(/-tree$/, "");
  for (const [id, known] of NAMES) {
    const isTree = id <= RAID_STRIPE_TREE_OBJECTID || /TREE|LOG|RELOC/.test(known);
    if (isTree && id !== ROOT_TREE_DIR_OBJECTID && plain(known) === plain(name)) return id;
  }
  return undefined;
}

/**
 * An object id in a key. Small ids mean different things in different trees, so only the ones near 2^64 have names.
 */
export function objectidName(id: bigint): string {
  return (id > LAST_FREE_OBJECTID ? NAMES.get(id) : undefined) ?? id.toString();
}
