import { BtrfsError } from "../errors.ts";
import { keyOf, MAX_U64 } from "../format/key.ts";
import { DIR_INDEX } from "../format/key-type.ts";
import { slotKey } from "../format/node.ts";
import { FIRST_FREE_OBJECTID, LAST_FREE_OBJECTID } from "../format/objectid.ts";
import { ROOT_SUBVOL_RDONLY } from "../format/root.ts";
import type { OpenTree } from "../transaction/open-tree.ts";
import type { Transaction } from "../transaction/transaction.ts";
import { atOnce, Wait } from "../transaction/wait.ts";

const MAX_INODE = Number.MAX_SAFE_INTEGER;

/** Where and when a step changes something: one subvolume, in one transaction. */
export interface Place {
  readonly tx: Transaction;
  /** Object id of the subvolume. */
  readonly tree: bigint;
  /** Nanoseconds since 1970. */
  readonly now: bigint;
}

/** What is known of a subvolume in one transaction. */
interface Known {
  /** Numbers that were given out last, so that the next need not be searched for. */
  inode: number | undefined;
  readonly indexes: Map<number, number>;
  /** Its files may be changed: it is not read-only, nor deleted. */
  isWritable: boolean;
}

const knowledge = new WeakMap<OpenTree, Known>();

function knownOf(tree: OpenTree): Known {
  let known = knowledge.get(tree);
  if (known === undefined) {
    known = { inode: undefined, indexes: new Map(), isWritable: false };
    knowledge.set(tree, known);
  }
  return known;
}

/** @throws {Wait} */
function knownNow({ tx, tree }: Omit<Place, "now">): Known {
  return knownOf(atOnce(tx.openTree(tree)));
}

/** An inode's number, as items that wait have it. @throws {BtrfsError} `limit`, above 2^53 - 1. */
export function numberOf(inode: bigint): number {
  const number = Number(inode);
  if (number <= Number.MAX_SAFE_INTEGER && number >= 0) return number;
  throw new BtrfsError("limit", `Cannot use inode: its number is ${inode}, at most ${Number.MAX_SAFE_INTEGER} may be`);
}

/**
 * Refuses to change the files of a read-only subvolume. Steps ask it before their first change; what changes the root item
 * alone, as `setReadOnly` and `setReceived`, does not.
 *
 * @throws {BtrfsError} `permission`; `missing` for one that is deleted.
 */
export async function demandWritable(at: Omit<Place, "now">): Promise<void> {
  const known = knownOf(await at.tx.openTree(at.tree));
  if (known.isWritable) return;
  const { item } = (await at.tx.rootItem(at.tree))!;
  const where = { where: { tree: at.tree } };
  if (item.refs === 0) throw new BtrfsError("missing", "Cannot change subvolume: it is deleted", where);
  if ((item.flags & ROOT_SUBVOL_RDONLY) !== 0n) {
    throw new BtrfsError(
      "permission",
      "Cannot change subvolume: it is read-only; change a writable snapshot of it, or set its property ro to false",
      where,
    );
  }
  known.isWritable = true;
}

/** Whether `demandWritable` has been asked before, and had no objection. */
export function isKnownWritable({ tx, tree }: Omit<Place, "now">): boolean {
  const open = tx.openTree(tree);
  return !(open instanceof Promise) && knownOf(open).isWritable;
}

/** As `demandWritable`, for steps that don't wait. @throws {Wait} */
export function demandWritableNow(at: Omit<Place, "now">): void {
  if (!knownNow(at).isWritable) throw new Wait(demandWritable(at));
}

/** The root item of a subvolume says something else now. */
export async function forgetWritable({ tx, tree }: Omit<Place, "now">): Promise<void> {
  knownOf(await tx.openTree(tree)).isWritable = false;
}

/** An inode number that no inode of the subvolume has. @throws {Wait} */
export function nextInode(at: Place): number {
  const known = knownNow(at);
  if (known.inode === undefined) throw new Wait(findLastInode(at, known));
  if (known.inode >= MAX_INODE) throw new BtrfsError("space", "Cannot make inode: the last number is taken");
  return ++known.inode;
}

async function findLastInode({ tx, tree }: Place, known: Known): Promise<void> {
  const span = await tx.find(tree, keyOf(LAST_FREE_OBJECTID, 255, MAX_U64), "atOrBefore");
  const last = span === undefined ? 0n : slotKey(span.leaf, span.first).objectid;
  known.inode = Number(last < FIRST_FREE_OBJECTID ? FIRST_FREE_OBJECTID : last);
}

/** An index that no entry of a directory has. The first is 2. @throws {Wait} */
export function nextIndex(at: Place, directory: number): number {
  const known = knownNow(at);
  const last = known.indexes.get(directory) ?? (isEmpty(at, directory) ? 1 : undefined);
  if (last === undefined) throw new Wait(findLastIndex(at, directory, known));
  if (last >= Number.MAX_SAFE_INTEGER) {
    throw new BtrfsError("limit", "Cannot make name: the directory has no more indexes", { where: { tree: at.tree } });
  }
  known.indexes.set(directory, last + 1);
  return last + 1;
}

/** Whether a directory is known to have had no entry yet. */
function isEmpty({ tx, tree }: Place, directory: number): boolean {
  const items = tx.items(tree);
  return items.isWhole(directory) && !items.hasAny(directory, DIR_INDEX);
}

async function findLastIndex({ tx, tree }: Place, directory: number, known: Known): Promise<void> {
  const span = await tx.find(tree, keyOf(BigInt(directory), DIR_INDEX, MAX_U64), "atOrBefore");
  const key = span === undefined ? undefined : slotKey(span.leaf, span.first);
  const isEntry = key?.objectid === BigInt(directory) && key.type === DIR_INDEX;
  known.indexes.set(directory, isEntry ? Number(key.offset) : 1);
}
