import { BtrfsError } from "../errors.ts";
import { decodeKey, type Key } from "../format/key.ts";
import { type NodeBlock, slotKey } from "../format/node.ts";
import { ChildExpectation } from "../tree/child.ts";
import type { Cow } from "./cow.ts";
import { type Descent, type Path, whereOf } from "./descent.ts";
import { copyFirstKey, innerCapacity, insertPointer, movePointers, removePointer } from "./inner.ts";
import { leafCapacity, leafFree, leafUsed, moveItems, setCount } from "./leaf.ts";
import type { OpenTree } from "./open-tree.ts";
import { chooseSplit } from "./split.ts";

/** How trees grow and shrink. Whatever changes which blocks a tree has forgets the way that was kept in it. */
export class Reshape {
  readonly #descent: Descent;
  readonly #cow: Cow;

  constructor(descent: Descent, cow: Cow) {
    this.#descent = descent;
    this.#cow = cow;
  }

  /** The path to where `key` belongs, in a leaf with `need` bytes to spare. Splits one block at a time and looks anew. */
  async makeRoom(tree: OpenTree, key: DataView, need: number): Promise<Path> {
    for (;;) {
      const path = await this.#descent.to(tree, key);
      const leaf = path.nodes[0]!;
      if (leafFree(leaf) >= need) return path;
      const capacity = leafCapacity(leaf.bytes.byteLength);
      if (need > capacity) {
        throw new BtrfsError("limit", `Cannot insert item: it needs ${need} bytes, a leaf has ${capacity}`, {
          where: whereOf(tree, key),
        });
      }
      tree.finger = undefined;
      // The block to split is the highest of those on the way up that have no room for another pointer.
      const most = innerCapacity(leaf.bytes.byteLength);
      let level = 0;
      while (level < tree.root.level && path.nodes[level + 1]!.count >= most) level++;
      if (level === tree.root.level) await this.#growRoot(tree, path);
      if (level === 0) await this.#splitLeaf(tree, path, key, need);
      else await this.#splitInner(tree, path, level);
    }
  }

  /** Whether a leaf that lost items is to be joined with a neighbour, or taken out. */
  isPoor(tree: OpenTree, leaf: NodeBlock): boolean {
    return leaf.count === 0 || (tree.root.level > 0 && isSmall(leaf));
  }

  /** Takes a leaf out that is empty, or joins it with a neighbour. */
  async shrink(tree: OpenTree, path: Path): Promise<void> {
    if (path.nodes[0]!.count === 0) await this.#removeEmpty(tree, path, 0);
    else await this.#merge(tree, path, 0);
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
    insertChild(path, level + 1, path.slots[level + 1]! + 1, slotKey(right, 0), right);
  }

  async #splitLeaf(tree: OpenTree, path: Path, key: DataView, need: number): Promise<void> {
    const leaf = path.nodes[0]!;
    const slot = path.slots[0]!;
    const at = chooseSplit(leaf, slot, need);
    const added = await this.#cow.make(tree, 0);
    const above = path.slots[1]!;
    if (at === "before") {
      insertChild(path, 1, above, decodeKey(key, 0), added);
    } else if (at === leaf.count) {
      insertChild(path, 1, above + 1, decodeKey(key, 0), added);
    } else {
      moveItems(leaf, at, leaf.count, added, 0);
      insertChild(path, 1, above + 1, slotKey(added, 0), added);
    }
  }

  /** Takes an empty block out of its parent. A tree that is empty keeps a leaf: a block never changes its level. */
  async #removeEmpty(tree: OpenTree, path: Path, level: number): Promise<void> {
    const node = path.nodes[level]!;
    tree.finger = undefined;
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
      const child = await this.#descent.writableChild(tree, root, 0);
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
      const neighbour =
        this.#descent.childNow(parent, other, expect) ?? (await this.#descent.child(parent, other, expect));
      if (!fitTogether(node, neighbour)) continue;
      tree.finger = undefined;
      const own = await this.#descent.writableChild(tree, parent, other);
      const [left, right] = other < slot ? [own, node] : [node, own];
      moveAll(right, left);
      await this.#removeChild(tree, path, level + 1, Math.max(slot, other), right);
      return;
    }
  }
}

function insertChild(path: Path, level: number, slot: number, key: Key, child: NodeBlock): void {
  insertPointer(path.nodes[level]!, slot, key, child.logical, child.generation);
  if (slot === 0) fixFirstKeys(path, level);
}

/** Gives the pointers above a block whose first key changed that key. */
export function fixFirstKeys(path: Path, level: number): void {
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
