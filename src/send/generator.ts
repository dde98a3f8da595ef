import { readSafe } from "../bytes/u64.ts";
import { CorruptError } from "../errors.ts";
import { S_IFMT, S_IFREG } from "../format/inode.ts";
import { DiskKey, itemsOf, keyOf } from "../format/key.ts";
import { EXTENT_DATA, INODE_EXTREF, INODE_ITEM, INODE_REF, VERITY_DESC_ITEM, XATTR_ITEM } from "../format/key-type.ts";
import { keyAt, type Leaf, slotType } from "../format/node.ts";
import { roundedU64 } from "../tree/item-context.ts";
import type { BlockTree, LeavesAhead, Tree } from "../tree/source.ts";
import { BackRefs } from "./back-refs.ts";
import { Clones } from "./clones.ts";
import { CHANGED, compareTrees, GONE, NEW, type OnItem, SAME, walkTree } from "./compare.ts";
import { type AgedTree, compareItems } from "./compare-items.ts";
import type { DamageCheck } from "./damage.ts";
import { type DataOptions, Extents } from "./extents.ts";
import { FileData } from "./file-data.ts";
import { InodeEnd } from "./inode-end.ts";
import { decodeFacts, type InodeFacts } from "./inode-facts.ts";
import { type LeafName, namesIn } from "./leaf-names.ts";
import { Moves } from "./moves.ts";
import { Names } from "./names.ts";
import { NewInodes } from "./new-inodes.ts";
import type { CommandOutput } from "./output.ts";
import { Paths } from "./paths.ts";
import { SameItems } from "./same-items.ts";
import type { Snapshot } from "./snapshot.ts";
import type { SendSource } from "./source.ts";
import { ROOT_INODE, SendState } from "./state.ts";
import { TimesQueue } from "./times.ts";
import { andThen, whenRead } from "./unread.ts";
import { Xattrs } from "./xattrs.ts";

const { type: KEY_TYPE_AT, offset: KEY_OFFSET_AT } = DiskKey.offsets;

export interface GeneratorOptions extends Pick<DataOptions, "compressed" | "noData" | "imitatesFaults"> {
  readonly signal?: AbortSignal | undefined;
  /** Called when an inode is done. */
  readonly onInode?: ((ino: number) => void) | undefined;
  /** Looks at files before they are sent. */
  readonly damage?: DamageCheck | undefined;
}

/** The commands between SUBVOL or SNAPSHOT and END, for one snapshot, in the order in which Linux sends them. */
export class Generator {
  readonly #state: SendState;
  readonly #paths: Paths;
  readonly #times: TimesQueue;
  readonly #names: Names;
  readonly #extents: Extents;
  readonly #xattrs: Xattrs;
  readonly #options: GeneratorOptions;
  readonly #newInodes: NewInodes;
  readonly #end: InodeEnd;
  readonly #same: SameItems;
  readonly #ahead: LeavesAhead | undefined;

