import { newStruct } from "../bytes/struct.ts";
import { BtrfsError } from "../errors.ts";
import type { Timestamp } from "./attributes.ts";
import { check, cString, displayName, type Name, untilNul } from "./call.ts";
import { errnoOf } from "./errno.ts";
import { bytesOf, describe, ioctl } from "./ioctl.ts";
import type { Native } from "./native.ts";
import {
  DEFAULT_SUBVOL,
  GET_SUBVOL_INFO,
  GET_SUBVOL_ROOTREF,
  SET_RECEIVED_SUBVOL,
  SNAP_CREATE_V2,
  SNAP_DESTROY,
  SNAP_DESTROY_V2,
  SUBVOL_CREATE_V2,
  SUBVOL_GETFLAGS,
  SUBVOL_SETFLAGS,
} from "./requests.ts";
import { ReceivedSubvolArgs, SubvolInfoArgs, SubvolRootrefArgs, VolArgs, VolArgsById, VolArgsV2 } from "./structs.ts";

/** `BTRFS_SUBVOL_*` flags. */
export const SUBVOL_RDONLY = 1n << 1n;
const SUBVOL_SPEC_BY_ID = 1n << 4n;

/** Longest name that fits into the argument, in bytes; the kernel itself takes 255. */
const NAME_MAX = 4039;

/** Creates an empty subvolume `name` in the open directory. Needs write permission there, not root. */
export function createSubvolume(native: Native, directory: number, name: Name): void {
  const args = newStruct(VolArgsV2);
  args.name = nameBytes(name);
  ioctl(native, directory, SUBVOL_CREATE_V2, bytesOf(args), { act: "create subvolume", name });
}

/**
 * Takes a snapshot of the subvolume `source` as `name` in the open directory.
 *
 * @param source A descriptor of the subvolume, or of anything in it.
 */
export function createSnapshot(
  native: Native,
  source: number,
  directory: number,
  name: Name,
  options: { readOnly?: boolean } = {},
): void {
  const args = newStruct(VolArgsV2);
  args.fd = BigInt(source);
  args.flags = options.readOnly ? SUBVOL_RDONLY : 0n;
  args.name = nameBytes(name);
  ioctl(native, directory, SNAP_CREATE_V2, bytesOf(args), { act: "create snapshot", name });
}

const DELETE_HELP = {
  EPERM: "root can do it, or the owner where the mount has user_subvol_rm_allowed",
  ENOTEMPTY: "delete the subvolumes inside first",
};

/** Deletes the subvolume `name` in the open directory, with all that is in it except other subvolumes. */
export function deleteSubvolume(native: Native, directory: number, name: Name): void {
  const args = newStruct(VolArgs);
  args.name = nameBytes(name);
  ioctl(native, directory, SNAP_DESTROY, bytesOf(args), { act: "delete subvolume", name, help: DELETE_HELP });
}

/** Deletes a subvolume by its id; `fd` is anything on the same filesystem, above the subvolume. */
export function deleteSubvolumeById(native: Native, fd: number, id: bigint): void {
  const args = newStruct(VolArgsById);
  args.flags = SUBVOL_SPEC_BY_ID;
  args.subvolid = id;
  ioctl(native, fd, SNAP_DESTROY_V2, bytesOf(args), { act: `delete subvolume ${id}`, help: DELETE_HELP });
}

/** `SUBVOL_RDONLY` or 0. @throws {KernelError} EINVAL unless `fd` is the root directory of a subvolume. */
export function getSubvolumeFlags(native: Native, fd: number): bigint {
  const flags = new BigUint64Array(1);
  ioctl(native, fd, SUBVOL_GETFLAGS, new Uint8Array(flags.buffer), { act: "read subvolume flags" });
  return flags[0]!;
}

export function setSubvolumeFlags(native: Native, fd: number, flags: bigint): void {
  const args = new Uint8Array(BigUint64Array.of(flags).buffer);
  ioctl(native, fd, SUBVOL_SETFLAGS, args, { act: "set subvolume flags" });
}

export function setReadOnly(native: Native, fd: number, readOnly: boolean): void {
  const flags = getSubvolumeFlags(native, fd);
  setSubvolumeFlags(native, fd, readOnly ? flags | SUBVOL_RDONLY : flags & ~SUBVOL_RDONLY);
}

