import { BtrfsError } from "../errors.ts";
import { comparePackedKeys, decodeKey, KEY_BYTES } from "../format/key.ts";
import { childLogical, keyAt, lowerBound, type NodeBlock } from "../format/node.ts";
import { ChildExpectation, childSlot } from "../tree/child.ts";
import type { Cow } from "./cow.ts";
import { setPointer } from "./inner.ts";
import type { Nodes } from "./nodes.ts";
import type { OpenTree } from "./open-tree.ts";

/** The way down to a key, by level: blocks that may be changed, and the slot in each; in the leaf, the lower bound. */
export interface Path {
  readonly nodes: NodeBlock[];
  readonly slots: number[];
  /** Where the first key behind the leaf stands: in the nearest block above that has one. */
  endNode: NodeBlock | undefined;
  endAt: number;
}

/** Ways down the trees of a transaction: every block on them a copy that may be changed. */
export class Descent {
  readonly #nodes: Nodes;
  readonly #cow: Cow;

  constructor(nodes: Nodes, cow: Cow) {
    this.#nodes = nodes;
    this.#cow = cow;
  }

  /**
   * As `to`, without waiting, where all blocks on the way are copies already; mostly the leaf is the same as the last
   * time, and the way to it is kept in the tree.
   */
  toNow(tree: OpenTree, key: DataView): Path | undefined {
    const known = tree.finger;
    if (known !== undefined && reaches(known, key)) {
      known.slots[0] = lowerBound(known.nodes[0]!, key);
      return known;
    }
    let node = tree.root;
    if (!this.#cow.isWritable(tree, node)) return undefined;
    const path: Path = { nodes: [], slots: [], endNode: undefined, endAt: 0 };
    for (;;) {
      path.nodes[node.level] = node;
      if (node.level === 0) break;
      const slot = childSlot(node, key);
      step(path, node, slot);
      const child = this.#nodes.dirty.get(childLogical(node, slot));
      if (child === undefined || !this.#cow.isWritable(tree, child)) return undefined;
      node = child;
    }
    path.slots[0] = lowerBound(node, key);
    tree.finger = path;
    return path;
  }

  /** The path to `key`, every block of it a copy of its own. */
  async to(tree: OpenTree, key: DataView): Promise<Path> {
    const known = this.toNow(tree, key);
    if (known !== undefined) return known;
    if (!this.#cow.isWritable(tree, tree.root)) tree.root = await this.#cow.copy(tree, tree.root);
    const path: Path = { nodes: [], slots: [], endNode: undefined, endAt: 0 };
    let node = tree.root;
    for (;;) {
      path.nodes[node.level] = node;
      if (node.level === 0) break;
      const slot = childSlot(node, key);
      step(path, node, slot);
      node = await this.writableChild(tree, node, slot);
    }
    path.slots[0] = lowerBound(node, key);
    return path;
  }

  async writableChild(tree: OpenTree, parent: NodeBlock, slot: number): Promise<NodeBlock> {
    const expect = new ChildExpectation(parent, slot, tree.id);
    const child = this.childNow(parent, slot, expect) ?? (await this.child(parent, slot, expect));
    if (this.#cow.isWritable(tree, child)) return child;
    const copy = await this.#cow.copy(tree, child);
    if (copy !== child) setPointer(parent, slot, copy.logical, copy.generation);
    return copy;
  }

  childNow(parent: NodeBlock, slot: number, expect: ChildExpectation): NodeBlock | undefined {
    const logical = childLogical(parent, slot);
    // One of our own may be empty for a moment, between a split and what it was made for.
    const own = this.#nodes.dirty.get(logical);
    if (own !== undefined) return own;
    const child = this.#nodes.cached(logical, expect) ?? this.#nodes.readNow(logical, expect);
    if (child !== undefined) expect.check(child);
    return child;
  }

  async child(parent: NodeBlock, slot: number, expect: ChildExpectation): Promise<NodeBlock> {
    const child = await this.#nodes.readNode(childLogical(parent, slot), expect);
    expect.check(child);
    return child;
  }
}

function step(path: Path, node: NodeBlock, slot: number): void {
  path.slots[node.level] = slot;
  if (slot + 1 >= node.count) return;
  path.endNode = node;
  path.endAt = keyAt(node, slot + 1);
}

/** Whether `key` lies between the first key of the path's leaf and the first one behind it. */
export function reaches({ nodes, endNode, endAt }: Path, key: DataView): boolean {
  const leaf = nodes[0]!;
  return (
    leaf.count > 0 &&
    comparePackedKeys(leaf.view, keyAt(leaf, 0), key, 0) <= 0 &&
    (endNode === undefined || comparePackedKeys(key, 0, endNode.view, endAt) < 0)
  );
}

/** A packed key in bytes of its own: what is given may be used again before the waiting is over. */
export function ownKey(key: DataView): DataView {
  const copy = new Uint8Array(KEY_BYTES);
  copy.set(new Uint8Array(key.buffer, key.byteOffset, KEY_BYTES));
  return new DataView(copy.buffer);
}

export function whereOf(tree: OpenTree, key: DataView): { tree: bigint; key: string } {
  const { objectid, type, offset } = decodeKey(key, 0);
  return { tree: tree.id, key: `(${objectid} ${type} ${offset})` };
}

export function missing(tree: OpenTree, key: DataView): BtrfsError {
  return new BtrfsError("missing", "Cannot find item: the tree has none with this key", { where: whereOf(tree, key) });
}
