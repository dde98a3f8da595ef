import { comparePackedKeys } from "../format/key.ts";
import { itemSize, itemStart, keyAt, type Leaf } from "../format/node.ts";
import type { LeafSpan, Tree } from "../tree/source.ts";
import { CHANGED, GONE, NEW, type OnItem, SAME } from "./compare.ts";

/** A tree whose blocks can't be seen, but how old the leaf of each item is. */
export interface AgedTree extends Tree {
  generationOf(leaf: Leaf, slot: number): number | undefined;
}

/** Goes through the items of a tree. */
class Items {
  readonly #spans: AsyncIterator<LeafSpan>;
  #span: LeafSpan | undefined;
  slot = 0;

  constructor(tree: Tree) {
    this.#spans = tree.leaves()[Symbol.asyncIterator]();
  }

  get leaf(): Leaf | undefined {
    return this.#span?.leaf;
  }

  /** To the next item. A promise only where it has to be waited for. */
  next(): void | Promise<void> {
    this.slot++;
    if (this.#span === undefined || this.slot >= this.#span.last) return this.nextLeaf();
  }

  async nextLeaf(): Promise<void> {
    const { value, done } = await this.#spans.next();
    this.#span = done ? undefined : value;
    this.slot = this.#span?.first ?? 0;
  }

  async close(): Promise<void> {
    await this.#spans.return?.();
  }
}

/**
 * Compares two trees item by item. What both have in leaves that were last written in the same transaction is passed over:
 * these are, but for rare accidents, the same leaves.
 */
export async function compareItems(left: AgedTree, right: AgedTree, onItem: OnItem): Promise<void> {
  const a = new Items(left);
  const b = new Items(right);
  try {
    await a.nextLeaf();
    await b.nextLeaf();
    while (a.leaf !== undefined || b.leaf !== undefined) {
      const order = compareKeys(a, b);
      const result = order < 0 ? NEW : order > 0 ? GONE : isSameItem(a, b) ? SAME : CHANGED;
      const isShared = result === SAME && left.generationOf(a.leaf!, a.slot) === right.generationOf(b.leaf!, b.slot);
      if (!isShared) {
        const waiting = onItem(
          result,
          order <= 0 ? a.leaf : undefined,
          a.slot,
          order >= 0 ? b.leaf : undefined,
          b.slot,
        );
        if (waiting !== undefined) await waiting;
      }
      const nextLeft = order <= 0 ? a.next() : undefined;
      const nextRight = order >= 0 ? b.next() : undefined;
      if (nextLeft !== undefined) await nextLeft;
      if (nextRight !== undefined) await nextRight;
    }
  } finally {
    await a.close();
    await b.close();
  }
}

function compareKeys(a: Items, b: Items): number {
  if (a.leaf === undefined) return 1;
  if (b.leaf === undefined) return -1;
  return comparePackedKeys(a.leaf.view, keyAt(a.leaf, a.slot), b.leaf.view, keyAt(b.leaf, b.slot));
}

function isSameItem({ leaf: a, slot: aSlot }: Items, { leaf: b, slot: bSlot }: Items): boolean {
  const size = itemSize(a!, aSlot);
  if (size !== itemSize(b!, bSlot)) return false;
  const left = a!.bytes;
  const right = b!.bytes;
  let i = itemStart(a!, aSlot);
  let j = itemStart(b!, bSlot);
  for (const end = i + size; i < end; i++, j++) if (left[i] !== right[j]) return false;
  return true;
}
