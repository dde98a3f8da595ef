import { BtrfsError } from "../errors.ts";
import { comparePackedKeys, decodeKey, encodeKey, type Key, type KeyRange, packKey } from "../format/key.ts";
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
import { copyFirstKey, innerCapacity, insertPointer, movePointers, removePointer, setPointer } from "./inner.ts";
import { insertItem, leafCapacity, leafFree, leafUsed, moveItems, removeItems, resizeItem, setCount } from "./leaf.ts";
import type { Nodes } from "./nodes.ts";
import type { OpenTree } from "./open-tree.ts";
import { chooseSplit } from "./split.ts";

/** The way down to a key, by level: blocks that may be changed, and the slot in each; in the leaf, the lower bound. */
interface Path {
  readonly nodes: NodeBlock[];
  readonly slots: number[];
}

/** Items of trees, to look at and to change. One step at a time: a step may move what the next would look at. */
export class Editor {
  readonly #nodes: Nodes;
  readonly #cow: Cow;

  constructor(nodes: Nodes, cow: Cow) {
    this.#nodes = nodes;
    this.#cow = cow;
  }

  /** The item with this key, or the last one at or before it. */
  async find(tree: OpenTree, key: Key, match: "exact" | "atOrBefore" = "exact"): Promise<LeafSpan | undefined> {
    const packed = packKey(key);
    let node = tree.root;
    let expect: ChildExpectation | undefined;
    while (node.level > 0) {
      const slot = childSlot(node, packed);
      expect = new ChildExpectation(node, slot, tree.id, expect);
      node = this.#childNow(node, slot, expect) ?? (await this.#child(node, slot, expect));
    }
    const slot = lowerBound(node, packed);
    if (isAt(node, slot, packed)) return { leaf: node, first: slot, last: slot + 1 };
    return match === "exact" || slot === 0 ? undefined : { leaf: node, first: slot - 1, last: slot };
  }

  /** The bytes of an item, to read at once: they move with the next change. */
  async get(tree: OpenTree, key: Key): Promise<Uint8Array | undefined> {
    const span = await this.find(tree, key);
    return span === undefined ? undefined : itemBytes(span.leaf, span.first);
  }

