import { concatBytes, equalBytes, toBytes, viewOf } from "../bytes/bytes.ts";
import { isZeroUuid } from "../bytes/uuid.ts";
import { BtrfsError } from "../errors.ts";
import { decodeDirEntries, FT_DIR } from "../format/dir-item.ts";
import { itemsOf, type Key, keyOf, MAX_U64 } from "../format/key.ts";
import {
  DIR_ITEM,
  INODE_REF,
  ORPHAN_ITEM,
  ROOT_BACKREF,
  ROOT_ITEM,
  ROOT_REF,
  UUID_RECEIVED_SUBVOL,
  UUID_SUBVOL,
} from "../format/key-type.ts";
import { slotKey } from "../format/node.ts";
import * as ids from "../format/objectid.ts";
import { decodeRootRef, ROOT_SUBVOL_DEAD, ROOT_SUBVOL_RDONLY, type RootItem, RootRef } from "../format/root.ts";
import { INCOMPAT_DEFAULT_SUBVOL } from "../format/superblock.ts";
import { decodeSubvolumeIds, uuidKey } from "../format/uuid-tree.ts";
import { bytesOf } from "../transaction/chunk-items.ts";
import {
  encodeDirEntry,
  encodeInodeRef,
  initSubvolumeRoot,
  newDirectoryInode,
  newRootItem,
  setTime,
} from "../transaction/new-items.ts";
import { randomUuid } from "../transaction/random-uuid.ts";
import type { Transaction } from "../transaction/transaction.ts";
import { nameHash } from "../tree/hash.ts";
import { addXattrsNow, beginSubvolumeNow } from "./inherit.ts";
import type { NewInode } from "./inode.ts";
import { inodeKey } from "./inode.ts";
import { addEntry, demandAbsent, removeEntry } from "./names.ts";
import { demandWritable, forgetWritable, numberOf, type Place } from "./place.ts";

type Root = InstanceType<typeof RootItem>;

const ROOT_DIRECTORY = ids.FIRST_FREE_OBJECTID;
const PARENT = toBytes("..");
const DEFAULT = toBytes("default");
const NO_UUID = new Uint8Array(16);

export interface NewSubvolume {
  /** Random by default. */
  readonly uuid?: Uint8Array | undefined;
  /** Of its root directory. */
  readonly attributes?: NewInode | undefined;
}

/** A new, empty subvolume in a directory. @returns Its id. @throws {BtrfsError} `exists`, `path`. */
export async function createSubvolume(
  at: Place,
  directory: bigint,
  name: string | Uint8Array,
  { uuid = randomUuid(), attributes = {} }: NewSubvolume = {},
): Promise<bigint> {
  const { tx, now } = at;
  const bytes = toBytes(name);
  await demandWritable(at);
  const begins = await tx.now(() => beginSubvolumeNow(at, numberOf(directory), attributes));
  const id = await nextSubvolume(tx);
  const item = newRootItem({ logical: 0, level: 0, generation: tx.generation, nodeSize: 0 });
  item.inode.nbytes = BigInt(tx.volume.nodeSize);
  initSubvolumeRoot(item, uuid, tx.generation, now);
  await enterSubvolume(at, directory, bytes, id, 0n);
  await tx.createTree(keyOf(id, ROOT_ITEM, 0n), item);
  const root = newDirectoryInode(begins.attributes.mode!, tx.generation, now);
  root.flags = begins.attributes.flags!;
  root.uid = attributes.uid ?? 0;
  root.gid = attributes.gid ?? 0;
  await tx.insert(id, inodeKey(ROOT_DIRECTORY), bytesOf(root));
  await tx.insert(id, keyOf(ROOT_DIRECTORY, INODE_REF, ROOT_DIRECTORY), encodeInodeRef(0n, PARENT));
  await tx.now(() => addXattrsNow({ ...at, tree: id }, Number(ROOT_DIRECTORY), begins.xattrs));
  await addUuid(tx, UUID_SUBVOL, uuid, id);
  return id;
}

export interface NewSnapshot {
  readonly readOnly?: boolean | undefined;
  readonly uuid?: Uint8Array | undefined;
}

