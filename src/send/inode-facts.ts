import { readSafe } from "../bytes/u64.ts";
import { CorruptError } from "../errors.ts";
import { INODE_NODATASUM, InodeItem } from "../format/inode.ts";
import { itemSize, itemStart, itemWhere, type Leaf } from "../format/node.ts";

const ITEM = InodeItem.offsets;

/** What an inode item says, as far as a send stream tells it. */
export interface InodeFacts {
  readonly generation: number;
  /** In bytes. */
  readonly size: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** With the type. */
  readonly mode: number;
  /** As on disk: major number times 2^20, plus minor number. */
  readonly rdev: number;
  readonly flagsLow: number;
  readonly flagsHigh: number;
  /** Those of access, change and modification, and that of creation: four `btrfs_timespec`, as a copy. */
  readonly times: Uint8Array;
}

/** Whether data of the inode has checksums. */
export function hasChecksums({ flagsLow }: InodeFacts): boolean {
  return (flagsLow & INODE_NODATASUM) === 0;
}

export function decodeFacts(leaf: Leaf, slot: number): InodeFacts {
  const at = itemStart(leaf, slot);
  if (itemSize(leaf, slot) < InodeItem.byteLength) {
    const problem = `Cannot read btrfs_inode_item: ${itemSize(leaf, slot)} bytes, the format says ${InodeItem.byteLength}`;
    throw new CorruptError(problem, itemWhere(leaf, slot));
  }
  const { view } = leaf;
  return {
    generation: readSafe(view, at + ITEM.generation, "generation of an inode"),
    size: readSafe(view, at + ITEM.size, "size of a file"),
    nlink: view.getUint32(at + ITEM.nlink, true),
    uid: view.getUint32(at + ITEM.uid, true),
    gid: view.getUint32(at + ITEM.gid, true),
    mode: view.getUint32(at + ITEM.mode, true),
    rdev: readSafe(view, at + ITEM.rdev, "device number"),
    flagsLow: view.getUint32(at + ITEM.flags, true),
    flagsHigh: view.getUint32(at + ITEM.flags + 4, true),
    times: leaf.bytes.slice(at + ITEM.atime, at + InodeItem.byteLength),
  };
}
