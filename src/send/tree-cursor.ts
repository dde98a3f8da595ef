import { foldableBytes } from "#checksum";
import { childGeneration, childLogical, type NodeBlock } from "../format/node.ts";
import type { KnownLeaf } from "../tree/same-items.ts";
import type { BlockTree, ChildPlace } from "../tree/source.ts";

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
  readonly #announce: ((leaves: readonly ChildPlace[]) => void) | undefined;
  level: number;
  isAtEnd: boolean;

  /** @param announce Hears of leaves before they are read. */
  constructor(tree: BlockTree, announce?: (leaves: readonly ChildPlace[]) => void) {
    this.#tree = tree;
    this.#announce = announce;
    this.level = tree.root.level + 1;
    this.isAtEnd = tree.root.count === 0;
    this.#enter(tree.root);
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

  /** The leaf that it is at, if it is at one. */
  get leaf(): NodeBlock | undefined {
    return this.level === 0 ? this.#nodes[0] : undefined;
  }

  /** To the first child. A promise only where it has to be waited for. @param known A leaf that is perhaps much like it. */
  down(known?: KnownLeaf): void | Promise<void> {
    const child =
      this.level === 1
        ? this.#tree.lendNow(this.node, this.slot, this.#leaves[this.#turn++ % LENT_LEAVES]!, known)
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
    if (this.level === 1) this.#announce?.(childrenOf(child, this.#tree.id));
  }

  close(): void {
    for (const bytes of this.#leaves) this.#tree.takeBack(bytes);
  }

  /** To the next item or pointer, of a block above when this one is at its end. @param step Of the items of a leaf, more at once. */
  next(step = 1): void {
    this.#slots[this.level]! += step;
    while (this.slot >= this.node.count) {
      if (this.level === this.#tree.root.level) {
        this.isAtEnd = true;
        return;
      }
      this.level++;
      this.#slots[this.level]!++;
    }
  }
}

function childrenOf(node: NodeBlock, owner: bigint): ChildPlace[] {
  return Array.from({ length: node.count }, (_, slot) => ({
    logical: childLogical(node, slot),
    generation: childGeneration(node, slot),
    owner,
  }));
}

/** Whether two pointers lead to the same block. */
export function isSameChild(a: NodeBlock, aSlot: number, b: NodeBlock, bSlot: number): boolean {
  return childLogical(a, aSlot) === childLogical(b, bSlot) && childGeneration(a, aSlot) === childGeneration(b, bSlot);
}
