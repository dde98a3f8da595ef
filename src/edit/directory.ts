import { toBytes } from "../bytes/bytes.ts";
import { asStruct } from "../bytes/struct.ts";
import { BtrfsError } from "../errors.ts";
import { FT_BLKDEV, FT_CHRDEV, FT_DIR, FT_FIFO, FT_REG_FILE, FT_SOCK, FT_SYMLINK } from "../format/dir-item.ts";
import { InodeItem, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../format/inode.ts";
import { itemsOf } from "../format/key.ts";
import { DIR_INDEX, INODE_ITEM } from "../format/key-type.ts";
import { setTime } from "../transaction/new-items.ts";
import { dropExtents, insertInline } from "./extents.ts";
import { editInode, type InodeAttributes, inodeKey, insertInode, readInode, removeInodeItems } from "./inode.ts";
import {
  addEntry,
  addInodeRef,
  demandAbsent,
  findName,
  getName,
  type NamedEntry,
  nameWhere,
  removeEntry,
  removeInodeRef,
} from "./names.ts";
import { demandWritable, type Place } from "./place.ts";

type Name = string | Uint8Array;

const MAX_LINKS = 65535;
const MAX_TARGET_BYTES = 4095;

const ENTRY_TYPES: Readonly<Record<number, number>> = {
  [S_IFREG]: FT_REG_FILE,
  [S_IFDIR]: FT_DIR,
  [S_IFLNK]: FT_SYMLINK,
  [S_IFCHR]: FT_CHRDEV,
  [S_IFBLK]: FT_BLKDEV,
  [S_IFIFO]: FT_FIFO,
  [S_IFSOCK]: FT_SOCK,
};

/** A new, empty file. @returns Its inode number. @throws {BtrfsError} `exists`, `path`, `permission`. */
export function createFile(at: Place, directory: bigint, name: Name, attributes?: InodeAttributes): Promise<bigint> {
  return create(at, directory, name, S_IFREG, attributes);
}

/** A new directory. @returns Its inode number. @throws {BtrfsError} `exists`, `path`, `permission`. */
export function makeDirectory(at: Place, directory: bigint, name: Name, attributes?: InodeAttributes): Promise<bigint> {
  return create(at, directory, name, S_IFDIR, { mode: 0o755, ...attributes });
}

/** What a special file is. `major` and `minor` are of devices. */
export type SpecialFile =
  | { readonly kind: "fifo" | "socket" }
  | { readonly kind: "char" | "block"; readonly major: number; readonly minor: number };

/** A new FIFO, socket or device. @returns Its inode number. @throws {BtrfsError} `exists`, `path`, `permission`. */
export function makeSpecial(
  at: Place,
  directory: bigint,
  name: Name,
  special: SpecialFile,
  attributes?: InodeAttributes,
): Promise<bigint> {
  const type = { fifo: S_IFIFO, socket: S_IFSOCK, char: S_IFCHR, block: S_IFBLK }[special.kind];
  const rdev = "major" in special ? (BigInt(special.major) << 20n) | BigInt(special.minor) : 0n;
  return create(at, directory, name, type, attributes, rdev);
}

/** A new symbolic link. @returns Its inode number. @throws {BtrfsError} `exists`, `path`, `limit`, `permission`. */
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
  const inode = await create(at, directory, name, S_IFLNK, { mode: 0o777, ...attributes });
  await insertInline(at, inode, target, target.byteLength, 0);
  await at.tx.edit(at.tree, inodeKey(inode), (view) => {
    const item = asStruct(InodeItem, view);
    item.size = BigInt(target.byteLength);
    item.nbytes = BigInt(target.byteLength);
  });
  return inode;
}

async function create(
  at: Place,
  directory: bigint,
  name: Name,
  type: number,
  attributes: InodeAttributes | undefined,
  rdev?: bigint,
): Promise<bigint> {
  const bytes = toBytes(name);
  await demandWritable(at);
  await demandDirectory(at, directory);
  await demandAbsent(at, directory, bytes);
  const inode = await insertInode(at, type, attributes, rdev);
  await addName(at, inode, directory, bytes, type);
  return inode;
}

/** Gives an inode one more name. @throws {BtrfsError} `exists`, `path`, `kind` for a directory, `limit`. */
export async function link(at: Place, inode: bigint, directory: bigint, name: Name): Promise<void> {
  const bytes = toBytes(name);
  await demandWritable(at);
  const item = await readInode(at, inode);
  if ((item.mode & S_IFMT) === S_IFDIR)
    throw new BtrfsError("kind", "Cannot link: it is a directory", nameWhere(at, directory, bytes));
  if (item.nlink >= MAX_LINKS)
    throw new BtrfsError("limit", `Cannot link: it has ${item.nlink} names`, nameWhere(at, directory, bytes));
  await demandDirectory(at, directory);
  await addName(at, inode, directory, bytes, item.mode & S_IFMT);
  await editInode(at, inode, (changed) => setTime(changed.ctime, at.now));
}