  /** Leaves of a range; no change may come between. */
  walk(tree: OpenTree, range?: KeyRange, options?: LeavesOptions): LeafWalk {
    return new LeafWalk(this.#nodes, tree.id, tree.root, range, options);
  }

  /** @throws {BtrfsError} `exists`. */
  async insert(tree: OpenTree, key: Key, data: Uint8Array): Promise<void> {
    const packed = packKey(key);
    const path = await this.#makeRoom(tree, packed, data.byteLength + ITEM_HEADER_BYTES);
    const leaf = path.nodes[0]!;
    const slot = path.slots[0]!;
    if (isAt(leaf, slot, packed)) {
      throw new BtrfsError("exists", "Cannot insert item: its key is taken", { where: whereOf(tree, packed) });
    }
    insertItem(leaf, slot, key, data.byteLength).set(data);
    if (slot === 0) fixFirstKeys(path, 0);
  }

  /** Changes the bytes of an item in place; they may not be kept. @throws {BtrfsError} `missing`. */
  async edit(
    tree: OpenTree,
    key: Key,
    change: (data: Uint8Array, leaf: NodeBlock, slot: number) => void,
  ): Promise<void> {
    const { leaf, slot } = await this.#at(tree, packKey(key));
    change(itemBytes(leaf, slot), leaf, slot);
  }

  /** Gives an item other data, of any length. @throws {BtrfsError} `missing`. */
  async replace(tree: OpenTree, key: Key, data: Uint8Array): Promise<void> {
    const packed = packKey(key);
    const { leaf, slot } = await this.#at(tree, packed);
    const size = itemSize(leaf, slot);
    if (data.byteLength - size <= leafFree(leaf)) {
      resizeItem(leaf, slot, data.byteLength).set(data);
      return;
    }
    // It moves when it grows: without it there is room for what stays.
    await this.remove(tree, key);
    await this.insert(tree, key, data);
  }

  /** Gives an item another key, between those of its neighbours. @throws {BtrfsError} `missing`. */
  async rekey(tree: OpenTree, from: Key, to: Key): Promise<void> {
    const path = await this.#descend(tree, packKey(from));
    const leaf = path.nodes[0]!;
    const slot = path.slots[0]!;
    if (!isAt(leaf, slot, packKey(from))) throw missing(tree, packKey(from));
    const packed = packKey(to);
    if (slot > 0 && comparePackedKeys(leaf.view, keyAt(leaf, slot - 1), packed, 0) >= 0) throw unordered(tree, packed);
    if (slot + 1 < leaf.count && comparePackedKeys(leaf.view, keyAt(leaf, slot + 1), packed, 0) <= 0) {
      throw unordered(tree, packed);
    }
    encodeKey(to, leaf.view, keyAt(leaf, slot));
    if (slot === 0) fixFirstKeys(path, 0);
  }

  /** @throws {BtrfsError} `missing`. */
  async remove(tree: OpenTree, key: Key): Promise<void> {
    const packed = packKey(key);
    const path = await this.#descend(tree, packed);
    const slot = path.slots[0]!;
    if (!isAt(path.nodes[0]!, slot, packed)) throw missing(tree, packed);
    await this.#removeAt(tree, path, slot, slot + 1);
  }

  /** Removes every item of a range. */
  async removeRange(tree: OpenTree, range: KeyRange): Promise<void> {
    const end = range.last === undefined ? undefined : packKey(range.last);
    for (;;) {
      const next = await this.walk(tree, range).next();
      if (next === undefined) return;
      const path = await this.#descend(tree, packKey(slotKey(next.leaf, next.first)));
      const leaf = path.nodes[0]!;
      await this.#removeAt(tree, path, path.slots[0]!, end === undefined ? leaf.count : lowerBound(leaf, end));
    }
  }

  /** The path to `key`, every block of it a copy of its own. */
  async #descend(tree: OpenTree, key: DataView): Promise<Path> {
    if (!this.#cow.isWritable(tree, tree.root)) tree.root = await this.#cow.copy(tree, tree.root);
    const path: Path = { nodes: [], slots: [] };
    let node = tree.root;
    for (;;) {
      path.nodes[node.level] = node;
      if (node.level === 0) break;
      const slot = childSlot(node, key);
      path.slots[node.level] = slot;
      node = await this.#writableChild(tree, node, slot);
    }
    path.slots[0] = lowerBound(node, key);
    return path;
  }

  async #writableChild(tree: OpenTree, parent: NodeBlock, slot: number): Promise<NodeBlock> {
    const expect = new ChildExpectation(parent, slot, tree.id);
    const child = this.#childNow(parent, slot, expect) ?? (await this.#child(parent, slot, expect));
    if (this.#cow.isWritable(tree, child)) return child;
    const copy = await this.#cow.copy(tree, child);
    if (copy !== child) setPointer(parent, slot, copy.logical, copy.generation);
    return copy;
  }

  #childNow(parent: NodeBlock, slot: number, expect: ChildExpectation): NodeBlock | undefined {
    const logical = childLogical(parent, slot);
    const child = this.#nodes.cached(logical, expect);
    // One of our own may be empty for a moment, between a split and what it was made for.
    if (child !== undefined && !this.#nodes.isDirty(logical)) expect.check(child);
    return child;
  }

  async #child(parent: NodeBlock, slot: number, expect: ChildExpectation): Promise<NodeBlock> {
    const child = await this.#nodes.readNode(childLogical(parent, slot), expect);
    expect.check(child);
    return child;
  }

