import { struct, u64 } from "../bytes/struct.ts";

/** `struct btrfs_block_group_item`. Its key gives the logical start and the length in bytes. */
export const BlockGroupItem = struct("btrfs_block_group_item", 24, {
  /** Allocated bytes, copies not counted. */
  used: u64,
  /** 256. */
  chunkObjectid: u64,
  /** Type and profile, as in the chunk. */
  flags: u64,
});
