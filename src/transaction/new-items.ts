import { viewOf } from "../bytes/bytes.ts";
import { newStruct } from "../bytes/struct.ts";
import { DirItem } from "../format/dir-item.ts";
import { INODE_ROOT_ITEM_INIT, InodeItem, S_IFDIR, type Timespec } from "../format/inode.ts";
import { InodeRef } from "../format/inode-ref.ts";
import { encodeKey, type Key } from "../format/key.ts";
import { RootItem } from "../format/root.ts";

const BILLION = 1_000_000_000n;

// A step sets the same time in several places.
let latest = 0n;
let latestSeconds = 0n;
let latestRest = 0;

/** Sets a time from nanoseconds since 1970, which may be before it. */
export function setTime(target: InstanceType<typeof Timespec>, nanoseconds: bigint): void {
  if (nanoseconds !== latest) {
    const rest = ((nanoseconds % BILLION) + BILLION) % BILLION;
    latest = nanoseconds;
    latestSeconds = (nanoseconds - rest) / BILLION;
    latestRest = Number(rest);
  }
  target.sec = latestSeconds;
  target.nsec = latestRest;
}

/** An INODE_ITEM of a directory with this mode, all of its times being `now`. */
export function newDirectoryInode(mode: number, generation: number, now: bigint): InstanceType<typeof InodeItem> {
  const inode = newStruct(InodeItem);
  inode.generation = BigInt(generation);
  inode.transid = BigInt(generation);
  inode.nlink = 1;
  inode.mode = S_IFDIR | mode;
  for (const time of [inode.atime, inode.ctime, inode.mtime, inode.otime]) setTime(time, now);
  return inode;
}

/** One record of an INODE_REF. */
export function encodeInodeRef(index: bigint, name: Uint8Array): Uint8Array {
  const data = new Uint8Array(InodeRef.byteLength + name.byteLength);
  const ref = new InodeRef(viewOf(data));
  ref.index = index;
  ref.nameLen = name.byteLength;
  data.set(name, InodeRef.byteLength);
  return data;
}

/** One entry of a DIR_ITEM, DIR_INDEX or XATTR_ITEM. */
export function encodeDirEntry(
  location: Key,
  transid: bigint,
  type: number,
  name: Uint8Array,
  value: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const data = new Uint8Array(DirItem.byteLength + name.byteLength + value.byteLength);
  fillDirEntry(data, viewOf(data), 0, location, transid, type, name);
  new DirItem(viewOf(data)).dataLen = value.byteLength;
  data.set(value, DirItem.byteLength + name.byteLength);
  return data;
}

/** Writes an entry without value at byte `at` of `data`, which is zero there. */
export function fillDirEntry(
  data: Uint8Array,
  view: DataView,
  at: number,
  location: Key,
  transid: bigint,
  type: number,
  name: Uint8Array,
): void {
  encodeKey(location, view, at);
  view.setBigUint64(at + DirItem.offsets.transid, transid, true);
  view.setUint16(at + DirItem.offsets.nameLen, name.byteLength, true);
  view.setUint8(at + DirItem.offsets.type, type);
  data.set(name, at + DirItem.byteLength);
}

/** Where a new tree begins. */
export interface NewRoot {
  readonly logical: number;
  readonly level: number;
  readonly generation: number;
  readonly nodeSize: number;
}

/** A ROOT_ITEM as trees have it that are no subvolumes. */
export function newRootItem({ logical, level, generation, nodeSize }: NewRoot): InstanceType<typeof RootItem> {
  const root = newStruct(RootItem);
  // The inode inside means nothing; these are the values that the kernel and its tools give it.
  root.inode.generation = 1n;
  root.inode.size = 3n;
  root.inode.nlink = 1;
  root.inode.nbytes = BigInt(nodeSize);
  root.inode.mode = S_IFDIR | 0o755;
  root.generation = BigInt(generation);
  root.generationV2 = BigInt(generation);
  root.bytenr = BigInt(logical);
  root.bytesUsed = BigInt(nodeSize);
  root.refs = 1;
  root.level = level;
  return root;
}

/** Makes a ROOT_ITEM that of a new subvolume. */
export function initSubvolumeRoot(
  root: InstanceType<typeof RootItem>,
  uuid: Uint8Array,
  generation: number,
  now: bigint,
): void {
  root.inode.flags = BigInt(INODE_ROOT_ITEM_INIT);
  root.rootDirid = 256n;
  root.uuid = uuid;
  root.ctransid = BigInt(generation);
  root.otransid = BigInt(generation);
  setTime(root.ctime, now);
  setTime(root.otime, now);
}
