import { comparePackedKeys } from "../format/key.ts";
import { keyAt, type Leaf } from "../format/node.ts";
import { countSame, KnownLeaf } from "../tree/same-items.ts";
import type { BlockTree, LeavesAhead } from "../tree/source.ts";
import { Cursor, isSameChild } from "./tree-cursor.ts";

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

/** Gives all of a tree's items as new ones. */
export async function walkTree(tree: BlockTree, onItem: OnItem, ahead?: LeavesAhead): Promise<void> {
  const cursor = new Cursor(tree, ahead && ((leaves) => ahead.announce(leaves)));
  try {
    await goThrough(cursor, (leaf, slot) => onItem(NEW, leaf, slot, undefined, 0));
  } finally {
    cursor.close();
  }
}

/** Takes what comparing two trees finds. */
export interface Comparison {
  readonly onItem: OnItem;
  /**
   * Takes as many as it can, at once, of `count` items that both have, from this slot of the left leaf on. What it leaves
   * begins with an item for `onItem`.
   */
  passSame(left: Leaf, slot: number, count: number): number;
}

/**
 * Compares two trees in key order. A block that both have under the same key is passed over, as the kernel does: side
 * by side, so that a shared block is still looked into where the other side has just been entered.
 */
export async function compareTrees(left: BlockTree, right: BlockTree, comparison: Comparison): Promise<void> {
  const a = new Cursor(left);
  const b = new Cursor(right);
  try {
    await compareFrom(a, b, comparison);
  } finally {
    a.close();
    b.close();
  }
}

async function compareFrom(a: Cursor, b: Cursor, comparison: Comparison): Promise<void> {
  // Of a pair of leaves, the one that was there first.
  let known: KnownLeaf | undefined;
  while (!a.isAtEnd && !b.isAtEnd) {
    if (a.level === 0 && b.level === 0) {
      const waiting = compareLeaves(a, b, comparison, known);
      if (waiting !== undefined) await waiting;
    } else if (a.level !== b.level) {
      const [lower, upper] = a.level > b.level ? [b, a] : [a, b];
      known = lower.leaf && new KnownLeaf(lower.leaf);
      const waiting = upper.down(known);
      if (waiting !== undefined) await waiting;
    } else {
      const order = comparePackedKeys(a.node.view, keyAt(a.node, a.slot), b.node.view, keyAt(b.node, b.slot));
      if (order === 0 && isSameChild(a.node, a.slot, b.node, b.slot)) {
        a.next();
        b.next();
        continue;
      }
      const left = order <= 0 ? a.down() : undefined;
      if (left !== undefined) await left;
      known = a.leaf && new KnownLeaf(a.leaf);
      const right = order >= 0 ? b.down(known) : undefined;
      if (right !== undefined) await right;
    }
  }
  const { onItem } = comparison;
  await goThrough(a, (leaf, slot) => onItem(NEW, leaf, slot, undefined, 0));
  await goThrough(b, (leaf, slot) => onItem(GONE, undefined, 0, leaf, slot));
}

/** Compares what two leaves have, up to the end of one of them or to where it has to wait. */
function compareLeaves(
  a: Cursor,
  b: Cursor,
  comparison: Comparison,
  known: KnownLeaf | undefined,
): Promise<void> | undefined {
  const { onItem } = comparison;
  const left = a.node;
  const right = b.node;
  // Mostly, checking the one has compared it with the other.
  const isRightChecked = known?.leaf === left && known.compared === right;
  const isLeftChecked = known?.leaf === right && known.compared === left;
  let waiting: Promise<void> | undefined;
  while (waiting === undefined && a.node === left && b.node === right && !a.isAtEnd && !b.isAtEnd) {
    let same: number;
    if (isRightChecked) same = known.countSame(b.slot, a.slot);
    else if (isLeftChecked) same = known.countSame(a.slot, b.slot);
    else same = countSame(left, a.slot, right, b.slot);
    if (same > 0) {
      const passed = comparison.passSame(left, a.slot, same);
      if (passed < same) waiting = onItem(SAME, left, a.slot + passed, right, b.slot + passed);
      const step = Math.min(passed + 1, same);
      a.next(step);
      b.next(step);
      continue;
    }
    const order = comparePackedKeys(left.view, keyAt(left, a.slot), right.view, keyAt(right, b.slot));
    if (order < 0) waiting = onItem(NEW, left, a.slot, undefined, 0);
    else if (order > 0) waiting = onItem(GONE, undefined, 0, right, b.slot);
    else waiting = onItem(CHANGED, left, a.slot, right, b.slot);
    if (order <= 0) a.next();
    if (order >= 0) b.next();
  }
  return waiting;
}

/** Gives the rest of a tree. */
async function goThrough(
  cursor: Cursor,
  onItem: (leaf: Leaf, slot: number) => Promise<void> | undefined,
): Promise<void> {
  while (!cursor.isAtEnd) {
    const isLeaf = cursor.level === 0;
    const waiting = isLeaf ? onItem(cursor.node, cursor.slot) : cursor.down();
    if (waiting !== undefined) await waiting;
    if (isLeaf) cursor.next();
  }
}
