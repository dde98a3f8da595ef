import { bytes, nested, s64, struct, u32, u64 } from "../bytes/struct.ts";
import { flagNames } from "./flags.ts";

/** `struct btrfs_timespec`. */
export const Timespec = struct("btrfs_timespec", 12, {
  /** Seconds since 1970, signed. */
  sec: s64,
  nsec: u32,
});

/** `struct btrfs_inode_item`. */
export const InodeItem = struct("btrfs_inode_item", 160, {
  /** Created in. */
  generation: u64,
  /** Last changed in. */
  transid: u64,
  /** Length of a file in bytes; of a directory, twice the bytes of its names. */
  size: u64,
  /** File bytes that lie in extents. */
  nbytes: u64,
  blockGroup: u64,
  nlink: u32,
  uid: u32,
  gid: u32,
  /** `S_IFMT` and permissions. */
  mode: u32,
  /** Major number times 2^20, or minor number. */
  rdev: u64,
  /** `INODE_*` in the low half, `INODE_RO_*` in the high half. */
  flags: u64,
  sequence: u64,
  reserved: bytes(32),
  atime: nested(Timespec),
  ctime: nested(Timespec),
  mtime: nested(Timespec),
  otime: nested(Timespec),
});

export const INODE_NODATASUM = 1 << 0;
export const INODE_NODATACOW = 1 << 1;
export const INODE_READONLY = 1 << 2;
export const INODE_NOCOMPRESS = 1 << 3;
export const INODE_PREALLOC = 1 << 4;
export const INODE_SYNC = 1 << 5;
export const INODE_IMMUTABLE = 1 << 6;
export const INODE_APPEND = 1 << 7;
export const INODE_NODUMP = 1 << 8;
export const INODE_NOATIME = 1 << 9;
export const INODE_DIRSYNC = 1 << 10;
export const INODE_COMPRESS = 1 << 11;
/** Only in the inode inside a root item: its flags and limit are valid. */
export const INODE_ROOT_ITEM_INIT = 0x8000_0000;
/** Bit 0 of the high half. */
export const INODE_RO_VERITY = 1 << 0;

/** Bits of the low half that may be set. */
export const INODE_FLAG_MASK = 0xfff + INODE_ROOT_ITEM_INIT;

const INODE_FLAG_NAMES: readonly (readonly [bigint, string])[] = [
  [BigInt(INODE_NODATASUM), "NODATASUM"],
  [BigInt(INODE_NODATACOW), "NODATACOW"],
  [BigInt(INODE_READONLY), "READONLY"],
  [BigInt(INODE_NOCOMPRESS), "NOCOMPRESS"],
  [BigInt(INODE_PREALLOC), "PREALLOC"],
  [BigInt(INODE_SYNC), "SYNC"],
  [BigInt(INODE_IMMUTABLE), "IMMUTABLE"],
  [BigInt(INODE_APPEND), "APPEND"],
  [BigInt(INODE_NODUMP), "NODUMP"],
  [BigInt(INODE_NOATIME), "NOATIME"],
  [BigInt(INODE_DIRSYNC), "DIRSYNC"],
  [BigInt(INODE_COMPRESS), "COMPRESS"],
  [BigInt(INODE_ROOT_ITEM_INIT), "ROOT_ITEM_INIT"],
  [1n << 32n, "VERITY"],
];

export function inodeFlagNames(flags: bigint): string[] {
  return flagNames(flags, INODE_FLAG_NAMES);
}

export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;