  async #at(tree: OpenTree, key: DataView): Promise<{ leaf: NodeBlock; slot: number }> {
    const path = await this.#descend(tree, key);
    const leaf = path.nodes[0]!;
    const slot = path.slots[0]!;
    if (!isAt(leaf, slot, key)) throw missing(tree, key);
    return { leaf, slot };
  }

  /** The path to where `key` belongs, in a leaf with `need` bytes to spare. Splits one block at a time and looks anew. */
  async #makeRoom(tree: OpenTree, key: DataView, need: number): Promise<Path> {
    for (;;) {
      const path = await this.#descend(tree, key);
      const leaf = path.nodes[0]!;
      if (leafFree(leaf) >= need) return path;
      if (need > leafCapacity(leaf.bytes.byteLength)) {
        throw new BtrfsError(
          "limit",
          `Cannot insert item: it needs ${need} bytes, a leaf has ${leafCapacity(leaf.bytes.byteLength)}`,
          {
            where: whereOf(tree, key),
          },
        );
      }
      // The block to split is the highest of those on the way up that have no room for another pointer.
      const capacity = innerCapacity(leaf.bytes.byteLength);
      let level = 0;
      while (level < tree.root.level && path.nodes[level + 1]!.count >= capacity) level++;
      if (level === tree.root.level) await this.#growRoot(tree, path);
      if (level === 0) await this.#splitLeaf(tree, path, key, need);
      else await this.#splitInner(tree, path, level);
    }
  }

  /** Puts a new root above the old one, which becomes its only child. */
  async #growRoot(tree: OpenTree, path: Path): Promise<void> {
    const old = tree.root;
    const root = await this.#cow.make(tree, old.level + 1);
    insertPointer(root, 0, slotKey(old, 0), old.logical, old.generation);
    tree.root = root;
    path.nodes[root.level] = root;
    path.slots[root.level] = 0;
  }

  async #splitInner(tree: OpenTree, path: Path, level: number): Promise<void> {
    const node = path.nodes[level]!;
    // What grows at its end stays full.
    const at = path.slots[level] === node.count - 1 ? node.count - 1 : node.count >>> 1;
    const right = await this.#cow.make(tree, level);
    movePointers(node, at, node.count, right, 0);
    this.#insertChild(path, level + 1, path.slots[level + 1]! + 1, slotKey(right, 0), right);
  }

  async #splitLeaf(tree: OpenTree, path: Path, key: DataView, need: number): Promise<void> {
    const leaf = path.nodes[0]!;
    const slot = path.slots[0]!;
    const at = chooseSplit(leaf, slot, need);
    const added = await this.#cow.make(tree, 0);
    const above = path.slots[1]!;
    if (at === "before") {
      this.#insertChild(path, 1, above, decodeKey(key, 0), added);
    } else if (at === leaf.count) {
      this.#insertChild(path, 1, above + 1, decodeKey(key, 0), added);
    } else {
      moveItems(leaf, at, leaf.count, added, 0);
      this.#insertChild(path, 1, above + 1, slotKey(added, 0), added);
    }
  }

  #insertChild(path: Path, level: number, slot: number, key: Key, child: NodeBlock): void {
    insertPointer(path.nodes[level]!, slot, key, child.logical, child.generation);
    if (slot === 0) fixFirstKeys(path, level);
  }

  async #removeAt(tree: OpenTree, path: Path, first: number, last: number): Promise<void> {
    const leaf = path.nodes[0]!;
    removeItems(leaf, first, last);
    if (leaf.count === 0) return this.#removeEmpty(tree, path, 0);
    if (first === 0) fixFirstKeys(path, 0);
    await this.#merge(tree, path, 0);
  }

  /** Takes an empty block out of its parent. A tree that is empty keeps a leaf: a block never changes its level. */
  async #removeEmpty(tree: OpenTree, path: Path, level: number): Promise<void> {
    const node = path.nodes[level]!;
    if (level === tree.root.level) {
      if (level === 0) return;
      tree.root = await this.#cow.make(tree, 0);
      this.#cow.drop(tree, node);
      return;
    }
    await this.#removeChild(tree, path, level + 1, path.slots[level + 1]!, node);
  }

  /** Takes the pointer in `slot`, and the block that it leads to, out of the path's node on `level`. */
  async #removeChild(tree: OpenTree, path: Path, level: number, slot: number, child: NodeBlock): Promise<void> {
    const node = path.nodes[level]!;
    removePointer(node, slot);
    this.#cow.drop(tree, child);
    if (node.count === 0) return this.#removeEmpty(tree, path, level);
    if (slot === 0) fixFirstKeys(path, level);
    if (level === tree.root.level) await this.#lowerRoot(tree);
    else await this.#merge(tree, path, level);
  }

  async #lowerRoot(tree: OpenTree): Promise<void> {
    while (tree.root.level > 0 && tree.root.count === 1) {
      const root = tree.root;
      const child = await this.#writableChild(tree, root, 0);
      tree.root = child;
      this.#cow.drop(tree, root);
    }
  }

  /** Joins a block that has become small with a neighbour under the same parent, where both fit into one. */
  async #merge(tree: OpenTree, path: Path, level: number): Promise<void> {
    const node = path.nodes[level]!;
    if (level === tree.root.level || !isSmall(node)) return;
    const parent = path.nodes[level + 1]!;
    const slot = path.slots[level + 1]!;
    for (const other of [slot - 1, slot + 1]) {
      if (other < 0 || other >= parent.count) continue;
      const expect = new ChildExpectation(parent, other, tree.id);
      const neighbour = this.#childNow(parent, other, expect) ?? (await this.#child(parent, other, expect));
      if (!fitTogether(node, neighbour)) continue;
      const own = await this.#writableChild(tree, parent, other);
      const [left, right] = other < slot ? [own, node] : [node, own];
      moveAll(right, left);
      await this.#removeChild(tree, path, level + 1, Math.max(slot, other), right);
      return;
    }
  }
}