/** What the filesystem knows of a subvolume. Ids are object ids of trees; uuids are 16 bytes, all zero for "none". */
export interface SubvolumeInfo {
  readonly id: bigint;
  /** Last component of its path; empty for the top level. */
  readonly name: Uint8Array;
  /** The subvolume that it lies in; 0 for the top level and for a deleted one. */
  readonly parentId: bigint;
  /** Inode of the directory that it lies in. */
  readonly directory: bigint;
  readonly generation: bigint;
  /** As stored in the root item: bit 0 is read-only. */
  readonly flags: bigint;
  readonly readOnly: boolean;
  readonly uuid: Uint8Array;
  readonly parentUuid: Uint8Array;
  readonly receivedUuid: Uint8Array;
  /** Generations of the last change, of creation, and of sending and receiving (0: never). */
  readonly ctransid: bigint;
  readonly otransid: bigint;
  readonly stransid: bigint;
  readonly rtransid: bigint;
  readonly ctime: Timestamp;
  readonly otime: Timestamp;
  readonly stime: Timestamp;
  readonly rtime: Timestamp;
}

const ROOT_SUBVOL_RDONLY = 1n;

/** The subvolume that the open file lies in. Anybody may ask. */
export function getSubvolumeInfo(native: Native, fd: number): SubvolumeInfo {
  const args = newStruct(SubvolInfoArgs);
  ioctl(native, fd, GET_SUBVOL_INFO, bytesOf(args), { act: "read subvolume" });
  const time = ({ sec, nsec }: Timestamp): Timestamp => ({ sec, nsec });
  return {
    id: args.treeid,
    name: untilNul(args.name),
    parentId: args.parentId,
    directory: args.dirid,
    generation: args.generation,
    flags: args.flags,
    readOnly: (args.flags & ROOT_SUBVOL_RDONLY) !== 0n,
    uuid: args.uuid,
    parentUuid: args.parentUuid,
    receivedUuid: args.receivedUuid,
    ctransid: args.ctransid,
    otransid: args.otransid,
    stransid: args.stransid,
    rtransid: args.rtransid,
    ctime: time(args.ctime),
    otime: time(args.otime),
    stime: time(args.stime),
    rtime: time(args.rtime),
  };
}

/** The subvolumes that lie directly in the one that `fd` is in: their ids, and the inodes of the directories. */
export function listChildSubvolumes(native: Native, fd: number): { id: bigint; directory: bigint }[] {
  const children: { id: bigint; directory: bigint }[] = [];
  const args = newStruct(SubvolRootrefArgs);
  for (;;) {
    const result = native.call("ioctl", [fd, GET_SUBVOL_ROOTREF.number, bytesOf(args)]);
    // The table is full, and more follow.
    const full = result === -errnoOf("EOVERFLOW");
    if (!full) {
      check(native, result, GET_SUBVOL_ROOTREF.name, describe(fd, GET_SUBVOL_ROOTREF, { act: "list subvolumes" }));
    }
    const found = new DataView(args.view.buffer, SubvolRootrefArgs.offsets.rootref);
    for (let at = 0; at < args.numItems; at++) {
      children.push({ id: found.getBigUint64(at * 16, true), directory: found.getBigUint64(at * 16 + 8, true) });
    }
    if (!full || args.numItems === 0) return children;
    args.minTreeid = children.at(-1)!.id + 1n;
  }
}

/**
 * Says that the subvolume is the received copy of another.
 *
 * @param uuid The sender's.
 * @param stransid The sender's generation.
 * @returns The generation here.
 * @throws {KernelError} EROFS when it is read-only, EINVAL unless `fd` is its root directory.
 */
export function setReceivedSubvolume(
  native: Native,
  fd: number,
  received: { uuid: Uint8Array; stransid: bigint; stime?: Timestamp },
): bigint {
  const args = newStruct(ReceivedSubvolArgs);
  args.uuid = received.uuid;
  args.stransid = received.stransid;
  args.stime.sec = received.stime?.sec ?? 0n;
  args.stime.nsec = received.stime?.nsec ?? 0;
  ioctl(native, fd, SET_RECEIVED_SUBVOL, bytesOf(args), { act: "mark subvolume as received" });
  return args.rtransid;
}

/** Which subvolume a mount without an option shows. */
export function setDefaultSubvolume(native: Native, fd: number, id: bigint): void {
  const args = new Uint8Array(BigUint64Array.of(id).buffer);
  ioctl(native, fd, DEFAULT_SUBVOL, args, { act: `make subvolume ${id} the default` });
}

function nameBytes(name: Name): Uint8Array {
  const bytes = cString(name).subarray(0, -1);
  if (bytes.byteLength > NAME_MAX) {
    throw new BtrfsError("path", `Cannot name subvolume: ${bytes.byteLength} bytes, at most ${NAME_MAX} fit`, {
      where: { path: displayName(name) },
    });
  }
  return bytes;
}
