import { concatBytes, toBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { readSafe } from "../bytes/u64.ts";
import { BtrfsError } from "../errors.ts";
import { DirItem, dirEntryEnd, NAME_LEN } from "../format/dir-item.ts";
import { S_IFDIR, S_IFMT } from "../format/inode.ts";
import { decodeKey, type Key } from "../format/key.ts";
import { DIR_INDEX, DIR_ITEM } from "../format/key-type.ts";
import { ITEM_HEADER_BYTES } from "../format/node.ts";
import type { DelayedItem } from "../transaction/delayed-items.ts";
import { leafCapacity } from "../transaction/leaf.ts";
import { fillDirEntry, setTime } from "../transaction/new-items.ts";
import { nameHash } from "../tree/hash.ts";
import { changeInode, inodeItem, inodeView } from "./inode.ts";
import { nextIndex, numberOf, type Place } from "./place.ts";

// Steps that end in "Now" don't wait: they may throw `Wait`, and do so before they change anything.

/** One name in a directory. */
export interface NamedEntry {
  /** Where it leads: an inode's or a root's key. */
  readonly location: Key;
  /** `FT_*`. */
  readonly type: number;
}

/** A record of an item: bytes `start` to `end`, exclusive. */
export interface Located {
  readonly item: DelayedItem;
  readonly start: number;
  readonly end: number;
}

/** The entry of a name, if there is one. */
export async function findName(at: Place, directory: bigint, name: Uint8Array): Promise<NamedEntry | undefined> {
  const number = numberOf(directory);
  return at.tx.now(() => entryNow(at, number, name));
}

/** As `findName`, without waiting. @throws {Wait} */
export function entryNow(at: Place, directory: number, name: Uint8Array): NamedEntry | undefined {
  const found = locateNow(at, directory, name);
  return found === undefined ? undefined : entryAt(found);
}

/** Where an inode's items have a name, of an entry or of an attribute. @throws {Wait} */
export function locateNow(
  { tx, tree }: Place,
  inode: number,
  name: Uint8Array,
  type = DIR_ITEM,
  hash = nameHash(name),
): Located | undefined {
  const item = tx.items(tree).find(inode, type, hash);
  if (item === undefined) return undefined;
  const { view } = item;
  const data = item.data!;
  for (let start = 0; start < data.byteLength; ) {
    const end = dirEntryEnd(view, start);
    const length = view.getUint16(start + DirItem.offsets.nameLen, true);
    if (isAt(data, start + DirItem.byteLength, length, name)) return { item, start, end };
    start = end;
  }
  return undefined;
}

export function entryAt({ item, start }: Located): NamedEntry {
  return { location: decodeKey(item.view, start), type: item.view.getUint8(start + DirItem.offsets.type) };
}

/** Whether `length` bytes from `start` on are `name`. */
export function isAt(data: Uint8Array, start: number, length: number, name: Uint8Array): boolean {
  if (length !== name.byteLength || start + length > data.byteLength) return false;
  for (let at = 0; at < length; at++) if (data[start + at] !== name[at]) return false;
  return true;
}

/** @throws {BtrfsError} `missing`; {Wait}. */
export function getNameNow(at: Place, directory: number, name: Uint8Array): Located {
  const found = locateNow(at, directory, name);
  if (found !== undefined) return found;
  throw new BtrfsError("missing", "Cannot find name: the directory does not have it", nameWhere(at, directory, name));
}

/** @throws {BtrfsError} `missing`. */
export async function getName(at: Place, directory: bigint, name: Uint8Array): Promise<NamedEntry> {
  const number = numberOf(directory);
  return at.tx.now(() => entryAt(getNameNow(at, number, name)));
}

/** @throws {BtrfsError} `kind`; {Wait}. */
export function demandDirectoryNow(at: Place, inode: number): void {
  const { mode } = inodeView(at, inodeItem(at, inode));
  if ((mode & S_IFMT) === S_IFDIR) return;
  const where = { where: { tree: at.tree, inode: BigInt(inode) } };
  throw new BtrfsError("kind", "Cannot make name: its parent is no directory", where);
}

/** A name that a directory is about to get. */
export interface NewEntry {
  readonly directory: number;
  readonly name: Uint8Array;
  readonly index: number;
}

/**
 * Looks at all that `addEntryNow` needs.
 *
 * @throws {BtrfsError} `exists`; `path` for what can't be a name; `limit`; {Wait}.
 */
export function newEntryNow(at: Place, directory: number, name: Uint8Array): NewEntry {
  checkName(at, directory, name);
  inodeItem(at, directory);
  const items = at.tx.items(at.tree);
  const there = items.find(directory, DIR_ITEM, nameHash(name));
  if (there !== undefined) {
    demandAbsentNow(at, directory, name);
    if (there.data!.byteLength + DirItem.byteLength + name.byteLength > maxItemBytes(at)) {
      throw new BtrfsError("limit", "Cannot make name: too many others have its hash", nameWhere(at, directory, name));
    }
  }
  return { directory, name, index: nextIndex(at, directory) };
}

/** Puts a name into a directory. What it leads to has to say so too: `addRefNow`, or the root references. */
export function addEntryNow(at: Place, { directory, name, index }: NewEntry, { location, type }: NamedEntry): void {
  const { tx, tree } = at;
  tx.adds = true;
  const items = tx.items(tree);
  const size = DirItem.byteLength + name.byteLength;
  const transid = BigInt(tx.generation);
  const entry = items.add(directory, DIR_INDEX, index, size);
  fillDirEntry(entry.data!, entry.view, 0, location, transid, type, name);
  const hash = nameHash(name);
  const there = items.find(directory, DIR_ITEM, hash);
  if (there === undefined) items.add(directory, DIR_ITEM, hash, size).data!.set(entry.data!);
  else items.replace(directory, there, concatBytes([there.data!, entry.data!]));
  changeDirectory(at, directory, 2 * name.byteLength);
}

/** Looks at all that `removeEntryNow` needs. @param index As the inode, or the root reference, said. @throws {Wait} */
export function oldEntryNow({ tx, tree }: Place, directory: number, index: number): DelayedItem {
  return tx.items(tree).get(directory, DIR_INDEX, index);
}

/** Takes a name out of a directory. */
export function removeEntryNow(
  at: Place,
  directory: number,
  name: Uint8Array,
  found: Located,
  index: DelayedItem,
): void {
  cutNow(at, directory, found);
  at.tx.items(at.tree).remove(directory, index);
  changeDirectory(at, directory, -2 * name.byteLength);
}

/** Takes a record out of its item, and with the last one the item away. */
export function cutNow({ tx, tree }: Place, objectid: number, { item, start, end }: Located): void {
  const data = item.data!;
  const items = tx.items(tree);
  if (end - start === data.byteLength) items.remove(objectid, item);
  else items.replace(objectid, item, concatBytes([data.subarray(0, start), data.subarray(end)]));
}

/** Puts a name into a directory. @returns The index of the entry. @throws {BtrfsError} as `newEntryNow`. */
export async function addEntry(at: Place, directory: bigint, name: Uint8Array, entry: NamedEntry): Promise<bigint> {
  const number = numberOf(directory);
  return at.tx.now(() => {
    const made = newEntryNow(at, number, name);
    addEntryNow(at, made, entry);
    return BigInt(made.index);
  });
}

/** Takes a name out of a directory. @param index As the root reference said. @throws {BtrfsError} `missing`. */
export async function removeEntry(at: Place, directory: bigint, name: Uint8Array, index: bigint): Promise<void> {
  const number = numberOf(directory);
  await at.tx.now(() => {
    const found = getNameNow(at, number, name);
    const item = oldEntryNow(at, number, Number(index));
    inodeItem(at, number);
    removeEntryNow(at, number, name, found, item);
  });
}

function changeDirectory(at: Place, directory: number, bytes: number): void {
  const item = changeInode(at, inodeItem(at, directory));
  item.size = BigInt.asUintN(64, item.size + BigInt(bytes));
  setTime(item.mtime, at.now);
  setTime(item.ctime, at.now);
}

/** Most bytes that an item can have: it fills a leaf. */
export function maxItemBytes({ tx }: Place): number {
  return leafCapacity(tx.volume.nodeSize) - ITEM_HEADER_BYTES;
}

function checkName(at: Place, directory: number, name: Uint8Array): void {
  const isDots = name.byteLength <= 2 && name.every((byte) => byte === 0x2e);
  if (name.byteLength === 0 || name.byteLength > NAME_LEN || name.includes(0) || name.includes(0x2f) || isDots) {
    throw new BtrfsError(
      "path",
      `Cannot make name: it has ${name.byteLength} bytes, 1 to ${NAME_LEN} may be, without "/" and NUL, and no dots alone`,
      nameWhere(at, directory, name),
    );
  }
}

export function nameWhere(
  { tree }: Place,
  directory: bigint | number,
  name: Uint8Array,
): { where: { tree: bigint; inode: bigint; path: string } } {
  return { where: { tree, inode: BigInt(directory), path: displayName(name) } };
}

/** @throws {BtrfsError} `exists`. */
export async function demandAbsent(at: Place, directory: bigint, name: string | Uint8Array): Promise<void> {
  const number = numberOf(directory);
  const bytes = toBytes(name);
  await at.tx.now(() => demandAbsentNow(at, number, bytes));
}

function demandAbsentNow(at: Place, directory: number, name: Uint8Array): void {
  if (locateNow(at, directory, name) === undefined) return;
  throw new BtrfsError("exists", "Cannot make name: the directory has it already", nameWhere(at, directory, name));
}

/** A u64 of an item as a number. */
export function safeAt(view: DataView, at: number): number {
  return readSafe(view, at, "index");
}
