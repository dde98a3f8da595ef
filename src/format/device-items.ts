import { bytes, nested, struct, u32, u64 } from "../bytes/struct.ts";

/** `struct btrfs_dev_extent`: a range of a device that belongs to a chunk. Its key gives the device and the start. */
export const DevExtent = struct("btrfs_dev_extent", 48, {
  /** 3. */
  chunkTree: u64,
  /** 256. */
  chunkObjectid: u64,
  /** Logical start of the chunk. */
  chunkOffset: u64,
  /** In bytes of the device. */
  length: u64,
  chunkTreeUuid: bytes(16),
});

/** `struct btrfs_dev_stats_item`: errors of a device since they were last reset. */
export const DevStatsItem = struct("btrfs_dev_stats_item", 40, {
  writeErrs: u64,
  readErrs: u64,
  flushErrs: u64,
  corruptionErrs: u64,
  generationErrs: u64,
});

/** `struct btrfs_dev_replace_item`: the device replacement that runs, or the last one. */
export const DevReplaceItem = struct("btrfs_dev_replace_item", 72, {
  srcDevid: u64,
  cursorLeft: u64,
  cursorRight: u64,
  contReadingFromSrcdevMode: u64,
  /** `REPLACE_*`. */
  replaceState: u64,
  /** Seconds since 1970. */
  timeStarted: u64,
  timeStopped: u64,
  numWriteErrors: u64,
  numUncorrectableReadErrors: u64,
});

/** `BTRFS_IOCTL_DEV_REPLACE_STATE_*`. */
export const REPLACE_NEVER_STARTED = 0n;
export const REPLACE_STARTED = 1n;
export const REPLACE_FINISHED = 2n;
export const REPLACE_CANCELED = 3n;
export const REPLACE_SUSPENDED = 4n;

/** `struct btrfs_disk_balance_args`: filters of a balance for one kind of chunk. */
export const DiskBalanceArgs = struct("btrfs_disk_balance_args", 136, {
  profiles: u64,
  /** Or, as two u32, the least and the greatest. */
  usage: u64,
  devid: u64,
  pstart: u64,
  pend: u64,
  vstart: u64,
  vend: u64,
  target: u64,
  flags: u64,
  limit: u64,
  stripesMin: u32,
  stripesMax: u32,
  unused: bytes(48),
});

/** `struct btrfs_balance_item`: a balance that was interrupted. */
export const BalanceItem = struct("btrfs_balance_item", 448, {
  flags: u64,
  data: nested(DiskBalanceArgs),
  meta: nested(DiskBalanceArgs),
  sys: nested(DiskBalanceArgs),
  unused: bytes(32),
});