function isAt(leaf: NodeBlock, slot: number, key: DataView): boolean {
  return slot < leaf.count && comparePackedKeys(leaf.view, keyAt(leaf, slot), key, 0) === 0;
}

/** Gives the pointers above a block whose first key changed that key. */
function fixFirstKeys(path: Path, level: number): void {
  for (let at = level; at + 1 < path.nodes.length; at++) {
    const slot = path.slots[at + 1]!;
    if (!copyFirstKey(path.nodes[at + 1]!, slot, path.nodes[at]!) || slot > 0) return;
  }
}

function isSmall(node: NodeBlock): boolean {
  const size = node.bytes.byteLength;
  return node.level === 0 ? leafUsed(node) < leafCapacity(size) / 4 : node.count < innerCapacity(size) / 4;
}

/** Whether two blocks fit into one, with some room to grow before they would have to part again. */
function fitTogether(a: NodeBlock, b: NodeBlock): boolean {
  const size = a.bytes.byteLength;
  if (a.level > 0) return a.count + b.count < innerCapacity(size) * 0.8;
  return leafUsed(a) + leafUsed(b) < leafCapacity(size) * 0.8;
}

function moveAll(from: NodeBlock, into: NodeBlock): void {
  if (from.level > 0) movePointers(from, 0, from.count, into, into.count);
  else moveItems(from, 0, from.count, into, into.count);
  setCount(from, 0);
}

function whereOf(tree: OpenTree, key: DataView): { tree: bigint; key: string } {
  const { objectid, type, offset } = decodeKey(key, 0);
  return { tree: tree.id, key: `(${objectid} ${type} ${offset})` };
}

function missing(tree: OpenTree, key: DataView): BtrfsError {
  return new BtrfsError("missing", "Cannot find item: the tree has none with this key", { where: whereOf(tree, key) });
}

function unordered(tree: OpenTree, key: DataView): RangeError {
  const { tree: id, key: text } = whereOf(tree, key);
  return new RangeError(`Cannot give an item of tree ${id} the key ${text}: it would leave its place`);
}
