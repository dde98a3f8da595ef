import { struct, u64 } from "../bytes/struct.ts";

/** `struct btrfs_qgroup_status_item`. Since Linux 6.7 the generation that enabled quotas may follow. */
export const QgroupStatusItem = struct("btrfs_qgroup_status_item", 32, {
  /** 1. */
  version: u64,
  generation: u64,
  /** `QGROUP_STATUS_*`. */
  flags: u64,
  /** Logical address at which a scan goes on. */
  rescan: u64,
});

/** Offset in bytes of the generation that may follow a `QgroupStatusItem`. */
export const QGROUP_ENABLE_GEN_AT = QgroupStatusItem.byteLength;

export const QGROUP_STATUS_ON = 1n << 0n;
export const QGROUP_STATUS_RESCAN = 1n << 1n;
export const QGROUP_STATUS_INCONSISTENT = 1n << 2n;
export const QGROUP_STATUS_SIMPLE_MODE = 1n << 3n;

/** `struct btrfs_qgroup_info_item`: all in bytes. */
export const QgroupInfoItem = struct("btrfs_qgroup_info_item", 40, {
  generation: u64,
  rfer: u64,
  rferCmpr: u64,
  excl: u64,
  exclCmpr: u64,
});

/** `struct btrfs_qgroup_limit_item`: all in bytes. */
export const QgroupLimitItem = struct("btrfs_qgroup_limit_item", 40, {
  flags: u64,
  maxRfer: u64,
  maxExcl: u64,
  rsvRfer: u64,
  rsvExcl: u64,
});

/** As `0/257`: level and id. */
export function formatQgroupId(id: bigint): string {
  return `${id >> 48n}/${id & 0xffff_ffff_ffffn}`;
}
