import { viewOf } from "../bytes/bytes.ts";
import { CorruptError } from "../errors.ts";
import { comparePackedKeys, KEY_BYTES } from "../format/key.ts";
import { METADATA_ITEM, SHARED_BLOCK_REF, TREE_BLOCK_REF } from "../format/key-type.ts";
import { HEADER_BYTES, keyAt, lowerBound, type NodeBlock } from "../format/node.ts";
import { descending, MAX_REFS, readExtent } from "./extent-refs.ts";
import type { BlockSource } from "./source.ts";

/** So many leaves the kernel remembers. */
const MAX_LEAVES = 128;
/** With more snapshots to clone from, it remembers none. */
const MAX_ROOTS = 17;

interface Block {
  readonly logical: number;
  readonly level: number;
}

/** Which snapshots a leaf belongs to. */
export class LeafRoots {
  readonly #blocks: BlockSource;
  readonly #wanted: ReadonlySet<bigint>;
  /** In the order of their last use. */
  readonly #kept = new Map<number, readonly bigint[]>();

  constructor(blocks: BlockSource, wanted: ReadonlySet<bigint>) {
    this.#blocks = blocks;
    this.#wanted = wanted;
  }

  /** The answer from before, which has only the snapshots that are wanted. */
  kept(leaf: number): readonly bigint[] | undefined {
    const roots = this.#kept.get(leaf);
    if (roots === undefined) return undefined;
    this.#kept.delete(leaf);
    this.#kept.set(leaf, roots);
    return roots;
  }

  /** Climbs from the leaf to the roots, in the kernel's order: breadth first, references of a block descending. */
  async find(leaf: number): Promise<readonly bigint[]> {
    const roots: bigint[] = [];
    const queue: Block[] = [{ logical: leaf, level: 0 }];
    const seen = new Set([leaf]);
    for (let index = 0; index < queue.length; index++) {
      const block = queue[index]!;
      for (const parent of await this.#parents(block)) {
        if (typeof parent === "bigint") {
          if (!roots.includes(parent)) roots.push(parent);
        } else if (!seen.has(parent.logical)) {
          seen.add(parent.logical);
          queue.push(parent);
        }
      }
    }
    const wanted = roots.filter((root) => this.#wanted.has(root));
    this.#keep(leaf, wanted);
    return wanted;
  }

  #keep(leaf: number, roots: readonly bigint[]): void {
    if (this.#wanted.size > MAX_ROOTS || roots.length > MAX_ROOTS) return;
    if (this.#kept.size >= MAX_LEAVES) this.#kept.delete(this.#kept.keys().next().value!);
    this.#kept.set(leaf, roots);
  }

  /** Blocks above, and trees whose root node this is. */
  async #parents({ logical, level }: Block): Promise<(Block | bigint)[]> {
    const extent = await readExtent(await this.#blocks.extentTree(), logical, METADATA_ITEM);
    if (extent === undefined) {
      throw new CorruptError("Cannot find tree block: nothing in the extent tree has its address", { logical });
    }
    if (extent.refs > MAX_REFS) return [];
    const roots: bigint[] = [];
    const shared: bigint[] = [];
    for (const ref of extent.all) {
      if (ref.type === TREE_BLOCK_REF) roots.push(ref.root);
      else if (ref.type === SHARED_BLOCK_REF) shared.push(ref.parent);
    }
    const parents: (Block | bigint)[] = [];
    for (const root of roots.sort(descending)) {
      const parent = await this.#parentIn(root, logical, level, extent.generation);
      if (parent !== undefined) parents.push(parent);
    }
    for (const parent of shared.sort(descending)) parents.push({ logical: Number(parent), level: level + 1 });
    return parents;
  }

  /** The block above in the tree `root`, found by the first key; the tree itself when the block is its root node. */
  async #parentIn(
    root: bigint,
    logical: number,
    level: number,
    generation: number,
  ): Promise<Block | bigint | undefined> {
    const tree = await this.#blocks.findTree(root);
    if (tree === undefined) return undefined;
    if (tree.root.level === level) return root;
    if (tree.root.level < level) return undefined;
    const lent = level === 0 ? this.#blocks.lentNow(logical, generation) : undefined;
    const { bytes } = lent ?? (await this.#blocks.readBlock(logical, level, generation));
    // A copy: what is lent does not outlast a wait.
    const first = viewOf(bytes.slice(HEADER_BYTES, HEADER_BYTES + KEY_BYTES));
    let node = tree.root;
    while (node.level > level + 1) node = await tree.child(node, slotOf(node, first));
    return { logical: node.logical, level: level + 1 };
  }
}

/** Slot of the child that a packed key belongs under. */
function slotOf(node: NodeBlock, key: DataView): number {
  const slot = lowerBound(node, key);
  const isExact = slot < node.count && comparePackedKeys(node.view, keyAt(node, slot), key, 0) === 0;
  return isExact ? slot : Math.max(slot - 1, 0);
}