/** A snapshot of a subvolume in a directory. @returns Its id. @throws {BtrfsError} `missing`, `exists`, `path`. */
export async function snapshotSubvolume(
  at: Place,
  source: bigint,
  directory: bigint,
  name: string | Uint8Array,
  { readOnly = false, uuid = randomUuid() }: NewSnapshot = {},
): Promise<bigint> {
  const { tx, now } = at;
  const generation = BigInt(tx.generation);
  const bytes = toBytes(name);
  await demandWritable(at);
  await demandAbsent(at, directory, bytes);
  const id = await nextSubvolume(tx);
  const open = await tx.tree(source);
  const item = await liveRoot(tx, source);
  if (open.changedAt !== undefined) {
    item.ctransid = generation;
    setTime(item.ctime, open.changedAt);
  }
  item.parentUuid = item.uuid;
  item.uuid = uuid;
  item.otransid = generation;
  setTime(item.otime, now);
  item.lastSnapshot = generation;
  item.generation = generation;
  item.generationV2 = generation;
  item.flags = readOnly ? item.flags | ROOT_SUBVOL_RDONLY : item.flags & ~ROOT_SUBVOL_RDONLY;
  item.refs = 1;
  if (!readOnly) clearReceived(item);
  // A snapshot of what it lies in does not contain itself.
  // The offset is below the generation of all blocks that the snapshot comes to own. The kernel, which never changes one in
  // the transaction that makes it, takes blocks up to it for those of others, and drops the snapshot accordingly.
  await tx.copyTree(source, keyOf(id, ROOT_ITEM, generation - 1n), item);
  await enterSubvolume(at, directory, bytes, id, MAX_U64);
  await addUuid(tx, UUID_SUBVOL, uuid, id);
  if (!isZeroUuid(item.receivedUuid)) await addUuid(tx, UUID_RECEIVED_SUBVOL, item.receivedUuid, id);
  return id;
}

function clearReceived(item: Root): void {
  item.receivedUuid = NO_UUID;
  item.stransid = 0n;
  item.rtransid = 0n;
  for (const time of [item.stime, item.rtime]) setTime(time, 0n);
}

export interface DeleteOptions {
  /** Frees what it has at once; else that is left to the kernel, which does it after the next mount for writing. */
  readonly now?: boolean | undefined;
}

/**
 * Deletes a subvolume, with all that is in it.
 *
 * @throws {BtrfsError} `missing`; `busy` for the default one and one that others lie in; `permission` for the top level,
 * and for one that lies in a read-only one.
 */
export async function deleteSubvolume(
  at: Omit<Place, "tree">,
  id: bigint,
  { now = false }: DeleteOptions = {},
): Promise<void> {
  const { tx } = at;
  if (id === ids.FS_TREE_OBJECTID) throw new BtrfsError("permission", "Cannot delete subvolume: it is the top level");
  const item = await liveRoot(tx, id);
  const where = { where: { tree: id } };
  if ((await defaultSubvolume(tx)) === id)
    throw new BtrfsError("busy", "Cannot delete subvolume: it is the default", where);
  if ((await (await tx.walk(ids.ROOT_TREE_OBJECTID, itemsOf(id, ROOT_REF))).next()) !== undefined) {
    throw new BtrfsError("busy", "Cannot delete subvolume: another one lies in it", where);
  }
  const { parent, dirid, sequence, name } = await backRef(tx, id);
  await demandWritable({ ...at, tree: parent });
  await removeEntry({ ...at, tree: parent }, dirid, name, sequence);
  await tx.remove(ids.ROOT_TREE_OBJECTID, keyOf(parent, ROOT_REF, id));
  await tx.remove(ids.ROOT_TREE_OBJECTID, keyOf(id, ROOT_BACKREF, parent));
  await removeUuid(tx, UUID_SUBVOL, item.uuid, id);
  await removeUuid(tx, UUID_RECEIVED_SUBVOL, item.receivedUuid, id);
  if (now) return tx.removeTree(id);
  await editRoot(tx, id, (root) => {
    root.refs = 0;
    root.flags |= ROOT_SUBVOL_DEAD;
    root.dropProgress.objectid = 0n;
    root.dropProgress.type = 0;
    root.dropProgress.offset = 0n;
    root.dropLevel = 0;
  });
  await tx.insert(ids.ROOT_TREE_OBJECTID, keyOf(ids.ORPHAN_OBJECTID, ORPHAN_ITEM, id), new Uint8Array(0));
}

