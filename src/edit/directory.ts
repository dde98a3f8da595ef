import { toBytes } from "../bytes/bytes.ts";
import { asStruct } from "../bytes/struct.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { ENTRY_TYPES, FT_DIR } from "../format/dir-item.ts";
import { InodeItem, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../format/inode.ts";
import { itemsOf, keyOf, MAX_U64 } from "../format/key.ts";
import { DIR_INDEX, INODE_ITEM, INODE_REF } from "../format/key-type.ts";
import { slotKey } from "../format/node.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import type { MaybePromise } from "../transaction/editor.ts";
import { setTime } from "../transaction/new-items.ts";
import { addRefNow, type RefPlace, refNow, refPlaceNow } from "./back-refs.ts";
import { dropExtents, insertInline } from "./extents.ts";
import {
  changeInode,
  type InodeAttributes,
  inodeItem,
  inodeKey,
  inodeView,
  insertInodeNow,
  removeInodeItems,
} from "./inode.ts";
import {
  addEntryNow,
  cutNow,
  entryAt,
  entryNow,
  getNameNow,
  type NamedEntry,
  nameWhere,
  newEntryNow,
  oldEntryNow,
  removeEntryNow,
} from "./names.ts";
import { demandWritableNow, nextInode, numberOf, type Place } from "./place.ts";

type Name = string | Uint8Array;

const MAX_LINKS = 65535;
const MAX_TARGET_BYTES = 4095;

/** A new, empty file. @returns Its inode number. @throws {BtrfsError} `exists`, `path`. */
export async function createFile(
  at: Place,
  directory: bigint,
  name: Name,
  attributes?: InodeAttributes,
): Promise<bigint> {
  return createNow(at, directory, name, S_IFREG, attributes);
}

/** A new directory. @returns Its inode number. @throws {BtrfsError} `exists`, `path`. */
export async function makeDirectory(
  at: Place,
  directory: bigint,
  name: Name,
  attributes?: InodeAttributes,
): Promise<bigint> {
  return createNow(at, directory, name, S_IFDIR, { mode: 0o755, ...attributes });
}

/** What a special file is. `major` and `minor` are of devices. */
export type SpecialFile =
  | { readonly kind: "fifo" | "socket" }
  | { readonly kind: "char" | "block"; readonly major: number; readonly minor: number };

/** A new FIFO, socket or device. @returns Its inode number. @throws {BtrfsError} `exists`, `path`. */
export async function makeSpecial(
  at: Place,
  directory: bigint,
  name: Name,
  special: SpecialFile,
  attributes?: InodeAttributes,
): Promise<bigint> {
  const type = { fifo: S_IFIFO, socket: S_IFSOCK, char: S_IFCHR, block: S_IFBLK }[special.kind];
  const rdev = "major" in special ? (BigInt(special.major) << 20n) | BigInt(special.minor) : 0n;
  return createNow(at, directory, name, type, attributes, rdev);
}

/** A new symbolic link. @returns Its inode number. @throws {BtrfsError} `exists`, `path`, `limit`. */
export async function makeSymlink(
  at: Place,
  directory: bigint,
  name: Name,
  target: Uint8Array,
  attributes?: InodeAttributes,
): Promise<bigint> {
  if (target.byteLength === 0 || target.byteLength > MAX_TARGET_BYTES || target.includes(0)) {
    throw new BtrfsError(
      "limit",
      `Cannot make symlink: its target has ${target.byteLength} bytes, 1 to ${MAX_TARGET_BYTES} may be`,
    );
  }
  const inode = await createNow(at, directory, name, S_IFLNK, { mode: 0o777, ...attributes });
  await insertInline(at, inode, target, target.byteLength, 0);
  await at.tx.edit(at.tree, inodeKey(inode), (view) => {
    const item = asStruct(InodeItem, view);
    item.size = BigInt(target.byteLength);
    item.nbytes = BigInt(target.byteLength);
  });
  return inode;
}

/**
 * A new inode under a new name, without waiting where nothing has to be waited for.
 *
 * @param type `S_IF*`; symbolic links still lack their target.
 * @returns Its number. @throws {BtrfsError} `exists`, `path`, `kind`.
 */
export function createNow(
  at: Place,
  directory: bigint,
  name: Name,
  type: number,
  attributes: InodeAttributes | undefined,
  rdev?: bigint,
): MaybePromise<bigint> {
  const bytes = toBytes(name);
  const parent = numberOf(directory);
  return at.tx.now(() => {
    demandWritableNow(at);
    demandDirectoryNow(at, parent);
    const entry = newEntryNow(at, parent, bytes);
    const inode = nextInode(at);
    const location = inodeKey(BigInt(inode));
    insertInodeNow(at, inode, type, 1, attributes, rdev);
    addEntryNow(at, entry, { location, type: ENTRY_TYPES[type]! });
    addRefNow(at, inode, newRefPlace(parent), parent, bytes, entry.index);
    return location.objectid;
  });
}

/** Where the first name of a new inode is noted. */
function newRefPlace(offset: number): RefPlace {
  return { type: INODE_REF, offset, item: undefined };
}

/** Gives an inode one more name. @throws {BtrfsError} `exists`, `path`, `kind` for a directory, `limit`. */
export async function link(at: Place, inode: bigint, directory: bigint, name: Name): Promise<void> {
  await linkNow(at, inode, directory, name);
}

/** As `link`, without waiting where nothing has to be waited for. */
export function linkNow(at: Place, inode: bigint, directory: bigint, name: Name): MaybePromise<void> {
  const bytes = toBytes(name);
  const parent = numberOf(directory);
  const number = numberOf(inode);
  return at.tx.now(() => {
    demandWritableNow(at);
    const item = inodeItem(at, number);
    const { mode, nlink } = inodeView(at, item);
    const where = nameWhere(at, directory, bytes);
    if ((mode & S_IFMT) === S_IFDIR) throw new BtrfsError("kind", "Cannot link: it is a directory", where);
    if (nlink >= MAX_LINKS) throw new BtrfsError("limit", `Cannot link: it has ${nlink} names`, where);
    demandDirectoryNow(at, parent);
    const ref = refPlaceNow(at, number, parent, bytes);
    const entry = newEntryNow(at, parent, bytes);
    addEntryNow(at, entry, { location: inodeKey(inode), type: ENTRY_TYPES[mode & S_IFMT]! });
    addRefNow(at, number, ref, parent, bytes, entry.index);
    const changed = changeInode(at, item);
    changed.nlink++;
    setTime(changed.ctime, at.now);
  });
}

/**
 * Removes a name, and with the last one the inode and all it has. The caller says what kind it expects.
 *
 * @throws {BtrfsError} `missing`; `kind` for a directory, or for none with `removeDirectory`.
 */
export async function unlink(at: Place, directory: bigint, name: Name): Promise<void> {
  const bytes = toBytes(name);
  const parent = numberOf(directory);
  await at.tx.now(() => {
    demandWritableNow(at);
    if (entryAt(getNameNow(at, parent, bytes)).type !== FT_DIR) return;
    throw new BtrfsError("kind", "Cannot unlink: it is a directory", nameWhere(at, directory, bytes));
  });
  await removeName(at, parent, bytes);
}

/** @throws {BtrfsError} `missing`; `kind` when it is none, is a subvolume, or is not empty. */
export async function removeDirectory(at: Place, directory: bigint, name: Name): Promise<void> {
  const bytes = toBytes(name);
  const parent = numberOf(directory);
  const entry = await at.tx.now(() => {
    demandWritableNow(at);
    return entryAt(getNameNow(at, parent, bytes));
  });
  await demandRemovable(at, directory, bytes, entry);
  await removeName(at, parent, bytes);
}

async function demandRemovable(
  at: Place,
  directory: bigint,
  name: Uint8Array,
  { type, location }: NamedEntry,
): Promise<void> {
  const where = nameWhere(at, directory, name);
  if (type !== FT_DIR) throw new BtrfsError("kind", "Cannot remove directory: it is none", where);
  if (location.type !== INODE_ITEM) throw new BtrfsError("kind", "Cannot remove directory: it is a subvolume", where);
  const items = at.tx.items(at.tree);
  const isEmpty = items.isWhole(Number(location.objectid))
    ? !items.hasAny(Number(location.objectid), DIR_INDEX)
    : (await (await at.tx.walk(at.tree, itemsOf(location.objectid, DIR_INDEX))).next()) === undefined;
  if (!isEmpty) throw new BtrfsError("kind", "Cannot remove directory: it is not empty", where);
}

async function removeName(at: Place, directory: number, name: Uint8Array): Promise<void> {
  const gone = await at.tx.now(() => {
    const found = getNameNow(at, directory, name);
    const inode = numberOf(entryAt(found).location.objectid);
    const ref = refNow(at, inode, directory, name);
    const index = oldEntryNow(at, directory, ref.index);
    inodeItem(at, directory);
    const item = inodeItem(at, inode);
    const { nlink, mode } = inodeView(at, item);
    removeEntryNow(at, directory, name, found, index);
    cutNow(at, inode, ref);
    if (nlink <= 1) return { inode: BigInt(inode), mode };
    const changed = changeInode(at, item);
    changed.nlink--;
    setTime(changed.ctime, at.now);
    return undefined;
  });
  if (gone === undefined) return;
  if ((gone.mode & S_IFMT) === S_IFREG) await dropExtents(at, gone.inode, 0n, 1n << 63n);
  await removeInodeItems(at, gone.inode);
}

/**
 * Gives a name of an inode, or of a subvolume's place, another place in the same subvolume. What has the new name
 * already is removed, as by `unlink` or `removeDirectory`.
 *
 * @throws {BtrfsError} as these; `kind` when one is a directory and the other is not, and for a directory into itself.
 */
export async function rename(at: Place, from: bigint, name: Name, to: bigint, newName: Name): Promise<void> {
  await renameNow(at, from, name, to, newName);
}

/**
 * As `rename`, without waiting where nothing has to be waited for.
 *
 * @param isOutside The new place is known not to lie in what is renamed.
 * @returns `FT_*` of what was renamed.
 */
export function renameNow(
  at: Place,
  from: bigint,
  name: Name,
  to: bigint,
  newName: Name,
  isOutside = false,
): MaybePromise<number> {
  const oldBytes = toBytes(name);
  const newBytes = toBytes(newName);
  const oldParent = numberOf(from);
  const newParent = numberOf(to);
  const inTheWay: MaybePromise<number | Blocked> = at.tx.now((): number | Blocked => {
    demandWritableNow(at);
    const found = getNameNow(at, oldParent, oldBytes);
    const entry = entryAt(found);
    if (entry.location.type !== INODE_ITEM) {
      throw new BtrfsError("unsupported", "Cannot rename: it is a subvolume", nameWhere(at, from, oldBytes));
    }
    demandDirectoryNow(at, newParent);
    const inode = numberOf(entry.location.objectid);
    const item = inodeItem(at, inode);
    if (entry.type === FT_DIR && oldParent !== newParent && !isOutside) {
      if (inode === newParent) throw intoItself(at, inode);
      // Nothing lies in an empty one.
      if (inodeView(at, item).size !== 0n) return { entry, there: undefined };
    }
    const there = entryNow(at, newParent, newBytes);
    if (there !== undefined) return { entry, there };
    const ref = refNow(at, inode, oldParent, oldBytes);
    const index = oldEntryNow(at, oldParent, ref.index);
    inodeItem(at, oldParent);
    const added = newEntryNow(at, newParent, newBytes);
    refPlaceNow(at, inode, newParent, newBytes);
    cutNow(at, inode, ref);
    removeEntryNow(at, oldParent, oldBytes, found, index);
    addEntryNow(at, added, entry);
    addRefNow(at, inode, refPlaceNow(at, inode, newParent, newBytes), newParent, newBytes, added.index);
    setTime(changeInode(at, item).ctime, at.now);
    return entry.type;
  });
  const makeWayAndGoOn = async ({ entry, there }: Blocked): Promise<number> => {
    if (there === undefined) await demandOutside(at, newParent, numberOf(entry.location.objectid));
    else if (await makeWay(at, to, newBytes, entry, there)) return entry.type;
    return renameNow(at, from, name, to, newName, true);
  };
  if (typeof inTheWay === "number") return inTheWay;
  if (!(inTheWay instanceof Promise)) return makeWayAndGoOn(inTheWay);
  return inTheWay.then((blocked) => (typeof blocked === "number" ? blocked : makeWayAndGoOn(blocked)));
}

interface Blocked {
  readonly entry: NamedEntry;
  /** What has the new name; `undefined`: whether the new place lies in it is to be found out. */
  readonly there: NamedEntry | undefined;
}

/** A directory that is moved into itself could not be reached any more. */
async function demandOutside(at: Place, place: number, moved: number): Promise<void> {
  const passed = new Set<bigint>();
  for (let directory = BigInt(place); directory !== FIRST_FREE_OBJECTID; ) {
    if (directory === BigInt(moved) || passed.has(directory)) throw intoItself(at, moved);
    passed.add(directory);
    // A directory has one name.
    const span = await at.tx.find(at.tree, keyOf(directory, INODE_REF, MAX_U64), "atOrBefore");
    const key = span === undefined ? undefined : slotKey(span.leaf, span.first);
    if (key?.objectid !== directory || key.type !== INODE_REF) {
      throw new CorruptError("Cannot find parent: the directory has no name", { tree: at.tree, inode: directory });
    }
    directory = key.offset;
  }
}

function intoItself({ tree }: Place, inode: number): BtrfsError {
  const where = { where: { tree, inode: BigInt(inode) } };
  return new BtrfsError("kind", "Cannot rename: the directory would lie in itself", where);
}

/** Removes what has the new name of an entry. @returns Whether it is the same inode: nothing happens then, as with rename(2). */
async function makeWay(
  at: Place,
  directory: bigint,
  name: Uint8Array,
  entry: NamedEntry,
  there: NamedEntry,
): Promise<boolean> {
  if (there.location.objectid === entry.location.objectid && there.location.type === INODE_ITEM) return true;
  if ((there.type === FT_DIR) !== (entry.type === FT_DIR)) {
    const sentence = "Cannot rename: one is a directory, the other is none";
    throw new BtrfsError("kind", sentence, nameWhere(at, directory, name));
  }
  if (there.type === FT_DIR) await demandRemovable(at, directory, name, there);
  await removeName(at, numberOf(directory), name);
  return false;
}

function demandDirectoryNow(at: Place, inode: number): void {
  const { mode } = inodeView(at, inodeItem(at, inode));
  if ((mode & S_IFMT) === S_IFDIR) return;
  const where = { where: { tree: at.tree, inode: BigInt(inode) } };
  throw new BtrfsError("kind", "Cannot make name: its parent is no directory", where);
}
