import { foldableBytes } from "#checksum";
import { childGeneration, childLogical, type NodeBlock } from "../format/node.ts";
import type { BlockTree } from "../tree/source.ts";

/** What was passed is looked up again a little later, mostly, if at all. */
const LENT_LEAVES = 64;

/** Goes through a tree block by block and item by item, deeper only when told to. */
export class Cursor {
  readonly #tree: BlockTree;
  readonly #nodes: NodeBlock[] = [];
  readonly #slots: number[] = [];
  /** Leaves are passed once, so they come into the same bytes by turns. */
  readonly #leaves: Uint8Array[];
  #turn = 0;
  level: number;
  /** A parent of leaves has been entered, of which none has been announced. */
  entersParent: boolean;
  /** Children of that parent before this slot have been announced, or need not be. */
  announced = 0;

  constructor(tree: BlockTree) {
    this.#tree = tree;
    this.level = tree.root.level;
    this.#nodes[this.level] = tree.root;
    this.#slots[this.level] = 0;
    this.entersParent = this.level === 1;
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

  get id(): bigint {
    return this.#tree.id;
  }

  /** The parent of leaves that the cursor is at or below. */
  get parent(): NodeBlock | undefined {
    return this.level > 1 ? undefined : this.#nodes[1];
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
    if (this.level !== 1) return;
    this.entersParent = true;
    this.announced = 0;
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

/** Whether two pointers lead to the same block. */
export function isSameChild(a: NodeBlock, aSlot: number, b: NodeBlock, bSlot: number): boolean {
  return childLogical(a, aSlot) === childLogical(b, bSlot) && childGeneration(a, aSlot) === childGeneration(b, bSlot);
}
