import { hex } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { readSafe } from "../bytes/u64.ts";
import { isZeroUuid } from "../bytes/uuid.ts";
import { CorruptError, type Where } from "../errors.ts";
import { decodeDirEntries } from "../format/dir-item.ts";
import { S_IFDIR, S_IFMT } from "../format/inode.ts";
import { DiskKey, itemsOf, KEY_BYTES, keyOf, MAX_U64, writeKey } from "../format/key.ts";
import { DIR_INDEX, DIR_ITEM, INODE_EXTREF, INODE_ITEM, INODE_REF, XATTR_ITEM } from "../format/key-type.ts";
import { itemBytes, itemWhere, keyAt, slotType } from "../format/node.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import { nameHash } from "../tree/hash.ts";
import type { LeafSpan, Tree } from "../tree/source.ts";
import { decodeFacts, type InodeFacts } from "./inode-facts.ts";
import { type EntryTarget, entryStart, findNamed, targetAt, valueAt } from "./leaf-entries.ts";
import { namesIn } from "./leaf-names.ts";
import { Waited } from "./unread.ts";

/** A name of an inode, and the generation of the directory that has it. */
export interface FirstName {
  readonly dir: number;
  readonly dirGeneration: number;
  readonly name: Uint8Array;
}

const ROOT = Number(FIRST_FREE_OBJECTID);
/** Root directories up to this size are looked through once, in place of once for every new inode. */
const MAX_ROOT_BYTES = 64 * 1024;
/** Facts and names that are kept. */
const MAX_KEPT = 8192;

