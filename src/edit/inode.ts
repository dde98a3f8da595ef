import { asStruct, newStruct } from "../bytes/struct.ts";
import { BtrfsError } from "../errors.ts";
import { InodeItem } from "../format/inode.ts";
import { itemsOf, type Key, keyOf } from "../format/key.ts";
import { INODE_ITEM } from "../format/key-type.ts";
import { bytesOf } from "../transaction/chunk-items.ts";
import { setTime } from "../transaction/new-items.ts";
import { demandWritable, nextInode, type Place } from "./place.ts";

export type InodeView = InstanceType<typeof InodeItem>;

/** What a new inode has from the beginning. Times are nanoseconds since 1970, `now` by default. */
export interface InodeAttributes {
  /** Permissions with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly flags?: bigint | undefined;
  readonly atime?: bigint | undefined;
  readonly mtime?: bigint | undefined;
  readonly ctime?: bigint | undefined;
  readonly otime?: bigint | undefined;
}

export function inodeKey(inode: bigint): Key {
  return keyOf(inode, INODE_ITEM, 0n);
}

/** An inode item, in bytes of its own. @throws {BtrfsError} `missing`. */
export async function readInode({ tx, tree }: Place, inode: bigint): Promise<InodeView> {
  const data = await tx.get(tree, inodeKey(inode));
  if (data === undefined) {
    throw new BtrfsError("missing", "Cannot find inode: there is none of this number", { where: { tree, inode } });
  }
  return asStruct(InodeItem, data.slice(), { tree, inode });
}

/** Changes an inode item, and notes in which transaction. */
export async function editInode(at: Place, inode: bigint, change: (item: InodeView) => void): Promise<void> {
  const { tx, tree, now } = at;
  await tx.edit(tree, inodeKey(inode), (view) => {
    const item = asStruct(InodeItem, view);
    item.transid = BigInt(tx.generation);
    item.sequence++;
    change(item);
  });
  await tx.noteChange(tree, now);
}

/**
 * A new inode without a name.
 *
 * @param type `S_IF*`.
 */
export async function insertInode(
  at: Place,
  type: number,
  attributes: InodeAttributes = {},
  rdev = 0n,
): Promise<bigint> {
  const { tx, tree, now } = at;
  const inode = await nextInode(at);
  const item = newStruct(InodeItem);
  item.generation = BigInt(tx.generation);
  item.transid = BigInt(tx.generation);
  item.mode = type | ((attributes.mode ?? 0o644) & 0o7777);
  item.uid = attributes.uid ?? 0;
  item.gid = attributes.gid ?? 0;
  item.rdev = rdev;
  item.flags = attributes.flags ?? 0n;
  setTime(item.atime, attributes.atime ?? now);
  setTime(item.mtime, attributes.mtime ?? now);
  setTime(item.ctime, attributes.ctime ?? now);
  setTime(item.otime, attributes.otime ?? now);
  await tx.insert(tree, inodeKey(inode), bytesOf(item));
  await tx.noteChange(tree, now);
  return inode;
}

/** Changes of an inode's attributes; what is not named stays. Times are nanoseconds since 1970. */
export interface AttributeChanges extends InodeAttributes {}

/** Permissions, owner, flags and times, any of them; ctime becomes `now` unless it is given. */
export async function setAttributes(at: Place, inode: bigint, changes: AttributeChanges): Promise<void> {
  await demandWritable(at);
  at.tx.adds = true;
  await editInode(at, inode, (item) => {
    if (changes.mode !== undefined) item.mode = (item.mode & ~0o7777) | (changes.mode & 0o7777);
    if (changes.uid !== undefined) item.uid = changes.uid;
    if (changes.gid !== undefined) item.gid = changes.gid;
    if (changes.flags !== undefined) item.flags = changes.flags;
    if (changes.atime !== undefined) setTime(item.atime, changes.atime);
    if (changes.mtime !== undefined) setTime(item.mtime, changes.mtime);
    if (changes.otime !== undefined) setTime(item.otime, changes.otime);
    setTime(item.ctime, changes.ctime ?? at.now);
  });
}

/** Removes every item of an inode. What its extents refer to has been dropped before. */
export async function removeInodeItems({ tx, tree, now }: Place, inode: bigint): Promise<void> {
  await tx.removeRange(tree, itemsOf(inode));
  await tx.noteChange(tree, now);
}
