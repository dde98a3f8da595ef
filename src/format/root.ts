import { viewOf } from "../bytes/bytes.ts";
import { bytes, nested, struct, u8, u16, u32, u64 } from "../bytes/struct.ts";
import { CorruptError, type Where } from "../errors.ts";
import { INODE_ROOT_ITEM_INIT, InodeItem, Timespec } from "./inode.ts";
import { DiskKey } from "./key.ts";

/** `struct btrfs_root_item`. Old ones end before `generationV2`: see `decodeRootItem`. */
export const RootItem = struct("btrfs_root_item", 439, {
  inode: nested(InodeItem),
  generation: u64,
  /** Inode of the root directory: 256 in subvolumes, else 0. */
  rootDirid: u64,
  /** Logical address of the root node. */
  bytenr: u64,
  byteLimit: u64,
  bytesUsed: u64,
  lastSnapshot: u64,
  /** `ROOT_SUBVOL_*`. */
  flags: u64,
  /** 0 is a deleted subvolume. */
  refs: u32,
  /** How far a deletion got: keys below it are gone. */
  dropProgress: nested(DiskKey),
  dropLevel: u8,
  level: u8,
  /** Equal to `generation`, unless the fields after it are stale. */
  generationV2: u64,
  uuid: bytes(16),
  parentUuid: bytes(16),
  receivedUuid: bytes(16),
  /** Last change of an inode. */
  ctransid: u64,
  /** Creation. */
  otransid: u64,
  /** Generation on the sending side; 0 unless received. */
  stransid: u64,
  /** Generation in which it was received. */
  rtransid: u64,
  ctime: nested(Timespec),
  otime: nested(Timespec),
  stime: nested(Timespec),
  rtime: nested(Timespec),
  reserved: bytes(64),
});

/** Bytes of a root item as it was before `generationV2`. */
export const OLD_ROOT_ITEM_BYTES = RootItem.offsets.generationV2;

export const ROOT_SUBVOL_RDONLY = 1n << 0n;
export const ROOT_SUBVOL_DEAD = 1n << 48n;

/**
 * A root item in bytes of its own, with what is absent or stale set to zero: everything after `generation` in the old
 * form or after a kernel that did not know the rest, `flags` and `byteLimit` where they were never initialised.
 *
 * @throws {CorruptError} when `data` is neither as long as the old form nor as the new one.
 */
export function decodeRootItem(data: Uint8Array, where: Where = {}): InstanceType<typeof RootItem> {
  if (data.byteLength !== RootItem.byteLength && data.byteLength !== OLD_ROOT_ITEM_BYTES) {
    throw new CorruptError(
      `Cannot read btrfs_root_item: ${data.byteLength} bytes, expected ${RootItem.byteLength} or ${OLD_ROOT_ITEM_BYTES}`,
      where,
    );
  }
  const own = new Uint8Array(RootItem.byteLength);
  own.set(data);
  const root = new RootItem(viewOf(own));
  if (root.generationV2 !== root.generation) own.fill(0, OLD_ROOT_ITEM_BYTES);
  if ((root.inode.flags & BigInt(INODE_ROOT_ITEM_INIT)) === 0n) {
    root.flags = 0n;
    root.byteLimit = 0n;
  }
  return root;
}

/** `struct btrfs_root_ref`: ROOT_REF and ROOT_BACKREF, the name of a subvolume in another one; the name follows. */
export const RootRef = struct("btrfs_root_ref", 18, {
  /** Inode of the directory in the parent. */
  dirid: u64,
  /** Index of the entry in that directory. */
  sequence: u64,
  nameLen: u16,
});

/** `name` is bytes of the item, not a copy. */
export interface RootName {
  readonly dirid: bigint;
  readonly sequence: bigint;
  readonly name: Uint8Array;
}

/** @throws {CorruptError} when the name does not end with the item. */
export function decodeRootRef(data: Uint8Array, where: Where = {}): RootName {
  const size = RootRef.byteLength;
  const end = data.byteLength < size ? size : size + viewOf(data).getUint16(RootRef.offsets.nameLen, true);
  if (end !== data.byteLength) {
    throw new CorruptError(
      `Cannot read btrfs_root_ref: it ends at byte ${end}, the item has ${data.byteLength}`,
      where,
    );
  }
  const { dirid, sequence } = new RootRef(viewOf(data));
  return { dirid, sequence, name: data.subarray(size) };
}