/**
 * One snapshot to send, to send against, or to clone from: what send looks up in its tree. Lookups throw `Unread` where
 * they would have to wait.
 */
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
  /** The inode whose items are being passed, which is asked for again and again, and afterwards hardly ever. */
  #passed = -1;
  #passedFacts: InodeFacts | undefined;
  #passedName: FirstName | undefined | null = null;
  readonly #key = new DataView(new ArrayBuffer(KEY_BYTES));
  readonly #waited = new Waited();
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

  /** The inode, also one without names; `undefined` when there is none. `null`, when that can't be told without waiting. */
  inodeNow(ino: number): InodeFacts | undefined | null {
    if (ino === this.#passed) return this.#passedFacts;
    const kept = this.#inodes.get(ino);
    if (kept !== undefined || this.#inodes.has(ino)) return kept;
    writeKey(this.#key, ino, INODE_ITEM, 0);
    const span = this.tree.findNow(this.#key, "exact");
    if (span === null) return null;
    const facts = span && decodeFacts(span.leaf, span.first);
    this.#keepInode(ino, facts);
    return facts;
  }

  /** The inode, also one without names; `undefined` when there is none. */
  findInode(ino: number): InodeFacts | undefined {
    const now = this.inodeNow(ino);
    if (now !== null) return now;
    return this.#waited.get(`inode ${ino}`, async () => {
      const span = await this.tree.find(keyOf(BigInt(ino), INODE_ITEM, 0n), "exact");
      return span && decodeFacts(span.leaf, span.first);
    });
  }

  /** Takes what the items that are being passed say of their inode. */
  passInode(ino: number, facts: InodeFacts | undefined): void {
    this.#passed = ino;
    this.#passedFacts = facts;
    this.#passedName = null;
    // Names lead there.
    if (facts !== undefined && (facts.mode & S_IFMT) === S_IFDIR) this.#keepInode(ino, facts);
  }

  /** The first name of the inode whose items are being passed. */
  passName(ino: number, name: FirstName): void {
    if (ino === this.#passed) this.#passedName = name;
  }

  #keepInode(ino: number, facts: InodeFacts | undefined): void {
    if (this.#inodes.size >= MAX_KEPT) this.#inodes.clear();
    this.#inodes.set(ino, facts);
  }

  /** @throws {CorruptError} when there is no such inode. */
  getInode(ino: number): InodeFacts {
    const facts = this.findInode(ino);
    if (facts === undefined) throw this.#broken("it has no inode item", ino);
    return facts;
  }

  /** The first name in key order; `undefined` when there is none. `null`, when that can't be told without waiting. */
  firstNameNow(ino: number): FirstName | undefined | null {
    if (ino === this.#passed && this.#passedName !== null) return this.#passedName;
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

  /** The first name in key order; `undefined` when there is none. */
  findFirstName(ino: number): FirstName | undefined {
    const now = this.firstNameNow(ino);
    if (now !== null) return now;
    const first = this.#waited.get(`first name ${ino}`, () => this.#readNames(ino, 1))[0];
    if (first === undefined) return this.#keepName(ino, undefined);
    const { dir, name } = first;
    return this.#keepName(ino, { dir, dirGeneration: this.getInode(dir).generation, name });
  }

  #keepName(ino: number, name: FirstName | undefined): FirstName | undefined {
    if (ino === this.#passed) {
      this.#passedName = name;
      return name;
    }
    if (this.#names.size >= MAX_KEPT) this.#names.clear();
    this.#names.set(ino, name);
    return name;
  }

  /** @throws {CorruptError} when there is none. */
  getFirstName(ino: number): FirstName {
    const name = this.findFirstName(ino);
    if (name === undefined) throw this.#broken("it has no name", ino);
    return name;
  }

  /** Every name of an inode, in key order. Mostly waits. */
  allNames(ino: number): readonly { readonly dir: number; readonly name: Uint8Array }[] {
    return this.#waited.get(`names ${ino}`, () => this.#readNames(ino, Number.POSITIVE_INFINITY));
  }

  async #readNames(ino: number, most: number): Promise<{ readonly dir: number; readonly name: Uint8Array }[]> {
    const names = [];
    const range = { first: keyOf(BigInt(ino), INODE_REF, 0n), last: keyOf(BigInt(ino), INODE_EXTREF + 1, 0n) };
    for await (const { leaf, first, last } of this.tree.leaves(range)) {
      for (let slot = first; slot < last && names.length < most; slot++) {
        for (const { dir, name } of namesIn(leaf, slot)) names.push({ dir, name: name.slice() });
      }
      if (names.length >= most) break;
    }
    return names;
  }

  /** Where `name` in a directory leads. */
  findEntry(dir: number, name: Uint8Array): EntryTarget | undefined {
    const span = this.#findHashed(dir, DIR_ITEM, name);
    const at = span === undefined ? -1 : findNamed(span.leaf, span.first, name);
    return at < 0 ? undefined : targetAt(span!.leaf.view, at);
  }

  /** Value of an extended attribute, as bytes of the leaf. */
  findXattr(ino: number, name: Uint8Array): Uint8Array | undefined {
    const span = this.#findHashed(ino, XATTR_ITEM, name);
    const at = span === undefined ? -1 : findNamed(span.leaf, span.first, name);
    return at < 0 ? undefined : valueAt(span!.leaf, at);
  }

  /** The item that has `name`, if any. */
  #findHashed(objectid: number, type: number, name: Uint8Array): LeafSpan | undefined {
    const hash = nameHash(name);
    writeKey(this.#key, objectid, type, hash);
    const span = this.tree.findNow(this.#key, "exact");
    if (span !== null) return span;
    const key = keyOf(BigInt(objectid), type, BigInt(hash));
    return this.#waited.get(`${objectid} ${type} ${hex(name)}`, () => this.tree.find(key, "exact"));
  }

  /** Entry of a directory with the greatest index. */
  findLastEntry(dir: number): EntryTarget | undefined {
    writeKey(this.#key, dir, DIR_INDEX, 0);
    this.#key.setBigUint64(DiskKey.offsets.offset, MAX_U64, true);
    const key = keyOf(BigInt(dir), DIR_INDEX, MAX_U64);
    let span = this.tree.findNow(this.#key, "atOrBefore");
    if (span === null) span = this.#waited.get(`last entry ${dir}`, () => this.tree.find(key, "atOrBefore"));
    if (span === undefined) return undefined;
    const { leaf, first } = span;
    if (readSafe(leaf.view, keyAt(leaf, first)) !== dir || slotType(leaf, first) !== DIR_INDEX) return undefined;
    return targetAt(leaf.view, entryStart(leaf, first));
  }

  /** Whether the root directory has names that look like temporary ones; told as true where it is too large to look. */
  mayHaveTemporaryNames(): Promise<boolean> {
    this.#temporaryNames ??= this.#findTemporaryNames();
    return this.#temporaryNames;
  }

  async #findTemporaryNames(): Promise<boolean> {
    // A directory's size is twice the length of its names.
    const root = await this.tree.find(keyOf(FIRST_FREE_OBJECTID, INODE_ITEM, 0n), "exact");
    if (root === undefined) throw this.#broken("it has no inode item", ROOT);
    if (decodeFacts(root.leaf, root.first).size > MAX_ROOT_BYTES) return true;
    for await (const { leaf, first, last } of this.tree.leaves(itemsOf(FIRST_FREE_OBJECTID, DIR_INDEX))) {
      for (let slot = first; slot < last; slot++) {
        for (const { name } of decodeDirEntries(itemBytes(leaf, slot), itemWhere(leaf, slot))) {
          if (/^o\d+-\d+-\d+$/.test(displayName(name))) return true;
        }
      }
    }
    return false;
  }

  #broken(what: string, ino: number): CorruptError {
    return new CorruptError(`Cannot send inode: ${what}`, this.where(ino));
  }

  where(ino: number): Where {
    return { tree: this.id, inode: BigInt(ino) };
  }
}
