import { BtrfsError } from "../errors.ts";
import { comparePackedKeys, type KeyRange, packKey } from "../format/key.ts";
import {
  childLogical,
  ITEM_HEADER_BYTES,
  itemBytes,
  itemSize,
  keyAt,
  lowerBound,
  type NodeBlock,
  slotKey,
} from "../format/node.ts";
import { ChildExpectation, childSlot } from "../tree/child.ts";
import type { LeafSpan, LeavesOptions } from "../tree/source.ts";
import { LeafWalk } from "../tree/walk.ts";
import type { Cow } from "./cow.ts";
import { Descent, missing, ownKey, type Path, reaches, whereOf } from "./descent.ts";
import { insertPacked, leafFree, removeItems, resizeItem } from "./leaf.ts";
import type { Nodes } from "./nodes.ts";
import type { OpenTree } from "./open-tree.ts";
import { fixFirstKeys, Reshape } from "./reshape.ts";

/** What is there at once, or has to be waited for. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Items of trees, to look at and to change. One step at a time: a step may move what the next would look at.
 *
 * Nothing waits, and no promise is made, where the blocks on the way are in memory and may be changed: that is nearly
 * always, and waiting would take several times as long as the step itself. Keys are packed; they are used before a call
 * returns, or copied.
 */
export class Editor {
  readonly #nodes: Nodes;
  readonly #descent: Descent;
  readonly #reshape: Reshape;

  constructor(nodes: Nodes, cow: Cow) {
    this.#nodes = nodes;
    this.#descent = new Descent(nodes, cow);
    this.#reshape = new Reshape(this.#descent, cow);
  }

  /** The item with this key, or the last one at or before it. */
  find(tree: OpenTree, key: DataView, match: "exact" | "atOrBefore" = "exact"): MaybePromise<LeafSpan | undefined> {
    const leaf = this.#leafNow(tree, key);
    return leaf === undefined ? this.#findLater(tree, ownKey(key), match) : findInLeaf(leaf, key, match);
  }

  /** The bytes of an item, to read at once: they move with the next change. */
  get(tree: OpenTree, key: DataView): MaybePromise<Uint8Array | undefined> {
    const found = this.find(tree, key);
    return found instanceof Promise ? found.then(bytesAt) : bytesAt(found);
  }

  /** Leaves of a range; no change may come between. */
  walk(tree: OpenTree, range?: KeyRange, options?: LeavesOptions): LeafWalk {
    return new LeafWalk(this.#nodes, tree.id, tree.root, range, options);
  }

  /** @throws {BtrfsError} `exists`, `space`. */
  insert(tree: OpenTree, key: DataView, data: Uint8Array): MaybePromise<void> {
    const path = this.#descent.toNow(tree, key);
    if (path === undefined || leafFree(path.nodes[0]!) < data.byteLength + ITEM_HEADER_BYTES) {
      return this.#insertLater(tree, ownKey(key), data);
    }
    insertAt(tree, path, key, data);
  }

  /** Changes the bytes of an item in place; they may not be kept. @throws {BtrfsError} `missing`. */
  edit(
    tree: OpenTree,
    key: DataView,
    change: (data: Uint8Array, leaf: NodeBlock, slot: number) => void,
  ): MaybePromise<void> {
    const path = this.#descent.toNow(tree, key);
    if (path === undefined)
      return this.#descent.to(tree, ownKey(key)).then((later) => editAt(tree, later, key, change));
    editAt(tree, path, key, change);
  }

  /** Gives an item other data, of any length. @throws {BtrfsError} `missing`. */
  replace(tree: OpenTree, key: DataView, data: Uint8Array): MaybePromise<void> {
    const path = this.#descent.toNow(tree, key);
    if (path === undefined || !replaceAt(tree, path, key, data)) return this.#replaceLater(tree, ownKey(key), data);
  }

  /** Gives an item another key, between those of its neighbours. @throws {BtrfsError} `missing`. */
  async rekey(tree: OpenTree, from: DataView, to: DataView): Promise<void> {
    const path = await this.#descent.to(tree, from);
    const leaf = path.nodes[0]!;
    const slot = path.slots[0]!;
    if (!isAt(leaf, slot, from)) throw missing(tree, from);
    if (slot > 0 && comparePackedKeys(leaf.view, keyAt(leaf, slot - 1), to, 0) >= 0) throw unordered(tree, to);
    if (slot + 1 < leaf.count && comparePackedKeys(leaf.view, keyAt(leaf, slot + 1), to, 0) <= 0) {
      throw unordered(tree, to);
    }
    leaf.bytes.set(new Uint8Array(to.buffer, to.byteOffset, to.byteLength), keyAt(leaf, slot));
    if (slot === 0) fixFirstKeys(path, 0);
  }

  /** @throws {BtrfsError} `missing`. */
  remove(tree: OpenTree, key: DataView): MaybePromise<void> {
    const path = this.#descent.toNow(tree, key);
    if (path === undefined) return this.#removeLater(tree, ownKey(key));
    return this.#removeOne(tree, path, key);
  }

  /** Removes every item of a range. */
  async removeRange(tree: OpenTree, range: KeyRange): Promise<void> {
    const end = range.last === undefined ? undefined : packKey(range.last);
    for (;;) {
      const next = await this.walk(tree, range).next();
      if (next === undefined) return;
      const path = await this.#descent.to(tree, packKey(slotKey(next.leaf, next.first)));
      const leaf = path.nodes[0]!;
      await this.#removeAt(tree, path, path.slots[0]!, end === undefined ? leaf.count : lowerBound(leaf, end));
    }
  }

  /** The leaf in which `key` is, or nowhere; `undefined` where a block on the way is not in memory. */
  #leafNow(tree: OpenTree, key: DataView): NodeBlock | undefined {
    if (tree.finger !== undefined && reaches(tree.finger, key)) return tree.finger.nodes[0]!;
    let node: NodeBlock | undefined = tree.root;
    let expect: ChildExpectation | undefined;
    while (node !== undefined && node.level > 0) {
      const slot = childSlot(node, key);
      const own: NodeBlock | undefined = this.#nodes.dirty.get(childLogical(node, slot));
      if (own === undefined) expect = new ChildExpectation(node, slot, tree.id, expect);
      node = own ?? this.#descent.childNow(node, slot, expect!);
    }
    return node;
  }

