import { constants } from "node:fs";
import { viewOf } from "../bytes/bytes.ts";
import { nested, s64, struct, u16, u32, u64 } from "../bytes/struct.ts";
import { AT_FDCWD, type CallContext, call, check, cString, type Name, procPath, scratch } from "./call.ts";
import { errnoOf } from "./errno.ts";
import type { Native } from "./native.ts";
import { close, O_PATH, openat } from "./open.ts";
import { BTRFS_SUPER_MAGIC } from "./super-magic.ts";

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const NOTHING = new Uint8Array(1);

/**
 * Functions here take a directory and a name in it, or `undefined` as the name for the open file itself. A symbolic
 * link is never followed in the last component.
 */

/** @param uid, gid 4294967295 leaves it as it is. Setuid bits and capabilities are dropped by the kernel. */
export function fchownat(native: Native, fd: number, name: Name | undefined, uid: number, gid: number): void {
  const path = name === undefined ? NOTHING : cString(name);
  const flags = name === undefined ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  call(native, "fchownat", [fd, path, uid, gid, flags], { act: "change owner", fd, name });
}

/**
 * @param mode Permission bits with setuid, setgid and sticky.
 * @throws {KernelError} EOPNOTSUPP for a symbolic link: it has no mode of its own.
 */
export function fchmodat(native: Native, fd: number, name: Name | undefined, mode: number): void {
  const context = { act: "change mode", fd, name };
  if (name === undefined) {
    call(native, "fchmod", [fd, mode], context);
    return;
  }
  const path = cString(name);
  const result = native.call("fchmodat2", [fd, path, mode, AT_SYMLINK_NOFOLLOW]);
  if (result === -errnoOf("ENOSYS")) chmodThroughDescriptor(native, fd, name, mode, context);
  else check(native, result, "fchmodat2", context);
}

/** Before Linux 6.6: `fchmodat` follows symbolic links, so it gets a path that is none. */
function chmodThroughDescriptor(native: Native, fd: number, name: Name, mode: number, context: CallContext): void {
  const opened = openat(native, fd, name, O_PATH | constants.O_NOFOLLOW);
  try {
    const isLink = (statx(native, opened, undefined).mode & constants.S_IFMT) === constants.S_IFLNK;
    if (isLink) check(native, -errnoOf("EOPNOTSUPP"), "fchmodat", context);
    call(native, "fchmodat", [AT_FDCWD, cString(procPath(opened)), mode], context);
  } finally {
    close(native, opened);
  }
}

/** `struct timespec` of a 64-bit kernel; `nsec` counts up from `sec`, also before 1970. */
const Timespec = struct("timespec", 16, { sec: s64, nsec: s64 });

/** Seconds since 1970, negative before, and 0 to 999999999 nanoseconds after that. */
export interface Timestamp {
  readonly sec: bigint;
  readonly nsec: number;
}

const UTIME_OMIT = 0x3ffffffen;

/** Sets access and modification time to the nanosecond; one that is left out stays. */
export function utimensat(
  native: Native,
  fd: number,
  name: Name | undefined,
  times: { atime?: Timestamp | undefined; mtime?: Timestamp | undefined },
): void {
  const args = scratch(2 * Timespec.byteLength);
  [times.atime, times.mtime].forEach((time, index) => {
    const view = new Timespec(viewOf(args), index * Timespec.byteLength);
    view.sec = time?.sec ?? 0n;
    view.nsec = time === undefined ? UTIME_OMIT : BigInt(time.nsec);
  });
  const context = { act: "set times", fd, name };
  if (name !== undefined) {
    call(native, "utimensat", [fd, cString(name), args, AT_SYMLINK_NOFOLLOW], context);
    return;
  }
  const result = native.call("utimensat", [fd, null, args, 0]);
  // An O_PATH descriptor is refused here; Linux 5.8 takes it with AT_EMPTY_PATH.
  if (result === -errnoOf("EBADF")) call(native, "utimensat", [fd, NOTHING, args, AT_EMPTY_PATH], context);
  else check(native, result, "utimensat", context);
}

/** `struct statx_timestamp`. */
const StatxTimestamp = struct("statx_timestamp", 16, { sec: s64, nsec: u32, reserved: u32 });

/** `struct statx` of `linux/stat.h`. */
export const Statx = struct("statx", 256, {
  /** `STATX_*`: which fields the kernel filled. */
  mask: u32,
  blksize: u32,
  attributes: u64,
  nlink: u32,
  uid: u32,
  gid: u32,
  /** Type and permission bits. */
  mode: u16,
  spare: u16,
  ino: u64,
  size: u64,
  /** Of 512 bytes. */
  blocks: u64,
  attributesMask: u64,
  atime: nested(StatxTimestamp),
  /** Creation. */
  btime: nested(StatxTimestamp),
  ctime: nested(StatxTimestamp),
  mtime: nested(StatxTimestamp),
  rdevMajor: u32,
  rdevMinor: u32,
  devMajor: u32,
  devMinor: u32,
  mountId: u64,
  dioMemAlign: u32,
  dioOffsetAlign: u32,
  /** Subvolume id, since Linux 6.10 (`STATX_SUBVOL`). */
  subvol: u64,
  spare0: u64,
  spare1: u64,
  spare2: u64,
  spare3: u64,
  spare4: u64,
  spare5: u64,
  spare6: u64,
  spare7: u64,
  spare8: u64,
  spare9: u64,
  spare10: u64,
});

export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;
export const STATX_MNT_ID = 0x1000;
export const STATX_SUBVOL = 0x8000;

/** Type, mode, owner, size, times and more of a name, or of the open file. The answer reads its fields where the kernel wrote them. */
export function statx(native: Native, fd: number, name: Name | undefined): InstanceType<typeof Statx> {
  const buffer = scratch(Statx.byteLength); // the kernel fills all of it
  const path = name === undefined ? NOTHING : cString(name);
  const flags = name === undefined ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  const wanted = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID | STATX_SUBVOL;
  call(native, "statx", [fd, path, flags, wanted, buffer], { act: "read attributes", fd, name });
  return new Statx(viewOf(buffer));
}

/** `struct statfs` of a 64-bit kernel (`asm-generic/statfs.h`). */
export const Statfs = struct("statfs", 120, {
  type: u64,
  /** On btrfs the sector size. */
  bsize: u64,
  blocks: u64,
  bfree: u64,
  bavail: u64,
  files: u64,
  ffree: u64,
  fsid: u64,
  namelen: u64,
  frsize: u64,
  flags: u64,
  spare0: u64,
  spare1: u64,
  spare2: u64,
  spare3: u64,
});

/** Type and space of the filesystem that the open file lies on. */
export function fstatfs(native: Native, fd: number): InstanceType<typeof Statfs> {
  const buffer = scratch(Statfs.byteLength);
  call(native, "fstatfs", [fd, buffer], { act: "read filesystem attributes", fd });
  return new Statfs(viewOf(buffer));
}

export function isBtrfs(native: Native, fd: number): boolean {
  return fstatfs(native, fd).type === BTRFS_SUPER_MAGIC;
}
