import { equalBytes, viewOf } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { readSafe } from "../bytes/u64.ts";
import { isZeroUuid } from "../bytes/uuid.ts";
import { CorruptError, type Where } from "../errors.ts";
import { DirItem, decodeDirEntries, dirEntryEnd } from "../format/dir-item.ts";
import { INODE_NODATASUM, InodeItem } from "../format/inode.ts";
import { InodeExtref, InodeRef } from "../format/inode-ref.ts";
import { comparePackedKeys, itemsOf, KEY_BYTES, type Key, keyOf, MAX_U64, packKey, writeKey } from "../format/key.ts";
import { DIR_INDEX, DIR_ITEM, INODE_EXTREF, INODE_ITEM, INODE_REF, ROOT_ITEM, XATTR_ITEM } from "../format/key-type.ts";
import { itemBytes, itemSize, itemStart, itemWhere, keyAt, type Leaf, slotType } from "../format/node.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import { nameHash } from "../tree/hash.ts";
import type { LeafSpan, Tree } from "../tree/source.ts";

/** What an inode item says, as far as a send stream tells it. */
export interface InodeFacts {
  readonly generation: number;
  /** In bytes. */
  readonly size: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** With the type. */
  readonly mode: number;
  /** As on disk: major number times 2^20, plus minor number. */
  readonly rdev: number;
  readonly flagsLow: number;
  readonly flagsHigh: number;
  /** The item's bytes, for times and flags. */
  readonly item: Uint8Array;
}

/** A name of an inode, and the generation of the directory that has it. */
export interface FirstName {
  readonly dir: number;
  readonly dirGeneration: number;
  readonly name: Uint8Array;
}

/** Where a directory entry leads. */
export interface EntryTarget {
  /** Inode, or id of a subvolume. */
  readonly id: number;
  readonly isSubvolume: boolean;
}

const ITEM = InodeItem.offsets;
const ROOT = Number(FIRST_FREE_OBJECTID);
/** Root directories up to this size are looked through once, in place of once for every new inode. */
const MAX_ROOT_BYTES = 64 * 1024;
/** Facts and names that are kept. */
const MAX_KEPT = 2048;

/** One snapshot to send, to send against, or to clone from: what send looks up in its tree. */
export class Snapshot {
  readonly id: bigint;
  readonly tree: Tree;
  /** Last component of its path. */
  readonly name: Uint8Array;
  /** By which a receiver finds it: the received one, if there is one. */
  readonly uuid: Uint8Array;
  readonly ctransid: bigint;
  readonly isReadOnly: boolean;
  readonly #inodes = new Map<number, InodeFacts | undefined>();
  readonly #names = new Map<number, FirstName | undefined>();
  readonly #key = new DataView(new ArrayBuffer(KEY_BYTES));
  /** Whether names in the root directory may look like temporary ones. */
  #temporaryNames: Promise<boolean> | undefined;

  constructor(about: {
    readonly id: bigint;
    readonly tree: Tree;
    readonly name: Uint8Array;
    readonly uuid: Uint8Array;
    readonly receivedUuid: Uint8Array | undefined;
    readonly ctransid: bigint;
    readonly isReadOnly: boolean;
  }) {
    this.id = about.id;
    this.tree = about.tree;
    this.name = about.name;
    const { receivedUuid } = about;
    this.uuid = receivedUuid === undefined || isZeroUuid(receivedUuid) ? about.uuid : receivedUuid;
    this.ctransid = about.ctransid;
    this.isReadOnly = about.isReadOnly;
  }

  /** The same under another uuid: nothing that was sent as this snapshot, or will be, belongs to it. */
  withUuid(uuid: Uint8Array): Snapshot {
    const { id, tree, name, ctransid, isReadOnly } = this;
    return new Snapshot({ id, tree, name, uuid, receivedUuid: undefined, ctransid, isReadOnly });
  }

