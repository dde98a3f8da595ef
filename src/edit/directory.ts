import { toBytes } from "../bytes/bytes.ts";
import { BtrfsError } from "../errors.ts";
import { ENTRY_TYPES, FT_DIR } from "../format/dir-item.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../format/inode.ts";
import { itemsOf } from "../format/key.ts";
import { DIR_INDEX, INODE_ITEM } from "../format/key-type.ts";
import type { MaybePromise } from "../transaction/editor.ts";
import { setTime } from "../transaction/new-items.ts";
import { addRefNow, refNow, refPlaceNow } from "./back-refs.ts";
import { dropExtents } from "./extents.ts";
import { changeInode, inodeItem, inodeKey, inodeView, removeInodeItems } from "./inode.ts";
import {
  addEntryNow,
  cutNow,
  demandDirectoryNow,
  entryAt,
  getNameNow,
  type NamedEntry,
  nameWhere,
  newEntryNow,
  oldEntryNow,
  removeEntryNow,
} from "./names.ts";
import { demandWritableNow, numberOf, type Place } from "./place.ts";

type Name = string | Uint8Array;

const MAX_LINKS = 65535;

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

/** @throws {BtrfsError} `kind`, unless it is an empty directory. */
export async function demandRemovable(
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

/** Removes a name, and with the last one the inode and all it has. */
export async function removeName(at: Place, directory: number, name: Uint8Array): Promise<void> {
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
