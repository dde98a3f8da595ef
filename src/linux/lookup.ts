import { newStruct } from "../bytes/struct.ts";
import { BtrfsError } from "../errors.ts";
import { untilNul } from "./call.ts";
import { bytesOf, ioctl } from "./ioctl.ts";
import type { Native } from "./native.ts";
import { INO_LOOKUP, INO_PATHS, LOGICAL_INO_V2, type Request } from "./requests.ts";
import { DataContainer, InoLookupArgs, InoPathArgs, LogicalInoArgs } from "./structs.ts";

/** Inode number of every subvolume's root directory. */
const FIRST_FREE_OBJECTID = 256n;

/** Object id of the subvolume that the open file lies in. Anybody may ask. */
export function getSubvolumeId(native: Native, fd: number): bigint {
  const args = newStruct(InoLookupArgs);
  args.objectid = FIRST_FREE_OBJECTID;
  ioctl(native, fd, INO_LOOKUP, bytesOf(args), { act: "read subvolume id" });
  return args.treeid;
}

/**
 * One path of an inode from the root of its subvolume, without a slash at either end; empty for that root.
 *
 * @param tree The subvolume; 0 is the one that `fd` lies in. Needs root, except for the inode of `fd`'s own root.
 */
export function lookupInode(native: Native, fd: number, tree: bigint, inode: bigint): Uint8Array {
  const args = newStruct(InoLookupArgs);
  args.treeid = tree;
  args.objectid = inode;
  const help = { EPERM: "this needs root (CAP_SYS_ADMIN)" };
  ioctl(native, fd, INO_LOOKUP, bytesOf(args), { act: `find path of inode ${inode}`, help });
  const path = untilNul(args.name);
  return path.at(-1) === 0x2f ? path.subarray(0, -1) : path;
}

/** All paths of an inode of the subvolume that `fd` lies in, from its root: one for each hard link. */
export function inodePaths(native: Native, fd: number, inode: bigint): Uint8Array[] {
  const args = newStruct(InoPathArgs);
  args.inum = inode;
  const container = fill(native, fd, INO_PATHS, `find paths of inode ${inode}`, (address, size) => {
    args.fspath = address;
    args.size = size;
    return bytesOf(args);
  });
  // Each value is where a path begins, counted from the first value.
  return valuesOf(container, 1).map(([start]) =>
    untilNul(container.subarray(DataContainer.byteLength + Number(start))),
  );
}

/** A file that uses an extent. */
export interface ExtentUser {
  readonly inode: bigint;
  /** Offset in the file, in bytes. */
  readonly offset: bigint;
  /** Subvolume. */
  readonly root: bigint;
}

const IGNORE_OFFSET = 1n;

/**
 * The files that use the byte at a logical address, or with `wholeExtent` any byte of the extent that starts there.
 *
 * @throws {KernelError} ENOENT when nothing does, or when `wholeExtent` and no extent starts there.
 */
export function extentUsers(native: Native, fd: number, logical: bigint, wholeExtent = false): ExtentUser[] {
  const args = newStruct(LogicalInoArgs);
  args.logical = logical;
  args.flags = wholeExtent ? IGNORE_OFFSET : 0n;
  const container = fill(native, fd, LOGICAL_INO_V2, `find users of logical ${logical}`, (address, size) => {
    args.inodes = address;
    args.size = size;
    return bytesOf(args);
  });
  return valuesOf(container, 3).map(([inode, offset, root]) => ({ inode: inode!, offset: offset!, root: root! }));
}

const FIRST_TRY_BYTES = 65536;
/** Largest container that the kernel fills (`LOGICAL_INO_V2`; `INO_PATHS` stops at 4096 and says so by `elemMissed`). */
const MAX_CONTAINER_BYTES = 16 << 20;

/** Calls with a container, and again with a larger one while something is missing. */
function fill(
  native: Native,
  fd: number,
  request: Request,
  act: string,
  argsFor: (address: bigint, size: bigint) => Uint8Array,
): Uint8Array {
  for (let size = FIRST_TRY_BYTES; ; size *= 16) {
    const container = new Uint8Array(size);
    ioctl(native, fd, request, argsFor(native.addressOf(container), BigInt(size)), { act }, container);
    const { elemMissed } = new DataContainer(new DataView(container.buffer));
    if (elemMissed === 0) return container;
    if (size >= MAX_CONTAINER_BYTES) {
      throw new BtrfsError(
        "limit",
        `Cannot ${act}: ${elemMissed} of them do not fit, the kernel tells ${size} bytes of them`,
      );
    }
  }
}

function valuesOf(container: Uint8Array, perElement: number): bigint[][] {
  const view = new DataView(container.buffer);
  const { elemCnt } = new DataContainer(view);
  const values: bigint[][] = [];
  // elemCnt counts values of LOGICAL_INO and paths of INO_PATHS.
  for (let at = 0; at + perElement <= elemCnt; at += perElement) {
    const start = DataContainer.byteLength + at * 8;
    values.push(Array.from({ length: perElement }, (_, index) => view.getBigUint64(start + index * 8, true)));
  }
  return values;
}
