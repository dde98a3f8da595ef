import { foldableBytes } from "#checksum";
import { comparePackedKeys } from "../format/key.ts";
import {
  childGeneration,
  childLogical,
  itemSize,
  itemStart,
  keyAt,
  type Leaf,
  type NodeBlock,
} from "../format/node.ts";
import type { BlockTree } from "../tree/source.ts";

export const SAME = 0;
export const NEW = 1;
export const CHANGED = 2;
export const GONE = 3;

/**
 * Takes one item: from the left leaf, and from the right one where both have it. Returns a promise where it has to be
 * waited for. The leaves are lent until then.
 */
export type OnItem = (
  result: number,
  left: Leaf | undefined,
  leftSlot: number,
  right: Leaf | undefined,
  rightSlot: number,
) => Promise<void> | undefined;

/** What was passed is looked up again a little later, mostly, if at all. */
const LENT_LEAVES = 64;

/** Goes through a tree block by block and item by item, deeper only when told to. */
class Cursor {
  readonly #tree: BlockTree;
  readonly #nodes: NodeBlock[] = [];
  readonly #slots: number[] = [];
  /** Leaves are passed once, so they come into the same bytes by turns. */
  readonly #leaves: Uint8Array[];
  #turn = 0;
  level: number;

  constructor(tree: BlockTree) {
    this.#tree = tree;
    this.level = tree.root.level;
    this.#nodes[this.level] = tree.root;
    this.#slots[this.level] = 0;
    const size = tree.root.bytes.byteLength;
    const all = foldableBytes(LENT_LEAVES * size);
    this.#leaves = Array.from({ length: LENT_LEAVES }, (_, at) => all.subarray(at * size, (at + 1) * size));
  }

  get node(): NodeBlock {
    return this.#nodes[this.level]!;
  }

  get slot(): number {
    return this.#slots[this.level]!;
  }

  /** To the first child. A promise only where it has to be waited for. */
  down(): void | Promise<void> {
    const child =
      this.level === 1
        ? this.#tree.lendNow(this.node, this.slot, this.#leaves[this.#turn++ % LENT_LEAVES]!)
        : this.#tree.childNow(this.node, this.slot);
    if (child === undefined) return this.#readDown();
    this.#enter(child);
  }

  async #readDown(): Promise<void> {
    this.#enter(await this.#tree.child(this.node, this.slot));
  }

  #enter(child: NodeBlock): void {
    this.level--;
    this.#nodes[this.level] = child;
    this.#slots[this.level] = 0;
  }

  close(): void {
    for (const bytes of this.#leaves) this.#tree.takeBack(bytes);
  }

  /** To the next item or pointer, of a block above when this one is at its end. @returns False at the end. */
  next(): boolean {
    this.#slots[this.level]!++;
    while (this.slot >= this.node.count) {
      if (this.level === this.#tree.root.level) return false;
      this.level++;
      this.#slots[this.level]!++;
    }
    return true;
  }
}

/** Gives all of a tree's items as new ones. */
export async function walkTree(tree: BlockTree, onItem: OnItem): Promise<void> {
  const cursor = new Cursor(tree);
  try {
    for (let goesOn = cursor.node.count > 0; goesOn; ) {
      const isLeaf = cursor.level === 0;
      const waiting = isLeaf ? onItem(NEW, cursor.node, cursor.slot, undefined, 0) : cursor.down();
      if (waiting !== undefined) await waiting;
      if (isLeaf) goesOn = cursor.next();
    }
  } finally {
    cursor.close();
  }
}

/**
 * Compares two trees in key order. A block that both have under the same key is passed over, as the kernel does: side
 * by side, so that a shared block is still looked into where the other side has just been entered.
 */
export async function compareTrees(left: BlockTree, right: BlockTree, onItem: OnItem): Promise<void> {
  const a = new Cursor(left);
  const b = new Cursor(right);
  try {
    await compareFrom(a, b, onItem);
  } finally {
    a.close();
    b.close();
  }
}

async function compareFrom(a: Cursor, b: Cursor, onItem: OnItem): Promise<void> {
  let hasLeft = a.node.count > 0;
  let hasRight = b.node.count > 0;
  while (hasLeft || hasRight) {
    if (!hasRight || !hasLeft) {
      const rest = hasLeft ? a : b;
      let goesOn = true;
      if (rest.level > 0) {
        const waiting = rest.down();
        if (waiting !== undefined) await waiting;
      } else {
        const waiting = hasLeft
          ? onItem(NEW, a.node, a.slot, undefined, 0)
          : onItem(GONE, undefined, 0, b.node, b.slot);
        if (waiting !== undefined) await waiting;
        goesOn = rest.next();
      }
      if (hasLeft) hasLeft = goesOn;
      else hasRight = goesOn;
      continue;
    }
    if (a.level !== b.level) {
      const waiting = (a.level > b.level ? a : b).down();
      if (waiting !== undefined) await waiting;
      continue;
    }
    const order = comparePackedKeys(a.node.view, keyAt(a.node, a.slot), b.node.view, keyAt(b.node, b.slot));
    if (a.level === 0) {
      let waiting: Promise<void> | undefined;
      if (order < 0) waiting = onItem(NEW, a.node, a.slot, undefined, 0);
      else if (order > 0) waiting = onItem(GONE, undefined, 0, b.node, b.slot);
      else waiting = onItem(isSameItem(a, b) ? SAME : CHANGED, a.node, a.slot, b.node, b.slot);
      if (waiting !== undefined) await waiting;
      if (order <= 0) hasLeft = a.next();
      if (order >= 0) hasRight = b.next();
    } else if (order === 0 && isSameBlock(a, b)) {
      hasLeft = a.next();
      hasRight = b.next();
    } else {
      const left = order <= 0 ? a.down() : undefined;
      if (left !== undefined) await left;
      const right = order >= 0 ? b.down() : undefined;
      if (right !== undefined) await right;
    }
  }
}

function isSameBlock(a: Cursor, b: Cursor): boolean {
  return (
    childLogical(a.node, a.slot) === childLogical(b.node, b.slot) &&
    childGeneration(a.node, a.slot) === childGeneration(b.node, b.slot)
  );
}

function isSameItem(a: Cursor, b: Cursor): boolean {
  const size = itemSize(a.node, a.slot);
  if (size !== itemSize(b.node, b.slot)) return false;
  const left = a.node.view;
  const right = b.node.view;
  let i = itemStart(a.node, a.slot);
  let j = itemStart(b.node, b.slot);
  const end = i + size;
  for (; i + 4 <= end; i += 4, j += 4) if (left.getUint32(i) !== right.getUint32(j)) return false;
  for (; i < end; i++, j++) if (left.getUint8(i) !== right.getUint8(j)) return false;
  return true;
}
