import { concatBytes, equalBytes, viewOf } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { BtrfsError } from "../errors.ts";
import { type DirEntry, decodeDirEntries, NAME_LEN } from "../format/dir-item.ts";
import { decodeInodeExtrefs, decodeInodeRefs, InodeExtref } from "../format/inode-ref.ts";
import { type Key, keyOf } from "../format/key.ts";
import { DIR_INDEX, DIR_ITEM, INODE_EXTREF, INODE_REF } from "../format/key-type.ts";
import { ITEM_HEADER_BYTES } from "../format/node.ts";
import { INCOMPAT_EXTENDED_IREF } from "../format/superblock.ts";
import { leafCapacity } from "../transaction/leaf.ts";
import { encodeDirEntry, encodeInodeRef, setTime } from "../transaction/new-items.ts";
import { extrefHash, nameHash } from "../tree/hash.ts";
import { editInode } from "./inode.ts";
import { nextIndex, type Place } from "./place.ts";

/** One name in a directory. */
export interface NamedEntry {
  /** Where it leads: an inode's or a root's key. */
  readonly location: Key;
  /** `FT_*`. */
  readonly type: number;
}

/** The entry of a name, if there is one. */
export async function findName(
  { tx, tree }: Place,
  directory: bigint,
  name: Uint8Array,
): Promise<NamedEntry | undefined> {
  const data = await tx.get(tree, keyOf(directory, DIR_ITEM, BigInt(nameHash(name))));
  const found = data === undefined ? undefined : decodeDirEntries(data).find((entry) => equalBytes(entry.name, name));
  return found === undefined ? undefined : { location: found.location, type: found.type };
}

/** @throws {BtrfsError} `missing`. */
export async function getName(at: Place, directory: bigint, name: Uint8Array): Promise<NamedEntry> {
  const found = await findName(at, directory, name);
  if (found !== undefined) return found;
  throw new BtrfsError("missing", "Cannot find name: the directory does not have it", nameWhere(at, directory, name));
}

/**
 * Puts a name into a directory. What it leads to has to say so too: `addInodeRef`, or the root references.
 *
 * @returns The index of the entry.
 * @throws {BtrfsError} `exists`; `path` for what can't be a name.
 */
export async function addEntry(
  at: Place,
  directory: bigint,
  name: Uint8Array,
  { location, type }: NamedEntry,
): Promise<bigint> {
  const { tx, tree } = at;
  checkName(at, directory, name);
  tx.adds = true;
  const key = keyOf(directory, DIR_ITEM, BigInt(nameHash(name)));
  const entry = encodeDirEntry(location, BigInt(tx.generation), type, name);
  const there = await tx.get(tree, key);
  if (there === undefined) {
    await tx.insert(tree, key, entry);
  } else {
    if (decodeDirEntries(there).some((other) => equalBytes(other.name, name))) {
      throw new BtrfsError("exists", "Cannot make name: the directory has it already", nameWhere(at, directory, name));
    }
    const both = concatBytes([there, entry]);
    if (both.byteLength > maxItemBytes(at)) {
      throw new BtrfsError("limit", "Cannot make name: too many others have its hash", nameWhere(at, directory, name));
    }
    await tx.replace(tree, key, both);
  }
  const index = await nextIndex(at, directory);
  await tx.insert(tree, keyOf(directory, DIR_INDEX, index), entry);
  await changeDirectory(at, directory, 2 * name.byteLength);
  return index;
}

/** Takes a name out of a directory. @param index As `removeInodeRef`, or the root reference, said. */
export async function removeEntry(at: Place, directory: bigint, name: Uint8Array, index: bigint): Promise<void> {
  const { tx, tree } = at;
  const key = keyOf(directory, DIR_ITEM, BigInt(nameHash(name)));
  const data = (await tx.get(tree, key)) ?? new Uint8Array(0);
  const rest = decodeDirEntries(data.slice()).filter((entry) => !equalBytes(entry.name, name));
  await replaceOrRemove(at, key, concatBytes(rest.map(encodeEntry)));
  await tx.remove(tree, keyOf(directory, DIR_INDEX, index));
  await changeDirectory(at, directory, -2 * name.byteLength);
}

function encodeEntry({ location, transid, type, name, data }: DirEntry): Uint8Array {
  return encodeDirEntry(location, transid, type, name, data);
}

