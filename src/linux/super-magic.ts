export const BTRFS_SUPER_MAGIC = 0x9123683en;
