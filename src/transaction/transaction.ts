import { viewOf } from "../bytes/bytes.ts";
import { BtrfsError } from "../errors.ts";
import { INODE_ROOT_ITEM_INIT } from "../format/inode.ts";
import { itemsOf, type Key, type KeyRange, keyOf, MAX_U64, packKey } from "../format/key.ts";
import { EXTENT_DATA_REF, ROOT_ITEM } from "../format/key-type.ts";
import { itemBytes, itemWhere, type NodeBlock, NodeHeader, slotKey } from "../format/node.ts";
import {
  CHUNK_TREE_OBJECTID,
  CSUM_TREE_OBJECTID,
  EXTENT_TREE_OBJECTID,
  isSubvolumeId,
  ROOT_TREE_OBJECTID,
} from "../format/objectid.ts";
import { decodeRootItem, type RootItem } from "../format/root.ts";
import { INCOMPAT_SKINNY_METADATA, SUPERBLOCK_BYTES, Superblock } from "../format/superblock.ts";
import type { LeafSpan } from "../tree/source.ts";
import type { LeafWalk } from "../tree/walk.ts";
import { rootOfItem } from "../volume/roots.ts";
import type { Volume } from "../volume/volume.ts";
import { Checksums } from "./checksums.ts";
import { bytesOf } from "./chunk-items.ts";
import { Cow } from "./cow.ts";
import { DataStore } from "./data-store.ts";
import { DelayedItems } from "./delayed-items.ts";
import { DelayedRefs } from "./delayed-refs.ts";
import { dropBlocks } from "./drop-tree.ts";
import { Editor, type MaybePromise } from "./editor.ts";
import { ExtentTree } from "./extent-tree.ts";
import { Nodes } from "./nodes.ts";
import { OpenTree } from "./open-tree.ts";
import type { Space } from "./space.ts";
import type { SuperblockStruct } from "./superblock.ts";
import { Wait } from "./wait.ts";

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
/** Items that may wait in memory: some 30,000. */
const MAX_DELAYED_BYTES = 8 << 20;

/** Stored data that file extents of one inode refer to. */
export interface DataRef {
  /** Logical address and stored bytes of the whole extent. */
  readonly logical: number;
  readonly length: number;
  /** Object id of the tree, and the inode in it. */
  readonly tree: bigint;
  readonly inode: bigint;
  /** File offset at which the extent would start, modulo 2^64. */
  readonly offset: bigint;
}

/**
 * Changes of a filesystem that become visible together. Trees are named by their ids. Steps run one after the other:
 * await each before the next.
 */
export class Transaction {
  /** The filesystem as of the last commit. */
  readonly volume: Volume;
  /** Of this transaction: one more than the last commit's. */
  readonly generation: number;
  /** What the superblock will say. */
  readonly superblock: SuperblockStruct;
  readonly nodes: Nodes;
  readonly space: Space;
  readonly refs = new DelayedRefs();
  readonly editor: Editor;
  readonly extents: ExtentTree;
  readonly data: DataStore;
  readonly cow: Cow;
  /** Whether anything is added: then room for removing things has to be left. */
  adds = false;
  readonly #trees = new Map<bigint, OpenTree>();
  readonly checksums: Checksums;
  readonly #log = { changes: 0 };

