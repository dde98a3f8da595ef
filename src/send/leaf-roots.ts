import { viewOf } from "../bytes/bytes.ts";
import { CorruptError } from "../errors.ts";
import { comparePackedKeys, KEY_BYTES } from "../format/key.ts";
import { METADATA_ITEM, SHARED_BLOCK_REF, TREE_BLOCK_REF } from "../format/key-type.ts";
import { HEADER_BYTES, keyAt, lowerBound, type NodeBlock } from "../format/node.ts";
import type { BlockTree, Tree } from "../tree/source.ts";
import { descending, type ExtentFacts, MAX_REFS, readExtent, readExtentNow } from "./extent-refs.ts";
import type { BlockSource } from "./source.ts";
import { Waited, whenRead } from "./unread.ts";

/** So many leaves the kernel remembers. */
const MAX_LEAVES = 128;
/** A leaf that more of the snapshots to clone from have, it does not remember. */
const MAX_ROOTS = 17;
/** Inner nodes, and trees, that are kept here. */
const MAX_ABOVE = 4096;
const MAX_TREES = 64;

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
  readonly #above = new Map<number, readonly (Block | bigint)[]>();
  readonly #trees = new Map<bigint, BlockTree | undefined>();
  readonly #waited = new Waited();
  #extentTree: Tree | undefined;

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

  /** Whether all of these leaves are known to belong to none of the snapshots. As if each had been asked for. */
  leadNowhere(leaves: readonly number[]): boolean {
    for (const leaf of leaves) if (this.#kept.get(leaf)?.length !== 0) return false;
    for (const leaf of leaves) this.kept(leaf);
    return true;
  }

  /**
   * Climbs from the leaf to the roots, in the kernel's order: breadth first, references of a block descending. A promise
   * only where something has to be waited for.
   */
  find(leaf: number): readonly bigint[] | Promise<readonly bigint[]> {
    return whenRead(() => this.#climb(leaf));
  }

  #climb(leaf: number): readonly bigint[] {
    const roots: bigint[] = [];
    const queue: Block[] = [{ logical: leaf, level: 0 }];
    const seen = new Set([leaf]);
    for (let index = 0; index < queue.length; index++) {
      for (const parent of this.#parents(queue[index]!)) {
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
    if (roots.length > MAX_ROOTS) return;
    if (this.#kept.size >= MAX_LEAVES) this.#kept.delete(this.#kept.keys().next().value!);
    this.#kept.set(leaf, roots);
  }

  /** Blocks above, and trees whose root node this is. Those of inner nodes are kept: many leaves lead there. */
  #parents(block: Block): readonly (Block | bigint)[] {
    const kept = this.#above.get(block.logical);
    if (kept !== undefined) return kept;
    const parents = this.#findParents(block);
    if (block.level > 0) {
      if (this.#above.size >= MAX_ABOVE) this.#above.clear();
      this.#above.set(block.logical, parents);
    }
    return parents;
  }

  #findParents({ logical, level }: Block): (Block | bigint)[] {
    const extent = this.#extentOf(logical);
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
      const parent = this.#parentIn(root, logical, level, extent.generation);
      if (parent !== undefined) parents.push(parent);
    }
    for (const parent of shared.sort(descending)) parents.push({ logical: Number(parent), level: level + 1 });
    return parents;
  }

  #extentOf(logical: number): ExtentFacts | undefined {
    const tree = this.#extentTree;
    const now = tree === undefined ? null : readExtentNow(tree, logical, METADATA_ITEM);
    if (now !== null) return now;
    return this.#waited.get(`extent ${logical}`, async () => {
      this.#extentTree ??= await this.#blocks.extentTree();
      return readExtent(this.#extentTree, logical, METADATA_ITEM);
    });
  }

  /** The block above in the tree `root`, found by the first key; the tree itself when the block is its root node. */
  #parentIn(root: bigint, logical: number, level: number, generation: number): Block | bigint | undefined {
    const tree = this.#treeOf(root);
    if (tree === undefined) return undefined;
    if (tree.root.level === level) return root;
    if (tree.root.level < level) return undefined;
    const { bytes } = this.#block(logical, level, generation);
    // A copy: what is lent does not outlast another call.
    const first = viewOf(bytes.slice(HEADER_BYTES, HEADER_BYTES + KEY_BYTES));
    let node = tree.root;
    while (node.level > level + 1) {
      const parent = node;
      const slot = slotOf(parent, first);
      node =
        tree.childNow(parent, slot) ??
        this.#waited.get(`${root} ${parent.logical} ${slot}`, () => tree.child(parent, slot));
    }
    return { logical: node.logical, level: level + 1 };
  }

  #treeOf(root: bigint): BlockTree | undefined {
    const known = this.#trees.get(root);
    if (known !== undefined || this.#trees.has(root)) return known;
    const tree = this.#waited.get(`tree ${root}`, () => this.#blocks.findTree(root));
    if (this.#trees.size >= MAX_TREES) this.#trees.clear();
    this.#trees.set(root, tree);
    return tree;
  }

  #block(logical: number, level: number, generation: number): NodeBlock {
    const lent = level === 0 ? this.#blocks.lentNow(logical, generation) : undefined;
    const now = lent ?? this.#blocks.blockNow(logical, level, generation);
    return now ?? this.#waited.get(`block ${logical}`, () => this.#blocks.readBlock(logical, level, generation));
  }
}

/** Slot of the child that a packed key belongs under. */
function slotOf(node: NodeBlock, key: DataView): number {
  const slot = lowerBound(node, key);
  const isExact = slot < node.count && comparePackedKeys(node.view, keyAt(node, slot), key, 0) === 0;
  return isExact ? slot : Math.max(slot - 1, 0);
}
