import { comparePackedKeys } from "../format/key.ts";
import { itemSize, itemStart, keyAt, type Leaf } from "../format/node.ts";
import type { BlockTree, LeavesAhead } from "../tree/source.ts";
import { announceDifferent, announceLeaves } from "./leaf-order.ts";
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
  const cursor = new Cursor(tree);
  try {
    for (let goesOn = cursor.node.count > 0; goesOn; ) {
      const isLeaf = cursor.level === 0;
      if (cursor.entersParent) announceLeaves(cursor, ahead);
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
export async function compareTrees(
  left: BlockTree,
  right: BlockTree,
  onItem: OnItem,
  ahead?: LeavesAhead,
): Promise<void> {
  const a = new Cursor(left);
  const b = new Cursor(right);
  try {
    await compareFrom(a, b, onItem, ahead);
  } finally {
    a.close();
    b.close();
  }
}

async function compareFrom(a: Cursor, b: Cursor, onItem: OnItem, ahead: LeavesAhead | undefined): Promise<void> {
  let hasLeft = a.node.count > 0;
  let hasRight = b.node.count > 0;
  while (hasLeft || hasRight) {
    if (a.entersParent || b.entersParent) announceDifferent(a, b, ahead);
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
    } else if (order === 0 && isSameChild(a.node, a.slot, b.node, b.slot)) {
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
