import { BtrfsError } from "../errors.ts";
import { childLogical, type NodeBlock } from "../format/node.ts";
import { ChildExpectation } from "./child.ts";
import type { NodeTree } from "./tree.ts";

/** A block of a tree, or where one should be. */
export type BlockOrFault =
  | { readonly node: NodeBlock }
  | { readonly fault: BtrfsError; readonly logical: number; readonly parent: NodeBlock; readonly slot: number };

/**
 * Every block of a tree, each before its children, in the order of their keys. One that can't be read is given as a fault, and
 * those behind it follow. As a walk over leaves, it sees keys that only grow, so it ends.
 */
export async function* treeBlocks(tree: NodeTree, signal?: AbortSignal): AsyncGenerator<BlockOrFault> {
  yield { node: tree.root };
  yield* childrenOf(tree, tree.root, undefined, signal);
}

async function* childrenOf(
  tree: NodeTree,
  node: NodeBlock,
  above: ChildExpectation | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<BlockOrFault> {
  if (node.level === 0) return;
  for (let slot = 0; slot < node.count; slot++) {
    signal?.throwIfAborted();
    const expect = new ChildExpectation(node, slot, tree.id, above);
    const logical = childLogical(node, slot);
    let child: NodeBlock;
    try {
      child = tree.source.cached(logical, expect) ?? (await tree.source.readNode(logical, expect));
      expect.check(child);
    } catch (fault) {
      if (!(fault instanceof BtrfsError)) throw fault;
      yield { fault, logical, parent: node, slot };
      continue;
    }
    yield { node: child };
    yield* childrenOf(tree, child, expect, signal);
  }
}
