import { struct, u64 } from "../bytes/struct.ts";

/** `struct btrfs_dir_log_item`: the log holds all entries from the key's offset up to here. */
export const DirLogItem = struct("btrfs_dir_log_item", 8, { end: u64 });
