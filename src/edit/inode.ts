import { asStruct } from "../bytes/struct.ts";
import { writeSafe } from "../bytes/u64.ts";
import { BtrfsError } from "../errors.ts";
import { InodeItem } from "../format/inode.ts";
import { type Key, keyOf } from "../format/key.ts";
import { INODE_ITEM } from "../format/key-type.ts";
import type { DelayedItem } from "../transaction/delayed-items.ts";
import { setTime } from "../transaction/new-items.ts";
import { nextInode, numberOf, type Place } from "./place.ts";

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

/** What is made in a directory; flags that are given stand for those that it would inherit, and for the property. */
export interface NewInode extends InodeAttributes {
  /** Its mode and group are these, whatever setgid and the default ACL of the directory say. */
  readonly ownAccess?: boolean | undefined;
}

export function inodeKey(inode: bigint): Key {
  return keyOf(inode, INODE_ITEM, 0n);
}

/** The item of an inode, where it waits. @throws {BtrfsError} `missing`; {Wait}. */
export function inodeItem({ tx, tree }: Place, inode: number): DelayedItem {
  const item = tx.items(tree).find(inode, INODE_ITEM, 0);
  if (item !== undefined) return item;
  throw new BtrfsError("missing", "Cannot find inode: there is none of this number", {
    where: { tree, inode: BigInt(inode) },
  });
}

/** The fields of an item that `inodeItem` gave. */
export function inodeView({ tree }: Place, item: DelayedItem): InodeView {
  return asStruct(InodeItem, item.view, { tree });
}

/** An inode item, in bytes of its own. @throws {BtrfsError} `missing`. */
export async function readInode(at: Place, inode: bigint): Promise<InodeView> {
  const number = numberOf(inode);
  return at.tx.now(() => asStruct(InodeItem, inodeItem(at, number).data!.slice(), { tree: at.tree, inode }));
}

/** As `readInode`, where it lies: it changes with the next step. */
export function lookAtInode(at: Place, inode: bigint): InodeView | Promise<InodeView> {
  const number = numberOf(inode);
  return at.tx.now(() => inodeView(at, inodeItem(at, number)));
}

/** The fields of an inode that is about to be changed, with a note of in which transaction. */
export function changeInode(at: Place, item: DelayedItem): InodeView {
  const { tx, tree, now } = at;
  tx.items(tree).mark(item);
  tx.noteChange(tree, now);
  const inode = inodeView(at, item);
  writeSafe(inode.view, InodeItem.offsets.transid, tx.generation);
  const { view } = inode;
  const low = view.getUint32(InodeItem.offsets.sequence, true) + 1;
  if (low <= 0xffff_ffff) view.setUint32(InodeItem.offsets.sequence, low, true);
  else inode.sequence++;
  return inode;
}

/** Changes an inode item, and notes in which transaction. */
export async function editInode(at: Place, inode: bigint, change: (item: InodeView) => void): Promise<void> {
  const number = numberOf(inode);
  await at.tx.now(() => change(changeInode(at, inodeItem(at, number))));
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
  return at.tx.now(() => {
    const inode = nextInode(at);
    insertInodeNow(at, inode, type, 0, attributes, rdev);
    return BigInt(inode);
  });
}

/**
 * A new inode.
 *
 * @param inode Number from `nextInode`.
 * @param nlink Names that it is about to get.
 */
export function insertInodeNow(
  { tx, tree, now }: Place,
  inode: number,
  type: number,
  nlink: number,
  attributes: InodeAttributes = {},
  rdev = 0n,
): void {
  const items = tx.items(tree);
  items.begin(inode);
  const { view } = items.insert(inode, INODE_ITEM, 0, InodeItem.byteLength);
  const item = new InodeItem(view);
  writeSafe(view, InodeItem.offsets.generation, tx.generation);
  writeSafe(view, InodeItem.offsets.transid, tx.generation);
  item.mode = type | ((attributes.mode ?? 0o644) & 0o7777);
  item.nlink = nlink;
  item.uid = attributes.uid ?? 0;
  item.gid = attributes.gid ?? 0;
  if (rdev !== 0n) item.rdev = rdev;
  if (attributes.flags !== undefined) item.flags = attributes.flags;
  setTime(item.atime, attributes.atime ?? now);
  setTime(item.mtime, attributes.mtime ?? now);
  setTime(item.ctime, attributes.ctime ?? now);
  setTime(item.otime, attributes.otime ?? now);
  tx.noteChange(tree, now);
}

/** Removes every item of an inode. What its extents refer to has been dropped before. */
export async function removeInodeItems({ tx, tree, now }: Place, inode: bigint): Promise<void> {
  await tx.removeObject(tree, inode);
  tx.noteChange(tree, now);
}