  async #findLater(tree: OpenTree, key: DataView, match: "exact" | "atOrBefore"): Promise<LeafSpan | undefined> {
    let node = tree.root;
    let expect: ChildExpectation | undefined;
    while (node.level > 0) {
      const slot = childSlot(node, key);
      expect = new ChildExpectation(node, slot, tree.id, expect);
      node = this.#descent.childNow(node, slot, expect) ?? (await this.#descent.child(node, slot, expect));
    }
    return findInLeaf(node, key, match);
  }

  async #insertLater(tree: OpenTree, key: DataView, data: Uint8Array): Promise<void> {
    insertAt(tree, await this.#reshape.makeRoom(tree, key, data.byteLength + ITEM_HEADER_BYTES), key, data);
  }

  async #replaceLater(tree: OpenTree, key: DataView, data: Uint8Array): Promise<void> {
    if (replaceAt(tree, await this.#descent.to(tree, key), key, data)) return;
    // It moves when it grows: without it there is room for what stays.
    await this.remove(tree, key);
    await this.insert(tree, key, data);
  }

  async #removeLater(tree: OpenTree, key: DataView): Promise<void> {
    await this.#removeOne(tree, await this.#descent.to(tree, key), key);
  }

  #removeOne(tree: OpenTree, path: Path, key: DataView): MaybePromise<void> {
    const slot = path.slots[0]!;
    if (!isAt(path.nodes[0]!, slot, key)) throw missing(tree, key);
    return this.#removeAt(tree, path, slot, slot + 1);
  }

  #removeAt(tree: OpenTree, path: Path, first: number, last: number): MaybePromise<void> {
    const leaf = path.nodes[0]!;
    removeItems(leaf, first, last);
    if (leaf.count > 0 && first === 0) fixFirstKeys(path, 0);
    if (this.#reshape.isPoor(tree, leaf)) return this.#reshape.shrink(tree, path);
  }
}

/** A child begins with its pointer's key, so an item before `key` is in this leaf or nowhere. */
function findInLeaf(leaf: NodeBlock, key: DataView, match: "exact" | "atOrBefore"): LeafSpan | undefined {
  const slot = lowerBound(leaf, key);
  if (isAt(leaf, slot, key)) return { leaf, first: slot, last: slot + 1 };
  return match === "exact" || slot === 0 ? undefined : { leaf, first: slot - 1, last: slot };
}

function bytesAt(span: LeafSpan | undefined): Uint8Array | undefined {
  return span === undefined ? undefined : itemBytes(span.leaf, span.first);
}

function isAt(leaf: NodeBlock, slot: number, key: DataView): boolean {
  return slot < leaf.count && comparePackedKeys(leaf.view, keyAt(leaf, slot), key, 0) === 0;
}

function insertAt(tree: OpenTree, path: Path, key: DataView, data: Uint8Array): void {
  const leaf = path.nodes[0]!;
  const slot = path.slots[0]!;
  if (isAt(leaf, slot, key)) {
    throw new BtrfsError("exists", "Cannot insert item: its key is taken", { where: whereOf(tree, key) });
  }
  insertPacked(leaf, slot, key, data);
  if (slot === 0) fixFirstKeys(path, 0);
}

function editAt(
  tree: OpenTree,
  { nodes, slots }: Path,
  key: DataView,
  change: (data: Uint8Array, leaf: NodeBlock, slot: number) => void,
): void {
  const leaf = nodes[0]!;
  const slot = slots[0]!;
  if (!isAt(leaf, slot, key)) throw missing(tree, key);
  change(itemBytes(leaf, slot), leaf, slot);
}

/** @returns Whether the leaf has the room. */
function replaceAt(tree: OpenTree, { nodes, slots }: Path, key: DataView, data: Uint8Array): boolean {
  const leaf = nodes[0]!;
  const slot = slots[0]!;
  if (!isAt(leaf, slot, key)) throw missing(tree, key);
  const size = itemSize(leaf, slot);
  if (data.byteLength - size > leafFree(leaf)) return false;
  if (data.byteLength === size) itemBytes(leaf, slot).set(data);
  else resizeItem(leaf, slot, data.byteLength).set(data);
  return true;
}

function unordered(tree: OpenTree, key: DataView): RangeError {
  const { tree: id, key: text } = whereOf(tree, key);
  return new RangeError(`Cannot give an item of tree ${id} the key ${text}: it would leave its place`);
}