  /** @param roots What may be cloned from; `left` among them. */
  constructor(
    source: SendSource,
    left: Snapshot,
    right: Snapshot | undefined,
    roots: readonly Snapshot[],
    out: CommandOutput,
    options: GeneratorOptions,
  ) {
    const { sectorSize, blocks } = source;
    this.#options = options;
    this.#ahead = blocks?.ahead;
    const state = new SendState(left, right, out, options.damage !== undefined);
    this.#state = state;
    this.#same = new SameItems(left, right);
    this.#paths = new Paths(state);
    this.#times = new TimesQueue(state, this.#paths);
    const moves = new Moves(state, this.#paths, this.#times);
    this.#names = new Names(state, this.#paths, moves, this.#times);
    this.#xattrs = new Xattrs(state, this.#paths);
    const refs =
      source.references?.(roots) ?? (blocks && new BackRefs(blocks, new Set(roots.map(({ id }) => id)), sectorSize));
    const clones = new Clones(state, this.#paths, roots, sectorSize, refs);
    const seesLeaves = blocks !== undefined;
    const data = { ...options, sectorSize, seesLeaves, chunkBytes: out.version >= 2 ? 131_072 : 49_152 };
    this.#extents = new Extents(state, this.#paths, new FileData(source, out), data, clones);
    const parts = { paths: this.#paths, times: this.#times, names: this.#names, extents: this.#extents };
    this.#end = new InodeEnd(state, { ...parts, moves, xattrs: this.#xattrs }, options.onInode);
    this.#newInodes = new NewInodes(state, parts, (ino, facts) => this.#begin(ino, facts), options.onInode);
  }

  async run(): Promise<void> {
    const { left, right } = this.#state;
    await this.#paths.orphans.open();
    if (right === undefined) await this.#walk(left);
    else if (isBlockTree(left.tree) && isBlockTree(right.tree)) {
      const passSame = this.#passSame.bind(this);
      await compareTrees(left.tree, right.tree, { onItem: this.#onItem.bind(this), passSame });
    } else {
      await compareItems(left.tree as AgedTree, right.tree as AgedTree, this.#onItem.bind(this));
    }
    await this.#finish(0, 0, true);
    await this.#times.sendAll();
  }

  async #walk({ tree }: Snapshot): Promise<void> {
    const { out } = this.#state;
    if (isBlockTree(tree) && canReadNow(tree)) {
      const onItem: OnItem = (result, leaf, slot) => {
        return this.#onItem(result, leaf, slot, undefined, 0) ?? (out.isFull ? out.drain() : undefined);
      };
      return walkTree(tree, onItem, this.#ahead);
    }
    for await (const { leaf, first, last } of tree.leaves({ first: keyOf(BigInt(ROOT_INODE), INODE_ITEM, 0n) })) {
      for (let slot = first; slot < last; slot++) {
        const waiting = this.#onItem(NEW, leaf, slot, undefined, 0);
        if (waiting !== undefined) await waiting;
        if (out.isFull) await out.drain();
      }
    }
  }

  #onItem(
    result: number,
    left: Leaf | undefined,
    leftSlot: number,
    right: Leaf | undefined,
    rightSlot: number,
  ): Promise<void> | undefined {
    const leaf = (left ?? right)!;
    const slot = left === undefined ? rightSlot : leftSlot;
    const type = slotType(leaf, slot);
    if (result === SAME && type !== INODE_REF && type !== INODE_EXTREF && type !== EXTENT_DATA) {
      if (type === INODE_ITEM) this.#same.addInode(leaf, slot);
      return undefined;
    }
    const at = keyAt(leaf, slot);
    // Ids below the first inode or above the last one: orphans, caches.
    const high = leaf.view.getUint32(at + 4, true);
    if (high === 0xffff_ffff && leaf.view.getUint32(at, true) > 0xffff_ff00) return undefined;
    const ino = readSafe(leaf.view, at, "inode number");
    if (ino < ROOT_INODE) return undefined;
    if (result === SAME) {
      return type === EXTENT_DATA
        ? (this.#extents.pass(leaf, slot) ?? undefined)
        : this.#onSameName(ino, type, left!, leftSlot, right!, rightSlot);
    }
    const isWanted = type <= VERITY_DESC_ITEM || type === EXTENT_DATA;
    if (!isWanted && ino === this.#state.ino && !this.#hasNames && !this.#times.isFull) return undefined;
    if (this.#state.right === undefined) {
      const taken = this.#newInodes.take(ino, type, leaf, slot);
      if (taken !== false) return taken === true ? undefined : taken;
    }
    return this.#onChange(result, ino, type, left, leftSlot, right, rightSlot);
  }

  /** Of items that both have, passes those that say nothing: see `Comparison`. */
  #passSame(leaf: Leaf, slot: number, count: number): number {
    const { view } = leaf;
    const { ino, isReplaced, isIgnored } = this.#state;
    // What follows a changed inode begins with the names that it kept.
    const mayBeFirst = slotType(leaf, slot) === INODE_REF && !this.#hasNames && !isReplaced && !isIgnored;
    if (mayBeFirst) this.#same.addName(leaf, slot, ino);
    for (let passed = 0; passed < count; passed++) {
      const at = keyAt(leaf, slot + passed);
      const type = view.getUint8(at + KEY_TYPE_AT);
      if (type === INODE_ITEM) this.#same.addInode(leaf, slot + passed);
      else if (type === INODE_REF) {
        if (!this.#same.inodes.has(roundedU64(view, at + KEY_OFFSET_AT))) return passed;
      } else if (type === EXTENT_DATA) {
        if (roundedU64(view, at) === ino) return passed;
      } else if (type === INODE_EXTREF) return passed;
    }
    return count;
  }

  get #hasNames(): boolean {
    return this.#state.newNames.length > 0 || this.#state.goneNames.length > 0;
  }

  /** The same name in the same directory number: another directory may have that number now. */
  #onSameName(
    ino: number,
    type: number,
    left: Leaf,
    leftSlot: number,
    right: Leaf,
    rightSlot: number,
  ): Promise<void> | undefined {
    const state = this.#state;
    if (type === INODE_REF) {
      const dir = readSafe(left.view, keyAt(left, leftSlot) + KEY_OFFSET_AT, "inode number");
      if (this.#same.inodes.has(dir)) return undefined;
      const after = state.left.inodeNow(dir);
      const before = state.right!.inodeNow(dir);
      if (after?.generation !== undefined && after.generation === before?.generation) {
        this.#same.inodes.keep(dir);
        return undefined;
      }
    }
    return this.#lookAtSameName(ino, type, left, leftSlot, right, rightSlot);
  }

  async #lookAtSameName(
    ino: number,
    type: number,
    left: Leaf,
    leftSlot: number,
    right: Leaf,
    rightSlot: number,
  ): Promise<void> {
    const state = this.#state;
    for (const { dir } of namesIn(left, leftSlot)) {
      const after = await whenRead(() => state.left.getInode(dir));
      const before = await whenRead(() => state.right!.getInode(dir));
      if (after.generation === before.generation) continue;
      await this.#onChange(CHANGED, ino, type, left, leftSlot, right, rightSlot);
      return;
    }
  }

  #onChange(
    result: number,
    ino: number,
    type: number,
    left: Leaf | undefined,
    leftSlot: number,
    right: Leaf | undefined,
    rightSlot: number,
  ): Promise<void> | undefined {
    const { out } = this.#state;
    const finished = out.isFull
      ? out.drain().then(() => this.#finish(ino, type, false))
      : this.#finish(ino, type, false);
    const taken = andThen(finished, () => this.#takeChange(result, ino, type, left, leftSlot, right, rightSlot));
    return taken ?? undefined;
  }

  #takeChange(
    result: number,
    ino: number,
    type: number,
    left: Leaf | undefined,
    leftSlot: number,
    right: Leaf | undefined,
    rightSlot: number,
  ): void | Promise<void> {
    const state = this.#state;
    if (type === INODE_ITEM) {
      this.#options.signal?.throwIfAborted();
      const after = left && decodeFacts(left, leftSlot);
      const before = right && decodeFacts(right, rightSlot);
      if (state.right !== undefined) {
        if (after !== undefined) state.left.passInode(ino, after);
        if (before !== undefined) state.right.passInode(ino, before);
      } else state.left.passInode(ino, after);
      return this.#startInode(ino, after, before);
    }
    if (state.isIgnored) return;
    if (type === EXTENT_DATA) {
      // Relocation and deduplication change extents of inodes that did not change.
      if (ino !== state.ino || state.isReplaced || state.isDeleted || result === GONE) return;
      return this.#extents.send(left!, leftSlot);
    }
    if (type === VERITY_DESC_ITEM) {
      if (result === NEW && ino === state.ino) state.hasVerity = true;
      return;
    }
    const isName = type === INODE_REF || type === INODE_EXTREF;
    if (!isName && type !== XATTR_ITEM) return;
    if (ino !== state.ino) {
      const what = "a name or attribute of it changed, the inode itself did not";
      throw new CorruptError(`Cannot send inode: ${what}`, state.left.where(ino));
    }
    if (state.isReplaced) return;
    if (!isName) {
      if (state.isDeleted) return;
      state.hasXattrs = true;
      if (result === NEW) return this.#xattrs.sendNew(left!, leftSlot);
      if (result === GONE) return this.#xattrs.sendGone(right!, rightSlot);
      return this.#xattrs.sendChanged(left!, leftSlot, right!, rightSlot);
    }
    if (ino === ROOT_INODE) return;
    const added = left && this.#addNames(left, leftSlot, false);
    return andThen(added, () => right && this.#addNames(right, rightSlot, true));
  }

  #addNames(leaf: Leaf, slot: number, areGone: boolean): void | Promise<void> {
    const names = namesIn(leaf, slot);
    const [only] = names;
    if (names.length === 1 && only !== undefined) return this.#addName(only, areGone);
    return this.#addAll(names, areGone);
  }

  async #addAll(names: readonly LeafName[], areGone: boolean): Promise<void> {
    for (const name of names) await this.#addName(name, areGone);
  }

  #addName({ dir, name }: LeafName, areGone: boolean): void | Promise<void> {
    return areGone ? this.#names.addGone(dir, name) : this.#names.addNew(dir, name);
  }

  #startInode(ino: number, after: InodeFacts | undefined, before: InodeFacts | undefined): void | Promise<void> {
    const state = this.#state;
    this.#startNumber(ino);
    if (after !== undefined && before !== undefined) {
      if (after.nlink === 0 && before.nlink === 0) state.isIgnored = true;
      else if (after.nlink === 0 || before.nlink === 0) state.isReplaced = true;
      else state.isReplaced = after.generation !== before.generation && ino !== ROOT_INODE;
      if (state.isIgnored) return;
      if (state.isReplaced) return this.#replace(after, before);
      this.#take(after, false, false);
      if (state.isDirectory && after.generation === before.generation) this.#same.inodes.keep(ino);
    } else if (after !== undefined) {
      if (after.nlink === 0) state.isIgnored = true;
      else return this.#startNew(ino, after);
    } else if (before!.nlink === 0) state.isIgnored = true;
    else this.#take(before!, false, true);
  }

  async #startNew(ino: number, facts: InodeFacts): Promise<void> {
    if (await this.#isDamaged(ino, facts)) {
      this.#state.isIgnored = true;
      return;
    }
    this.#take(facts, true, false);
    if (ino !== ROOT_INODE) await this.#names.createCurrent();
  }

  async #isDamaged(ino: number, facts: InodeFacts): Promise<boolean> {
    const { damage } = this.#options;
    if (damage === undefined || (facts.mode & S_IFMT) !== S_IFREG || (await damage.isGood(ino, facts))) return false;
    this.#state.leftOut.add(ino);
    return true;
  }

