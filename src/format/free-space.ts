import { nested, struct, u32, u64 } from "../bytes/struct.ts";
import { DiskKey } from "./key.ts";

/** `struct btrfs_free_space_info`: one for each block group, in the free space tree. */
export const FreeSpaceInfo = struct("btrfs_free_space_info", 8, {
  /** Free ranges that touch no other. */
  extentCount: u32,
  /** `FREE_SPACE_USING_BITMAPS`. */
  flags: u32,
});

export const FREE_SPACE_USING_BITMAPS = 1;

/** Bytes of a full FREE_SPACE_BITMAP item; a bit is a sector, lowest bit first, 1 is free. */
export const FREE_SPACE_BITMAP_BYTES = 256;

/** `struct btrfs_free_space_header`: version 1 of the cache, in the root tree. */
export const FreeSpaceHeader = struct("btrfs_free_space_header", 41, {
  /** Key of the inode that holds the cache. */
  location: nested(DiskKey),
  generation: u64,
  numEntries: u64,
  numBitmaps: u64,
});