  constructor(volume: Volume, space: Space) {
    this.volume = volume;
    this.space = space;
    this.generation = volume.generation + 1;
    const superblock = new Uint8Array(SUPERBLOCK_BYTES);
    superblock.set(
      new Uint8Array(
        volume.superblock.view.buffer,
        volume.superblock.view.byteOffset + volume.superblock.at,
        SUPERBLOCK_BYTES,
      ),
    );
    this.superblock = new Superblock(viewOf(superblock));
    const { nodeSize, sectorSize } = volume;
    const { chunkTreeUuid } = new NodeHeader(volume.chunkTree.root.view);
    this.nodes = new Nodes(
      { nodeSize, fsid: volume.limits.fsid, chunkTreeUuid: chunkTreeUuid.slice(), generation: this.generation },
      volume,
    );
    this.cow = new Cow(this.nodes, space, this.refs);
    this.editor = new Editor(this.nodes, this.cow);
    this.#addTree(ROOT_TREE_OBJECTID, volume.rootTree.root);
    this.#addTree(CHUNK_TREE_OBJECTID, volume.chunkTree.root);
    const checksumSize = volume.checksum.byteLength;
    this.checksums = new Checksums(this.editor, () => this.tree(CSUM_TREE_OBJECTID), {
      nodeSize,
      sectorSize,
      checksumSize,
    });
    this.data = new DataStore(volume, space, this.checksums, this.refs);
    this.extents = new ExtentTree(this.editor, () => this.#trees.get(EXTENT_TREE_OBJECTID)!, this.refs, {
      generation: this.generation,
      nodeSize,
      skinny: (volume.superblock.incompatFlags & INCOMPAT_SKINNY_METADATA) !== 0n,
      freed: async ({ logical, length, isData, isNew }) => {
        if (isData) await this.checksums.remove(logical, logical + length);
        else if (isNew) this.nodes.drop(logical);
        // A block waits in memory for the commit, data may be on its way to the device.
        await this.space.free(logical, length, isData || !isNew);
      },
    });
    this.cow.sharingOf = (logical, level) => this.extents.sharingOf(logical, level);
  }

  /** Opens what every change needs. */
  async open(): Promise<void> {
    await this.tree(EXTENT_TREE_OBJECTID);
  }

  /** Bytes of tree blocks that wait in memory for the commit: long jobs commit when they get many. */
  get dirtyBytes(): number {
    return this.nodes.dirty.size * this.volume.nodeSize + this.checksums.waitingBytes + this.delayedBytes;
  }

  /** Bytes of items that wait in memory to be put into their trees. */
  get delayedBytes(): number {
    let bytes = 0;
    for (const { delayed } of this.#trees.values()) if (delayed !== undefined) bytes += delayed.bytes;
    return bytes;
  }

  /** Many items wait: they should be put into their trees before more come. */
  get isFull(): boolean {
    return this.delayedBytes > MAX_DELAYED_BYTES;
  }

  /** Puts items that wait into their trees. */
  async relieve(): Promise<void> {
    for (const { delayed } of this.#trees.values()) if (delayed !== undefined) await delayed.flush();
  }

  /** Puts into the trees what waits in memory for being put there in one go. */
  async flush(): Promise<void> {
    await this.relieve();
    await this.checksums.flush();
  }

  get openTrees(): Iterable<OpenTree> {
    return this.#trees.values();
  }

  /** @throws {BtrfsError} `missing`. */
  async tree(id: bigint): Promise<OpenTree> {
    return this.#trees.get(id) ?? (await this.#open(id));
  }

  /** As `tree`, without waiting where it is open. */
  openTree(id: bigint): MaybePromise<OpenTree> {
    return this.#trees.get(id) ?? this.#open(id);
  }

  /** The root item of a tree, in bytes of its own, as the last commit or a step has it. */
  async rootItem(id: bigint): Promise<{ key: Key; item: InstanceType<typeof RootItem> } | undefined> {
    const span = await this.find(ROOT_TREE_OBJECTID, keyOf(id, ROOT_ITEM, MAX_U64), "atOrBefore");
    const key = span === undefined ? undefined : slotKey(span.leaf, span.first);
    if (span === undefined || key?.objectid !== id || key.type !== ROOT_ITEM) return undefined;
    const item = decodeRootItem(itemBytes(span.leaf, span.first), itemWhere(span.leaf, span.first));
    // Without the mark, as mkfs leaves the top level, the subvolume's flags would not count: a read-only snapshot of it
    // would be writable.
    if (isSubvolumeId(id)) item.inode.flags |= BigInt(INODE_ROOT_ITEM_INIT);
    return { key, item };
  }

  /**
   * The items of a subvolume, to change without waiting.
   *
   * @throws {Wait} while the tree is not open.
   */
  items(id: bigint): DelayedItems {
    const tree = this.#trees.get(id);
    if (tree === undefined) throw new Wait(this.tree(id));
    const items = this.#itemsOf(tree);
    if (items === undefined) throw new TypeError(`Cannot use items of tree ${id}: it is no subvolume`);
    return items;
  }

  /** The items of a subvolume that wait, where it is open. */
  knownItems(id: bigint): DelayedItems | undefined {
    return this.#trees.get(id)?.delayed;
  }

  /**
   * Runs a step that waits for nothing, at once where all that it looks at is in memory. Where it throws `Wait` it begins
   * anew later: so it has to look at all it needs before it changes anything.
   */
  now<T>(step: () => T): MaybePromise<T> {
    const before = this.#log.changes;
    try {
      return step();
    } catch (wait) {
      if (!(wait instanceof Wait)) throw wait;
      if (this.#log.changes !== before) throw new TypeError("Cannot begin step anew: it has changed something");
      return wait.until.then(() => this.now(step));
    }
  }

  /** The item with this key, or the last one at or before it. Look at it before the next change. */
  async find(tree: bigint, key: Key, match: "exact" | "atOrBefore" = "exact"): Promise<LeafSpan | undefined> {
    return this.editor.find(await this.#settled(tree), packKey(key), match);
  }

  /** The data of an item, to be looked at before the next change. */
  async get(tree: bigint, key: Key): Promise<Uint8Array | undefined> {
    const items = await this.#itemsFor(tree, key);
    if (items === undefined) return this.editor.get(await this.tree(tree), packKey(key));
    return (await this.now(() => items.find(Number(key.objectid), key.type, Number(key.offset))))?.data;
  }

  /** The items of a range, leaf by leaf; no change may come before its end. */
  async walk(tree: bigint, range?: KeyRange): Promise<LeafWalk> {
    return this.editor.walk(await this.#settled(tree), range);
  }

  /** @throws {BtrfsError} `exists`, `space`. */
  async insert(tree: bigint, key: Key, data: Uint8Array): Promise<void> {
    const items = await this.#itemsFor(tree, key, data.byteLength);
    if (items === undefined) return this.editor.insert(await this.tree(tree), packKey(key), data);
    await this.now(() => {
      items.insert(Number(key.objectid), key.type, Number(key.offset), data.byteLength).data!.set(data);
    });
  }

  /** Changes the bytes of an item where it lies. They are lent until `change` returns. @throws {BtrfsError} `missing`. */
  async edit(tree: bigint, key: Key, change: (data: DataView) => void): Promise<void> {
    const items = await this.#itemsFor(tree, key);
    if (items === undefined)
      return this.editor.edit(await this.tree(tree), packKey(key), (data) => change(viewOf(data)));
    await this.now(() => {
      const item = items.get(Number(key.objectid), key.type, Number(key.offset));
      items.mark(item);
      change(item.view);
    });
  }

  /** Gives an item other data, of any length. @throws {BtrfsError} `missing`. */
  async replace(tree: bigint, key: Key, data: Uint8Array): Promise<void> {
    const items = await this.#itemsFor(tree, key, data.byteLength);
    if (items === undefined) return this.editor.replace(await this.tree(tree), packKey(key), data);
    const objectid = Number(key.objectid);
    await this.now(() => items.replace(objectid, items.get(objectid, key.type, Number(key.offset)), data));
  }

  /** Gives an item another key that keeps it between its neighbours. @throws {BtrfsError} `missing`. */
  async rekey(tree: bigint, from: Key, to: Key): Promise<void> {
    await this.editor.rekey(await this.#settled(tree), packKey(from), packKey(to));
  }

  /** @throws {BtrfsError} `missing`. */
  async remove(tree: bigint, key: Key): Promise<void> {
    const items = await this.#itemsFor(tree, key);
    if (items === undefined) return this.editor.remove(await this.tree(tree), packKey(key));
    const objectid = Number(key.objectid);
    await this.now(() => items.remove(objectid, items.get(objectid, key.type, Number(key.offset))));
  }

  async removeRange(tree: bigint, range: KeyRange): Promise<void> {
    await this.editor.removeRange(await this.#settled(tree), range);
  }

  /** Removes every item of an object of a subvolume. */
  async removeObject(tree: bigint, objectid: bigint): Promise<void> {
    const items = this.#itemsOf(await this.tree(tree));
    if (items?.isWhole(Number(objectid)) === true) items.drop(Number(objectid));
    else await this.removeRange(tree, itemsOf(objectid));
  }

  /** A tree in which there is all that it is to have. */
  async #settled(id: bigint): Promise<OpenTree> {
    const tree = await this.tree(id);
    if (tree.delayed?.isEmpty === false) await tree.delayed.flush();
    return tree;
  }

  #itemsOf(tree: OpenTree): DelayedItems | undefined {
    if (tree.delayed === undefined && tree.isShareable) {
      tree.delayed = new DelayedItems(this.editor, tree, this.volume.nodeSize, this.#log);
    }
    return tree.delayed;
  }

  /** Where an item of this key waits; `undefined` where it goes to the tree at once, in which there is all else then. */
  async #itemsFor(id: bigint, { objectid, offset }: Key, more = 0): Promise<DelayedItems | undefined> {
    const tree = this.#trees.get(id) ?? (await this.tree(id));
    const items = this.#itemsOf(tree);
    if (items === undefined) return undefined;
    const fits = objectid <= MAX_SAFE && offset <= MAX_SAFE;
    if (!fits || items.bytes + more > MAX_DELAYED_BYTES) await items.flush();
    return fits ? items : undefined;
  }

  /** Counts file extents of one inode that refer to stored data: more, or fewer when `delta` is negative. */
  changeDataRef({ logical, length, tree, inode, offset }: DataRef, delta: number): void {
    const ref = {
      type: EXTENT_DATA_REF,
      root: tree,
      objectid: inode,
      offset: BigInt.asUintN(64, offset),
      count: 1,
    } as const;
    if (delta > 0) this.adds = true;
    this.refs.change(logical, length, -1, ref, delta);
  }

  /** Notes that an inode of a subvolume changed, for its root item. @param now Nanoseconds since 1970. @throws {Wait} */
  noteChange(id: bigint, now: bigint): void {
    const tree = this.#trees.get(id);
    if (tree === undefined) throw new Wait(this.tree(id));
    tree.changedAt = now;
  }

  /** A new, empty tree. Its root item is inserted as it is; where the tree begins is written at the commit. */
  async createTree(key: Key, item: InstanceType<typeof RootItem>): Promise<void> {
    await this.insert(ROOT_TREE_OBJECTID, key, bytesOf(item));
    const tree = new OpenTree(key.objectid, this.volume.rootTree.root, key, 0);
    tree.root = await this.cow.make(tree, 0);
    tree.recordedRoot = 0;
    this.#trees.set(tree.id, tree);
  }

  /** A new tree with all that `source` has, sharing its blocks. Its root item is inserted as it is. */
  async copyTree(source: bigint, key: Key, item: InstanceType<typeof RootItem>): Promise<void> {
    const tree = await this.#settled(source);
    // The source gets a root of its own before its blocks below become everybody's.
    tree.finger = undefined;
    tree.own.clear();
    tree.root = await this.cow.copy(tree, tree.root);
    tree.lastSnapshot = this.generation;
    const root = await this.cow.share(tree, key.objectid);
    await this.insert(ROOT_TREE_OBJECTID, key, bytesOf(item));
    const copy = new OpenTree(key.objectid, root, key, this.generation);
    copy.recordedRoot = 0;
    this.#trees.set(copy.id, copy);
  }

  /** Drops a tree and its root item; what it has to itself is free after the commit. */
  async removeTree(id: bigint): Promise<void> {
    const tree = await this.#settled(id);
    await dropBlocks(this, tree);
    await this.remove(ROOT_TREE_OBJECTID, tree.itemKey!);
    this.#trees.delete(id);
  }

  /** Adds a feature bit that from now on is needed to read the filesystem. */
  needIncompat(bit: bigint): void {
    this.superblock.incompatFlags |= bit;
  }

  #addTree(id: bigint, root: NodeBlock): void {
    this.#trees.set(id, new OpenTree(id, root, undefined, 0));
  }

  async #open(id: bigint): Promise<OpenTree> {
    const found = await this.rootItem(id);
    if (found === undefined) {
      throw new BtrfsError("missing", "Cannot find tree: it has no root item", { where: { tree: id } });
    }
    const { key, item } = found;
    const { logical, level, generation } = rootOfItem(id, item, this.volume.sectorSize, { tree: id });
    const expect = { level, generation, owner: id };
    const root = this.nodes.cached(logical, expect) ?? (await this.nodes.readNode(logical, expect));
    const tree = new OpenTree(id, root, key, Number(item.lastSnapshot));
    this.#trees.set(id, tree);
    return tree;
  }
}