/** Makes a subvolume read-only, or writable; what it was received as is forgotten when it becomes writable. */
export async function setReadOnly(at: Omit<Place, "tree">, id: bigint, readOnly: boolean): Promise<void> {
  const { receivedUuid } = await liveRoot(at.tx, id);
  if (!readOnly) await removeUuid(at.tx, UUID_RECEIVED_SUBVOL, receivedUuid, id);
  await editRoot(at.tx, id, (root) => {
    if (!readOnly && !isZeroUuid(receivedUuid)) clearReceived(root);
    root.flags = readOnly ? root.flags | ROOT_SUBVOL_RDONLY : root.flags & ~ROOT_SUBVOL_RDONLY;
  });
}

/** What a received subvolume was where it was sent from. */
export interface Received {
  readonly uuid: Uint8Array;
  /** Generation on the sending side. */
  readonly stransid: bigint;
  /** Nanoseconds since 1970. */
  readonly stime: bigint;
}

/** Notes of what a subvolume is the copy, as `BTRFS_IOC_SET_RECEIVED_SUBVOL` does. */
export async function setReceived(
  at: Omit<Place, "tree">,
  id: bigint,
  { uuid, stransid, stime }: Received,
): Promise<void> {
  const { tx, now } = at;
  const { receivedUuid } = await liveRoot(tx, id);
  if (!equalBytes(receivedUuid, uuid)) {
    await removeUuid(tx, UUID_RECEIVED_SUBVOL, receivedUuid, id);
    await addUuid(tx, UUID_RECEIVED_SUBVOL, uuid, id);
  }
  await editRoot(tx, id, (root) => {
    root.receivedUuid = uuid;
    root.stransid = stransid;
    root.rtransid = BigInt(tx.generation);
    setTime(root.stime, stime);
    setTime(root.rtime, now);
  });
}

/** The subvolume that is mounted when none is named. */
export async function defaultSubvolume(tx: Transaction): Promise<bigint> {
  const data = await tx.get(ids.ROOT_TREE_OBJECTID, defaultKey());
  const entry = data === undefined ? undefined : decodeDirEntries(data).find(({ name }) => equalBytes(name, DEFAULT));
  return entry?.location.objectid ?? ids.FS_TREE_OBJECTID;
}

/** Sets which subvolume is mounted when none is named. @throws {BtrfsError} `missing`. */
export async function setDefaultSubvolume({ tx }: Omit<Place, "tree">, id: bigint): Promise<void> {
  await liveRoot(tx, id);
  const entry = encodeDirEntry(keyOf(id, ROOT_ITEM, MAX_U64), BigInt(tx.generation), FT_DIR, DEFAULT);
  if ((await tx.get(ids.ROOT_TREE_OBJECTID, defaultKey())) === undefined)
    await tx.insert(ids.ROOT_TREE_OBJECTID, defaultKey(), entry);
  else await tx.replace(ids.ROOT_TREE_OBJECTID, defaultKey(), entry);
  tx.needIncompat(INCOMPAT_DEFAULT_SUBVOL);
}

function defaultKey(): Key {
  return keyOf(ids.ROOT_TREE_DIR_OBJECTID, DIR_ITEM, BigInt(nameHash(DEFAULT)));
}

/** Puts a subvolume into a directory, and both into the root tree. */
async function enterSubvolume(
  at: Place,
  directory: bigint,
  name: Uint8Array,
  id: bigint,
  offset: bigint,
): Promise<void> {
  const { tx, tree } = at;
  const sequence = await addEntry(at, directory, name, { location: keyOf(id, ROOT_ITEM, offset), type: FT_DIR });
  const ref = new Uint8Array(RootRef.byteLength + name.byteLength);
  const view = new RootRef(viewOf(ref));
  view.dirid = directory;
  view.sequence = sequence;
  view.nameLen = name.byteLength;
  ref.set(name, RootRef.byteLength);
  await tx.insert(ids.ROOT_TREE_OBJECTID, keyOf(tree, ROOT_REF, id), ref);
  await tx.insert(ids.ROOT_TREE_OBJECTID, keyOf(id, ROOT_BACKREF, tree), ref);
}

