import type { Key } from "../format/key.ts";
import { comparePackedKeys } from "../format/key.ts";
import { childGeneration, keyAt, lowerBound, type NodeBlock, slotKey } from "../format/node.ts";
import { checkEndKey, checkFirstKey, checkIdentity } from "./check.ts";
import type { NodeExpectation } from "./source.ts";

/** A pointer of an inner node, as what it says about the child. Keys are unpacked only for who asks. */
export class ChildExpectation implements NodeExpectation {
  readonly level: number;
  readonly generation: number;
  readonly owner: bigint;
  readonly #parent: NodeBlock;
  readonly #slot: number;
  /** Pointer after this one: in the parent, or in the nearest node above that has one. */
  readonly #endNode: NodeBlock | undefined;
  readonly #endSlot: number;

  /** @param above What led to `parent`: it ends where its parent says, and so does its last child. */
  constructor(parent: NodeBlock, slot: number, owner: bigint, above?: ChildExpectation) {
    this.level = parent.level - 1;
    this.generation = childGeneration(parent, slot);
    this.owner = owner;
    this.#parent = parent;
    this.#slot = slot;
    if (slot + 1 < parent.count) {
      this.#endNode = parent;
      this.#endSlot = slot + 1;
    } else if (above !== undefined) {
      this.#endNode = above.#endNode;
      this.#endSlot = above.#endSlot;
    } else {
      this.#endNode = undefined;
      this.#endSlot = 0;
    }
  }

  get firstKey(): Key {
    return slotKey(this.#parent, this.#slot);
  }

  get endKey(): Key | undefined {
    return this.#endNode === undefined ? undefined : slotKey(this.#endNode, this.#endSlot);
  }

  /** The same as `checkExpectation`, on packed keys. */
  check(node: NodeBlock): void {
    checkIdentity(node, this);
    checkFirstKey(node, this.#parent.view, keyAt(this.#parent, this.#slot));
    if (this.#endNode !== undefined) checkEndKey(node, this.#endNode.view, keyAt(this.#endNode, this.#endSlot));
  }
}

/** Slot of the child of an inner node under which a packed key belongs: the last one not above it, or the first. */
export function childSlot(node: NodeBlock, key: DataView): number {
  const slot = lowerBound(node, key);
  if (slot < node.count && comparePackedKeys(node.view, keyAt(node, slot), key, 0) === 0) return slot;
  return Math.max(slot - 1, 0);
}
