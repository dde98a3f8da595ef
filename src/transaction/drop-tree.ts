import { CorruptError } from "../errors.ts";
import { SHARED_BLOCK_REF, TREE_BLOCK_REF } from "../format/key-type.ts";
import { childLogical, type NodeBlock } from "../format/node.ts";
import { ChildExpectation } from "../tree/child.ts";
import type { Cow } from "./cow.ts";
import type { DelayedRefs } from "./delayed-refs.ts";
import type { ExtentTree } from "./extent-tree.ts";
import type { Nodes } from "./nodes.ts";
import type { OpenTree } from "./open-tree.ts";

/** Changes of references that may wait in memory. */
const MAX_WAITING = 50_000;

export interface DropParts {
  readonly nodes: Nodes;
  readonly cow: Cow;
  readonly refs: DelayedRefs;
  readonly extents: ExtentTree;
}

/** How a block is reached: `undefined` for the root of the tree. */
interface Above {
  readonly node: NodeBlock;
  /** Its children are counted by its address. */
  readonly full: boolean;
  readonly expect: ChildExpectation | undefined;
}

/**
 * Gives back every reference that a tree has: what it has to itself is freed, what it shares stays with the others.
 *
 * A block that others share keeps its children; where it counted them by this tree's id, it counts them by its address
 * from now on, and so do those below it.
 */
export async function dropBlocks({ nodes, cow, refs, extents }: DropParts, tree: OpenTree): Promise<void> {
  const childOf = async ({ node, expect }: Above, slot: number): Promise<[NodeBlock, ChildExpectation]> => {
    const next = new ChildExpectation(node, slot, tree.id, expect);
    const logical = childLogical(node, slot);
    return [nodes.cached(logical, next) ?? (await nodes.readNode(logical, next)), next];
  };

  const convert = async (node: NodeBlock, expect: ChildExpectation | undefined): Promise<void> => {
    cow.changeChildren(node, 1, undefined);
    cow.changeChildren(node, -1, tree.id);
    refs.setFull(node.logical, node.bytes.byteLength, node.level);
    if (node.level === 0) return;
    for (let slot = 0; slot < node.count; slot++) {
      const [child, next] = await childOf({ node, full: true, expect }, slot);
      if (child.owner === tree.id && !(await extents.sharingOf(child.logical, child.level)).full)
        await convert(child, next);
    }
  };

  const drop = async (node: NodeBlock, expect: ChildExpectation | undefined, above?: Above): Promise<void> => {
    const { refs: count, full } = await extents.sharingOf(node.logical, node.level);
    if (count === 1) {
      if (!full && node.owner !== tree.id) {
        const what = `tree ${node.owner} owns it and has its only reference`;
        throw new CorruptError(`Cannot drop node: ${what}, it was found in tree ${tree.id}`, node.where);
      }
      if (node.level === 0) cow.changeChildren(node, -1, full ? undefined : tree.id);
      for (let slot = 0; node.level > 0 && slot < node.count; slot++) {
        const [child, next] = await childOf({ node, full, expect }, slot);
        await drop(child, next, { node, full, expect });
      }
    } else if (node.owner === tree.id && !full) {
      await convert(node, expect);
    }
    const ref =
      above?.full === true
        ? ({ type: SHARED_BLOCK_REF, parent: BigInt(above.node.logical) } as const)
        : ({ type: TREE_BLOCK_REF, root: tree.id } as const);
    refs.change(node.logical, node.bytes.byteLength, node.level, ref, -1);
    if (refs.size > MAX_WAITING) await extents.applyAll();
  };

  await drop(tree.root, undefined);
}