async function addName(at: Place, inode: bigint, directory: bigint, name: Uint8Array, type: number): Promise<void> {
  const index = await addEntry(at, directory, name, { location: inodeKey(inode), type: ENTRY_TYPES[type]! });
  await addInodeRef(at, inode, directory, name, index);
  await at.tx.edit(at.tree, inodeKey(inode), (view) => {
    asStruct(InodeItem, view).nlink++;
  });
}

/**
 * Removes a name, and with the last one the inode and all it has. The caller says what kind it expects.
 *
 * @throws {BtrfsError} `missing`; `kind` for a directory, or for none with `removeDirectory`.
 */
export async function unlink(at: Place, directory: bigint, name: Name): Promise<void> {
  const bytes = toBytes(name);
  await demandWritable(at);
  const entry = await getName(at, directory, bytes);
  if (entry.type === FT_DIR)
    throw new BtrfsError("kind", "Cannot unlink: it is a directory", nameWhere(at, directory, bytes));
  await removeName(at, directory, bytes, entry);
}

/** @throws {BtrfsError} `missing`; `kind` when it is none, is a subvolume, or is not empty. */
export async function removeDirectory(at: Place, directory: bigint, name: Name): Promise<void> {
  const bytes = toBytes(name);
  await demandWritable(at);
  const entry = await getName(at, directory, bytes);
  await demandRemovable(at, directory, bytes, entry);
  await removeName(at, directory, bytes, entry);
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
  if ((await (await at.tx.walk(at.tree, itemsOf(location.objectid, DIR_INDEX))).next()) !== undefined) {
    throw new BtrfsError("kind", "Cannot remove directory: it is not empty", where);
  }
}

async function removeName(at: Place, directory: bigint, name: Uint8Array, { location }: NamedEntry): Promise<void> {
  const inode = location.objectid;
  const index = await removeInodeRef(at, inode, directory, name);
  await removeEntry(at, directory, name, index);
  const { nlink, mode } = await readInode(at, inode);
  if (nlink > 1) {
    await editInode(at, inode, (item) => {
      item.nlink--;
      setTime(item.ctime, at.now);
    });
    return;
  }
  if ((mode & S_IFMT) === S_IFREG) await dropExtents(at, inode, 0n, 1n << 63n);
  await removeInodeItems(at, inode);
}

/**
 * Gives a name of an inode, or of a subvolume's place, another place in the same subvolume. What has the new name
 * already is removed, as by `unlink` or `removeDirectory`.
 *
 * @throws {BtrfsError} as these; `kind` when one is a directory and the other is not.
 */
export async function rename(at: Place, from: bigint, name: Name, to: bigint, newName: Name): Promise<void> {
  const oldBytes = toBytes(name);
  const newBytes = toBytes(newName);
  await demandWritable(at);
  const entry = await getName(at, from, oldBytes);
  if (entry.location.type !== INODE_ITEM) {
    throw new BtrfsError("unsupported", "Cannot rename: it is a subvolume", nameWhere(at, from, oldBytes));
  }
  const inode = entry.location.objectid;
  await demandDirectory(at, to);
  const there = await findName(at, to, newBytes);
  if (there !== undefined) {
    // Two names of one inode: nothing happens, as with rename(2).
    if (there.location.objectid === inode && there.location.type === INODE_ITEM) return;
    if ((there.type === FT_DIR) !== (entry.type === FT_DIR)) {
      throw new BtrfsError("kind", "Cannot rename: one is a directory, the other is none", nameWhere(at, to, newBytes));
    }
    if (there.type === FT_DIR) await demandRemovable(at, to, newBytes, there);
    await removeName(at, to, newBytes, there);
  }
  const index = await removeInodeRef(at, inode, from, oldBytes);
  await removeEntry(at, from, oldBytes, index);
  const next = await addEntry(at, to, newBytes, entry);
  await addInodeRef(at, inode, to, newBytes, next);
  await editInode(at, inode, (item) => setTime(item.ctime, at.now));
}

async function demandDirectory(at: Place, inode: bigint): Promise<void> {
  const { mode } = await readInode(at, inode);
  if ((mode & S_IFMT) !== S_IFDIR) {
    throw new BtrfsError("kind", "Cannot make name: its parent is no directory", { where: { tree: at.tree, inode } });
  }
}