  #startNumber(ino: number): void {
    const state = this.#state;
    state.ino = ino;
    state.progress = ino;
    state.isReplaced = false;
    state.isIgnored = false;
    state.writeEnd = 0;
    state.keptPath = undefined;
    state.hasXattrs = false;
    state.hasVerity = false;
    this.#extents.startInode();
  }

  /** Makes a new inode, that has names, the current one. */
  #begin(ino: number, facts: InodeFacts): void {
    this.#options.signal?.throwIfAborted();
    this.#startNumber(ino);
    this.#take(facts, true, false);
  }

  #take(facts: InodeFacts, isNew: boolean, isDeleted: boolean): void {
    const state = this.#state;
    state.generation = facts.generation;
    state.isNew = isNew;
    state.isDeleted = isDeleted;
    state.size = facts.size;
    state.mode = facts.mode;
    state.rdev = facts.rdev;
  }

  /** One inode goes, another one comes with the same number: first all of the one, then all of the other. */
  async #replace(after: InodeFacts, before: InodeFacts): Promise<void> {
    const state = this.#state;
    const { ino } = state;
    if (before.nlink > 0) {
      this.#take(before, false, true);
      for (const { dir, name } of await whenRead(() => state.right!.allNames(ino)))
        await this.#names.addGone(dir, name);
      await this.#names.apply();
    }
    if (after.nlink === 0) return;
    state.keptPath = undefined;
    this.#take(after, true, false);
    await this.#names.createCurrent();
    for (const { dir, name } of await whenRead(() => state.left.allNames(ino))) await this.#names.addNew(dir, name);
    await this.#names.apply();
    state.progress = ino + 1;
    for await (const { leaf, first, last } of state.left.tree.leaves(itemsOf(BigInt(ino), EXTENT_DATA))) {
      for (let slot = first; slot < last; slot++) await this.#extents.send(leaf, slot);
    }
    await this.#xattrs.sendAll();
  }

  /** Makes the current inode's names be before its other items, and ends the inode when the next one comes. */
  #finish(ino: number, type: number, atEnd: boolean): void | Promise<void> {
    const state = this.#state;
    if (state.isIgnored) return;
    const isSame = !atEnd && ino === state.ino;
    if (!this.#hasNames || (isSame && type <= INODE_EXTREF)) return this.#finishNamed(isSame);
    return this.#names.apply().then((isWaiting) => {
      if (!isWaiting) state.progress = state.ino + 1;
      return this.#finishNamed(isSame);
    });
  }

  #finishNamed(isSame: boolean): void | Promise<void> {
    const state = this.#state;
    const ended = state.ino !== 0 && !state.isDeleted && !isSame ? this.#end.send() : undefined;
    return andThen(ended, () => (this.#times.isFull ? this.#times.trim() : undefined));
  }
}

/** Where nodes have to be waited for, they are better read ahead. */
function canReadNow(tree: BlockTree): boolean {
  return tree.root.level > 0 && tree.childNow(tree.root, 0) !== undefined;
}

function isBlockTree(tree: Tree): tree is BlockTree {
  return "root" in tree;
}