async function changeDirectory(at: Place, directory: bigint, bytes: number): Promise<void> {
  await editInode(at, directory, (item) => {
    item.size = BigInt.asUintN(64, item.size + BigInt(bytes));
    setTime(item.mtime, at.now);
    setTime(item.ctime, at.now);
  });
}

/** Notes in an inode that a directory has a name for it. */
export async function addInodeRef(
  at: Place,
  inode: bigint,
  directory: bigint,
  name: Uint8Array,
  index: bigint,
): Promise<void> {
  const { tx, tree } = at;
  const key = keyOf(inode, INODE_REF, directory);
  const ref = encodeInodeRef(index, name);
  const there = await tx.get(tree, key);
  if (there === undefined) return tx.insert(tree, key, ref);
  if (there.byteLength + ref.byteLength <= maxItemBytes(at)) return tx.replace(tree, key, concatBytes([there, ref]));
  if ((tx.superblock.incompatFlags & INCOMPAT_EXTENDED_IREF) === 0n) {
    throw new BtrfsError(
      "limit",
      "Cannot make name: the inode has too many in the directory",
      nameWhere(at, directory, name),
    );
  }
  await addExtref(at, inode, directory, name, index);
}

async function addExtref(at: Place, inode: bigint, directory: bigint, name: Uint8Array, index: bigint): Promise<void> {
  const key = keyOf(inode, INODE_EXTREF, BigInt(extrefHash(directory, name)));
  const ref = encodeExtref(directory, index, name);
  const there = await at.tx.get(at.tree, key);
  if (there === undefined) await at.tx.insert(at.tree, key, ref);
  else await at.tx.replace(at.tree, key, concatBytes([there, ref]));
}

/** Takes the note of a name out of an inode. @returns The index of its entry. @throws {BtrfsError} `missing`. */
export async function removeInodeRef(at: Place, inode: bigint, directory: bigint, name: Uint8Array): Promise<bigint> {
  const { tx, tree } = at;
  const key = keyOf(inode, INODE_REF, directory);
  const data = (await tx.get(tree, key))?.slice();
  const refs = data === undefined ? [] : decodeInodeRefs(data, directory);
  const found = refs.find((ref) => equalBytes(ref.name, name));
  if (found !== undefined) {
    const rest = refs.filter((ref) => ref !== found);
    await replaceOrRemove(at, key, concatBytes(rest.map((ref) => encodeInodeRef(ref.index, ref.name))));
    return found.index;
  }
  const extended = keyOf(inode, INODE_EXTREF, BigInt(extrefHash(directory, name)));
  const more = (await tx.get(tree, extended))?.slice();
  const names = more === undefined ? [] : decodeInodeExtrefs(more);
  const own = names.find((ref) => ref.parent === directory && equalBytes(ref.name, name));
  if (own === undefined) {
    throw new BtrfsError("missing", "Cannot remove name: the inode does not know it", nameWhere(at, directory, name));
  }
  const rest = names.filter((ref) => ref !== own);
  await replaceOrRemove(at, extended, concatBytes(rest.map((ref) => encodeExtref(ref.parent, ref.index, ref.name))));
  return own.index;
}

function encodeExtref(directory: bigint, index: bigint, name: Uint8Array): Uint8Array {
  const data = new Uint8Array(InodeExtref.byteLength + name.byteLength);
  const ref = new InodeExtref(viewOf(data));
  ref.parentObjectid = directory;
  ref.index = index;
  ref.nameLen = name.byteLength;
  data.set(name, InodeExtref.byteLength);
  return data;
}

export async function replaceOrRemove({ tx, tree }: Place, key: Key, data: Uint8Array): Promise<void> {
  if (data.byteLength === 0) await tx.remove(tree, key);
  else await tx.replace(tree, key, data);
}

/** Most bytes that an item can have: it fills a leaf. */
export function maxItemBytes({ tx }: Place): number {
  return leafCapacity(tx.volume.nodeSize) - ITEM_HEADER_BYTES;
}

function checkName(at: Place, directory: bigint, name: Uint8Array): void {
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
  directory: bigint,
  name: Uint8Array,
): { where: { tree: bigint; inode: bigint; path: string } } {
  return { where: { tree, inode: directory, path: displayName(name) } };
}

/** @throws {BtrfsError} `exists`. */
export async function demandAbsent(at: Place, directory: bigint, name: Uint8Array): Promise<void> {
  if ((await findName(at, directory, name)) === undefined) return;
  throw new BtrfsError("exists", "Cannot make name: the directory has it already", nameWhere(at, directory, name));
}
