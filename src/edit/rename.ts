import { toBytes } from "../bytes/bytes.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { FT_DIR } from "../format/dir-item.ts";
import { keyOf, MAX_U64 } from "../format/key.ts";
import { INODE_ITEM, INODE_REF } from "../format/key-type.ts";
import { slotKey } from "../format/node.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import type { MaybePromise } from "../transaction/editor.ts";
import { setTime } from "../transaction/new-items.ts";
import { addRefNow, refNow, refPlaceNow } from "./back-refs.ts";
import { demandRemovable, removeName } from "./directory.ts";
import { changeInode, inodeItem, inodeView } from "./inode.ts";
import {
  addEntryNow,
  cutNow,
  demandDirectoryNow,
  entryAt,
  entryNow,
  getNameNow,
  type NamedEntry,
  nameWhere,
  newEntryNow,
  oldEntryNow,
  removeEntryNow,
} from "./names.ts";
import { demandWritableNow, numberOf, type Place } from "./place.ts";

type Name = string | Uint8Array;

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
