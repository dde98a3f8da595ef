import { equalBytes, viewOf } from "../bytes/bytes.ts";
import { readSafe } from "../bytes/u64.ts";
import { isZeroUuid } from "../bytes/uuid.ts";
import { BtrfsError, CorruptError, type Where } from "../errors.ts";
import { DirItem, dirEntryEnd } from "../format/dir-item.ts";
import { InodeItem } from "../format/inode.ts";
import { decodeInodeExtrefs, decodeInodeRefs } from "../format/inode-ref.ts";
import { comparePackedKeys, type Key, keyOf, MAX_U64, packKey } from "../format/key.ts";
import { DIR_INDEX, DIR_ITEM, INODE_EXTREF, INODE_ITEM, INODE_REF, ROOT_ITEM, XATTR_ITEM } from "../format/key-type.ts";
import { itemBytes, itemSize, itemStart, itemWhere, keyAt, type Leaf, slotType } from "../format/node.ts";
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
  readonly #inodes = new Map<number, InodeFacts | undefined>();
  readonly #names = new Map<number, FirstName | undefined>();

  constructor(about: {
    readonly id: bigint;
    readonly tree: Tree;
    readonly name: Uint8Array;
    readonly uuid: Uint8Array;
    readonly receivedUuid: Uint8Array;
    readonly ctransid: bigint;
  }) {
    this.id = about.id;
    this.tree = about.tree;
    this.name = about.name;
    this.uuid = isZeroUuid(about.receivedUuid) ? about.uuid : about.receivedUuid;
    this.ctransid = about.ctransid;
  }

  /** What is known of an inode without waiting; `null` when that has to be looked up. */
  keptInode(ino: number): InodeFacts | undefined | null {
    const kept = this.#inodes.get(ino);
    return kept === undefined && !this.#inodes.has(ino) ? null : kept;
  }

  /** The inode, also one without names; `undefined` when there is none. */
  async findInode(ino: number): Promise<InodeFacts | undefined> {
    const kept = this.keptInode(ino);
    if (kept !== null) return kept;
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

  /** The first name in key order; `undefined` when there is none. */
  async findFirstName(ino: number): Promise<FirstName | undefined> {
    const kept = this.#names.get(ino);
    if (kept !== undefined || this.#names.has(ino)) return kept;
    const found = await this.#readFirstName(ino);
    if (this.#names.size >= MAX_KEPT) this.#names.clear();
    this.#names.set(ino, found);
    return found;
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

/** Names in an INODE_REF or INODE_EXTREF item; bytes of the leaf. */
export function namesIn(leaf: Leaf, slot: number): { readonly dir: number; readonly name: Uint8Array }[] {
  // Without slot and key: to put them into words costs more than to read the names.
  const { where } = leaf;
  const data = itemBytes(leaf, slot);
  const names =
    slotType(leaf, slot) === INODE_REF
      ? decodeInodeRefs(data, leaf.view.getBigUint64(keyAt(leaf, slot) + 9, true), where)
      : decodeInodeExtrefs(data, where);
  return names.map(({ parent, name }) => ({ dir: toInode(parent, where), name }));
}

function toInode(value: bigint, where: Where): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new BtrfsError("limit", `Cannot send inode ${value}: numbers up to ${Number.MAX_SAFE_INTEGER} can be`, {
      where,
    });
  }
  return Number(value);
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
