import { comparePackedKeys } from "../format/key.ts";
import { childGeneration, childLogical, keyAt } from "../format/node.ts";
import type { ChildPlace, LeavesAhead } from "../tree/source.ts";
import { type Cursor, isSameChild } from "./tree-cursor.ts";

/** Announces all leaves below the parent that a cursor has just entered. */
export function announceLeaves(cursor: Cursor, ahead: LeavesAhead | undefined): void {
  cursor.entersParent = false;
  const { parent } = cursor;
  if (ahead === undefined || parent === undefined) return;
  const leaves: ChildPlace[] = [];
  while (cursor.announced < parent.count) add(leaves, cursor);
  ahead.announce(leaves);
}

/**
 * Announces the leaves that comparing will look at, in the order of their keys: those that not both trees have under the
 * same key. As far as both parents go; of what lies further on, nobody can tell yet whether the other tree has it too.
 */
export function announceDifferent(a: Cursor, b: Cursor, ahead: LeavesAhead | undefined): void {
  const left = a.parent;
  const right = b.parent;
  if (ahead === undefined || left === undefined || right === undefined) {
    if (ahead === undefined) a.entersParent = b.entersParent = false;
    return;
  }
  a.entersParent = b.entersParent = false;
  const leaves: ChildPlace[] = [];
  while (a.announced < left.count && b.announced < right.count) {
    const order = comparePackedKeys(left.view, keyAt(left, a.announced), right.view, keyAt(right, b.announced));
    if (order === 0 && isSameChild(left, a.announced, right, b.announced)) {
      a.announced++;
      b.announced++;
      continue;
    }
    if (order <= 0) add(leaves, a);
    if (order >= 0) add(leaves, b);
  }
  ahead.announce(leaves);
}

/** Adds the next leaf of a cursor's parent. */
function add(leaves: ChildPlace[], cursor: Cursor): void {
  const parent = cursor.parent!;
  const slot = cursor.announced++;
  leaves.push({ logical: childLogical(parent, slot), generation: childGeneration(parent, slot), owner: cursor.id });
}
