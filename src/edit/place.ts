import { BtrfsError } from "../errors.ts";
import { keyOf, MAX_U64 } from "../format/key.ts";
import { DIR_INDEX } from "../format/key-type.ts";
import { slotKey } from "../format/node.ts";
import { FIRST_FREE_OBJECTID, LAST_FREE_OBJECTID } from "../format/objectid.ts";
import { ROOT_SUBVOL_RDONLY } from "../format/root.ts";
import type { OpenTree } from "../transaction/open-tree.ts";
import type { Transaction } from "../transaction/transaction.ts";

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
  inode: bigint | undefined;
  readonly indexes: Map<bigint, bigint>;
  /** Its files may be changed: it is not read-only, nor deleted. */
  isWritable: boolean;
}

const knowledge = new WeakMap<OpenTree, Known>();

async function knownOf({ tx, tree }: Place): Promise<Known> {
  const open = await tx.tree(tree);
  let known = knowledge.get(open);
  if (known === undefined) {
    known = { inode: undefined, indexes: new Map(), isWritable: false };
    knowledge.set(open, known);
  }
  return known;
}

/**
 * Refuses to change the files of a read-only subvolume. Steps ask it before their first change; what changes the root item
 * alone, as `setReadOnly` and `setReceived`, does not.
 *
 * @throws {BtrfsError} `permission`; `missing` for one that is deleted.
 */
export async function demandWritable(at: Place): Promise<void> {
  const known = await knownOf(at);
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

/** The root item of a subvolume says something else now. */
export async function forgetWritable(at: Omit<Place, "now">): Promise<void> {
  (await knownOf({ ...at, now: 0n })).isWritable = false;
}

/** An inode number that no inode of the subvolume has. */
export async function nextInode(at: Place): Promise<bigint> {
  const known = await knownOf(at);
  known.inode ??= await lastInode(at);
  known.inode++;
  if (known.inode > LAST_FREE_OBJECTID) throw new BtrfsError("space", "Cannot make inode: the last number is taken");
  return known.inode;
}

async function lastInode({ tx, tree }: Place): Promise<bigint> {
  const span = await tx.find(tree, keyOf(LAST_FREE_OBJECTID, 255, MAX_U64), "atOrBefore");
  const last = span === undefined ? 0n : slotKey(span.leaf, span.first).objectid;
  return last < FIRST_FREE_OBJECTID ? FIRST_FREE_OBJECTID : last;
}

/** An index that no entry of a directory has. The first is 2. */
export async function nextIndex(at: Place, directory: bigint): Promise<bigint> {
  const known = await knownOf(at);
  const index = (known.indexes.get(directory) ?? (await lastIndex(at, directory))) + 1n;
  known.indexes.set(directory, index);
  return index;
}

async function lastIndex({ tx, tree }: Place, directory: bigint): Promise<bigint> {
  const span = await tx.find(tree, keyOf(directory, DIR_INDEX, MAX_U64), "atOrBefore");
  const key = span === undefined ? undefined : slotKey(span.leaf, span.first);
  return key?.objectid === directory && key.type === DIR_INDEX ? key.offset : 1n;
}