  /** What is known of an inode without waiting; `null` when that has to be looked up. */
  keptInode(ino: number): InodeFacts | undefined | null {
    const kept = this.#inodes.get(ino);
    return kept === undefined && !this.#inodes.has(ino) ? null : kept;
  }

  /** The inode, also one without names; `undefined` when there is none. `null`, when that can't be told without waiting. */
  inodeNow(ino: number): InodeFacts | undefined | null {
    const kept = this.keptInode(ino);
    if (kept !== null) return kept;
    writeKey(this.#key, ino, INODE_ITEM, 0);
    const span = this.tree.findNow(this.#key, "exact");
    if (span === null) return null;
    const facts = span && decodeFacts(span.leaf, span.first);
    this.keepInode(ino, facts);
    return facts;
  }

  /** The same, waiting where it has to. */
  async findInode(ino: number): Promise<InodeFacts | undefined> {
    const now = this.inodeNow(ino);
    if (now !== null) return now;
    const span = await this.tree.find(keyOf(BigInt(ino), INODE_ITEM, 0n), "exact");
    const facts = span && decodeFacts(span.leaf, span.first);
    this.keepInode(ino, facts);
    return facts;
  }

  keepInode(ino: number, facts: InodeFacts | undefined): void {
    if (this.#inodes.size >= MAX_KEPT) this.#inodes.clear();
    this.#inodes.set(ino, facts);
  }

  /** @throws {CorruptError} when there is no such inode. */
  async getInode(ino: number): Promise<InodeFacts> {
    const facts = await this.findInode(ino);
    if (facts === undefined) throw this.#broken("it has no inode item", ino);
    return facts;
  }

  /** The first name in key order; `undefined` when there is none. `null`, when that can't be told without waiting. */
  firstNameNow(ino: number): FirstName | undefined | null {
    const kept = this.#names.get(ino);
    if (kept !== undefined || this.#names.has(ino)) return kept;
    writeKey(this.#key, ino, INODE_REF, 0);
    const span = this.tree.findNow(this.#key, "atOrBefore");
    if (span === null || span === undefined) return null;
    // Mostly, the inode's own item is right before its names.
    const { leaf } = span;
    const slot = span.first + 1;
    const isName =
      slot < leaf.count && slotType(leaf, slot) === INODE_REF && readSafe(leaf.view, keyAt(leaf, slot)) === ino;
    const first = isName ? namesIn(leaf, slot)[0] : undefined;
    const above = first && this.inodeNow(first.dir);
    if (first === undefined || above === undefined || above === null) return null;
    return this.#keepName(ino, { dir: first.dir, dirGeneration: above.generation, name: first.name.slice() });
  }

  /** The same, waiting where it has to. */
  async findFirstName(ino: number): Promise<FirstName | undefined> {
    const now = this.firstNameNow(ino);
    return now === null ? this.#keepName(ino, await this.#readFirstName(ino)) : now;
  }

  #keepName(ino: number, name: FirstName | undefined): FirstName | undefined {
    if (this.#names.size >= MAX_KEPT) this.#names.clear();
    this.#names.set(ino, name);
    return name;
  }

  /** @throws {CorruptError} when there is none. */
  async getFirstName(ino: number): Promise<FirstName> {
    const name = await this.findFirstName(ino);
    if (name === undefined) throw this.#broken("it has no name", ino);
    return name;
  }

  async #readFirstName(ino: number): Promise<FirstName | undefined> {
    const span = await this.firstFrom(keyOf(BigInt(ino), INODE_REF, 0n), keyOf(BigInt(ino), INODE_EXTREF + 1, 0n));
    if (span === undefined) return undefined;
    for (const { dir, name } of namesIn(span.leaf, span.first)) {
      return { dir, dirGeneration: (await this.getInode(dir)).generation, name: name.slice() };
    }
    return undefined;
  }

  /** The first item from `first` up to `last`, which is exclusive. */
  async firstFrom(first: Key, last: Key): Promise<LeafSpan | undefined> {
    const before = await this.tree.find(first, "atOrBefore");
    if (before !== undefined) {
      const { leaf } = before;
      const wanted = packKey(first);
      for (let slot = before.first; slot < Math.min(before.first + 2, leaf.count); slot++) {
        if (comparePackedKeys(leaf.view, keyAt(leaf, slot), wanted, 0) < 0) continue;
        return comparePackedKeys(leaf.view, keyAt(leaf, slot), packKey(last), 0) < 0
          ? { leaf, first: slot, last: slot + 1 }
          : undefined;
      }
    }
    for await (const span of this.tree.leaves({ first, last })) return span;
    return undefined;
  }

  /** Where `name` in a directory leads. */
  async findEntry(dir: number, name: Uint8Array): Promise<EntryTarget | undefined> {
    const span = await this.tree.find(keyOf(BigInt(dir), DIR_ITEM, BigInt(nameHash(name))), "exact");
    if (span === undefined) return undefined;
    const found = entryNamed(span.leaf, span.first, name);
    return found === undefined ? undefined : targetAt(found.view, found.at);
  }

  /** Value of an extended attribute, as bytes of the leaf. */
  async findXattr(ino: number, name: Uint8Array): Promise<Uint8Array | undefined> {
    const span = await this.tree.find(keyOf(BigInt(ino), XATTR_ITEM, BigInt(nameHash(name))), "exact");
    if (span === undefined) return undefined;
    const found = entryNamed(span.leaf, span.first, name);
    return found?.value;
  }

  /** Whether the root directory has names that look like temporary ones; told as true where it is too large to look. */
  mayHaveTemporaryNames(): Promise<boolean> {
    this.#temporaryNames ??= this.#findTemporaryNames();
    return this.#temporaryNames;
  }

  async #findTemporaryNames(): Promise<boolean> {
    // A directory's size is twice the length of its names.
    if ((await this.getInode(ROOT)).size > MAX_ROOT_BYTES) return true;
    for await (const { leaf, first, last } of this.tree.leaves(itemsOf(BigInt(ROOT), DIR_INDEX))) {
      for (let slot = first; slot < last; slot++) {
        for (const { name } of decodeDirEntries(itemBytes(leaf, slot), itemWhere(leaf, slot))) {
          if (/^o\d+-\d+-\d+$/.test(displayName(name))) return true;
        }
      }
    }
    return false;
  }

  /** Entry of a directory with the greatest index. */
  async findLastEntry(dir: number): Promise<EntryTarget | undefined> {
    const span = await this.tree.find(keyOf(BigInt(dir), DIR_INDEX, MAX_U64), "atOrBefore");
    if (span === undefined) return undefined;
    const { leaf, first } = span;
    const at = keyAt(leaf, first);
    if (readSafe(leaf.view, at) !== dir || slotType(leaf, first) !== DIR_INDEX) return undefined;
    return targetAt(leaf.view, entryStart(leaf, first));
  }

  /** Every name of an inode, in key order. */
  async allNames(ino: number): Promise<{ readonly dir: number; readonly name: Uint8Array }[]> {
    const names = [];
    const range = { first: keyOf(BigInt(ino), INODE_REF, 0n), last: keyOf(BigInt(ino), INODE_EXTREF + 1, 0n) };
    for await (const { leaf, first, last } of this.tree.leaves(range)) {
      for (let slot = first; slot < last; slot++) names.push(...namesIn(leaf, slot));
    }
    return names;
  }

  #broken(what: string, ino: number): CorruptError {
    return new CorruptError(`Cannot send inode: ${what}`, this.where(ino));
  }

  where(ino: number): Where {
    return { tree: this.id, inode: BigInt(ino) };
  }
}

/** Whether data of the inode has checksums. */
export function hasChecksums({ flagsLow }: InodeFacts): boolean {
  return (flagsLow & INODE_NODATASUM) === 0;
}

export function decodeFacts(leaf: Leaf, slot: number): InodeFacts {
  const at = itemStart(leaf, slot);
  if (itemSize(leaf, slot) < InodeItem.byteLength) {
    const problem = `Cannot read btrfs_inode_item: ${itemSize(leaf, slot)} bytes, the format says ${InodeItem.byteLength}`;
    throw new CorruptError(problem, itemWhere(leaf, slot));
  }
  const { view } = leaf;
  return {
    generation: readSafe(view, at + ITEM.generation, "generation of an inode"),
    size: readSafe(view, at + ITEM.size, "size of a file"),
    nlink: view.getUint32(at + ITEM.nlink, true),
    uid: view.getUint32(at + ITEM.uid, true),
    gid: view.getUint32(at + ITEM.gid, true),
    mode: view.getUint32(at + ITEM.mode, true),
    rdev: readSafe(view, at + ITEM.rdev, "device number"),
    flagsLow: view.getUint32(at + ITEM.flags, true),
    flagsHigh: view.getUint32(at + ITEM.flags + 4, true),
    item: leaf.bytes.subarray(at, at + InodeItem.byteLength),
  };
}

/** A name of an inode; `name` is bytes of the leaf. */
export interface LeafName {
  readonly dir: number;
  readonly name: Uint8Array;
}

const REF_BYTES = InodeRef.byteLength;
const REF_LENGTH_AT = InodeRef.offsets.nameLen;
const EXTREF_BYTES = InodeExtref.byteLength;
const EXTREF_LENGTH_AT = InodeExtref.offsets.nameLen;

/** Names in an INODE_REF or INODE_EXTREF item. @throws {CorruptError} when one does not end inside the item. */
export function namesIn(leaf: Leaf, slot: number): LeafName[] {
  const { view, bytes } = leaf;
  const isRef = slotType(leaf, slot) === INODE_REF;
  const fixed = isRef ? REF_BYTES : EXTREF_BYTES;
  const names: LeafName[] = [];
  let at = itemStart(leaf, slot);
  for (const end = at + itemSize(leaf, slot); at < end; ) {
    const nameAt = at + fixed;
    const next =
      nameAt < end ? nameAt + view.getUint16(at + (isRef ? REF_LENGTH_AT : EXTREF_LENGTH_AT), true) : end + 1;
    if (next > end)
      throw new CorruptError("Cannot read names: one does not end inside its item", itemWhere(leaf, slot));
    const dir = readSafe(view, isRef ? keyAt(leaf, slot) + 9 : at, "inode number");
    names.push({ dir, name: bytes.subarray(nameAt, next) });
    at = next;
  }
  return names;
}

function entryStart(leaf: Leaf, slot: number): number {
  const data = viewOf(itemBytes(leaf, slot));
  dirEntryEnd(data, 0, {});
  return itemStart(leaf, slot);
}

/** Where the `btrfs_dir_item` at byte `at` leads. */
export function targetAt(view: DataView, at: number): EntryTarget {
  return {
    id: readSafe(view, at, "target of a directory entry"),
    isSubvolume: view.getUint8(at + 8) === ROOT_ITEM,
  };
}

interface NamedEntry {
  readonly view: DataView;
  readonly at: number;
  readonly value: Uint8Array;
}

function entryNamed(leaf: Leaf, slot: number, name: Uint8Array): NamedEntry | undefined {
  const data = itemBytes(leaf, slot);
  const view = viewOf(data);
  for (let at = 0; at < data.byteLength; ) {
    const end = dirEntryEnd(view, at, {});
    const nameAt = at + DirItem.byteLength;
    const nameEnd = nameAt + view.getUint16(at + DirItem.offsets.nameLen, true);
    if (equalBytes(data.subarray(nameAt, nameEnd), name)) return { view, at, value: data.subarray(nameEnd, end) };
    at = end;
  }
  return undefined;
}