async function backRef(
  tx: Transaction,
  id: bigint,
): Promise<{ parent: bigint; dirid: bigint; sequence: bigint; name: Uint8Array }> {
  const next = await (await tx.walk(ids.ROOT_TREE_OBJECTID, itemsOf(id, ROOT_BACKREF))).next();
  if (next === undefined)
    throw new BtrfsError("missing", "Cannot find subvolume: no directory has it", { where: { tree: id } });
  const parent = slotKey(next.leaf, next.first).offset;
  const data = (await tx.get(ids.ROOT_TREE_OBJECTID, keyOf(id, ROOT_BACKREF, parent)))!.slice();
  return { parent, ...decodeRootRef(data) };
}

/** An id that no subvolume has or had. */
async function nextSubvolume(tx: Transaction): Promise<bigint> {
  const span = await tx.find(ids.ROOT_TREE_OBJECTID, keyOf(ids.LAST_FREE_OBJECTID, 255, MAX_U64), "atOrBefore");
  const last = span === undefined ? 0n : slotKey(span.leaf, span.first).objectid;
  return last < ids.FIRST_FREE_OBJECTID ? ids.FIRST_FREE_OBJECTID : last + 1n;
}

/** The root item of a subvolume that is not deleted. @throws {BtrfsError} `missing`. */
async function liveRoot(tx: Transaction, id: bigint): Promise<Root> {
  const found = ids.isSubvolumeId(id) ? await tx.rootItem(id) : undefined;
  if (found !== undefined && found.item.refs > 0) return found.item;
  throw new BtrfsError("missing", "Cannot find subvolume: there is none of this id", { where: { tree: id } });
}

async function editRoot(tx: Transaction, id: bigint, change: (root: Root) => void): Promise<void> {
  const { key, item } = (await tx.rootItem(id))!;
  change(item);
  await tx.replace(ids.ROOT_TREE_OBJECTID, key, bytesOf(item));
  await forgetWritable({ tx, tree: id });
}

type UuidType = typeof UUID_SUBVOL | typeof UUID_RECEIVED_SUBVOL;

/** The UUID tree is optional: the kernel makes one when it mounts. */
async function hasUuidTree(tx: Transaction): Promise<boolean> {
  return (await tx.rootItem(ids.UUID_TREE_OBJECTID)) !== undefined;
}

async function addUuid(tx: Transaction, type: UuidType, uuid: Uint8Array, id: bigint): Promise<void> {
  if (!(await hasUuidTree(tx))) return;
  const key = uuidKey(uuid, type);
  const entry = new Uint8Array(8);
  viewOf(entry).setBigUint64(0, id, true);
  const there = await tx.get(ids.UUID_TREE_OBJECTID, key);
  if (there === undefined) await tx.insert(ids.UUID_TREE_OBJECTID, key, entry);
  else if (!decodeSubvolumeIds(viewOf(there)).includes(id))
    await tx.replace(ids.UUID_TREE_OBJECTID, key, concatBytes([there, entry]));
}

async function removeUuid(tx: Transaction, type: UuidType, uuid: Uint8Array, id: bigint): Promise<void> {
  if (isZeroUuid(uuid) || !(await hasUuidTree(tx))) return;
  const key = uuidKey(uuid, type);
  const there = await tx.get(ids.UUID_TREE_OBJECTID, key);
  if (there === undefined) return;
  const rest = decodeSubvolumeIds(viewOf(there)).filter((other) => other !== id);
  const data = new Uint8Array(rest.length * 8);
  for (const [index, other] of rest.entries()) viewOf(data).setBigUint64(index * 8, other, true);
  if (data.byteLength === 0) await tx.remove(ids.UUID_TREE_OBJECTID, key);
  else await tx.replace(ids.UUID_TREE_OBJECTID, key, data);
}
