import { BtrfsError } from "../errors.ts";
import { type Key, packKey } from "../format/key.ts";
import { childLogical, type NodeBlock } from "../format/node.ts";
import { ChildExpectation, childSlot } from "./child.ts";
import type { NodeTree } from "./tree.ts";
import { turnIfDue } from "./turn.ts";

/** A block of a tree, or where one should be. */
export type BlockOrFault =
  | { readonly node: NodeBlock }
  | { readonly fault: BtrfsError; readonly logical: number; readonly parent: NodeBlock; readonly slot: number };

export interface BlocksOptions {
  /** Leaves out blocks that end below this key: those of a subvolume whose deletion got so far. */
  readonly first?: Key | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Every block of a tree, each before its children, in the order of their keys. One that can't be read is given as a fault, and
 * those behind it follow. As a walk over leaves, it sees keys that only grow, so it ends.
 */
export async function* treeBlocks(tree: NodeTree, options: BlocksOptions = {}): AsyncGenerator<BlockOrFault> {
  yield { node: tree.root };
  const first = options.first === undefined ? undefined : packKey(options.first);
  yield* childrenOf(tree, tree.root, undefined, first, options.signal);
}

async function* childrenOf(
  tree: NodeTree,
  node: NodeBlock,
  above: ChildExpectation | undefined,
  first: DataView | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<BlockOrFault> {
  if (node.level === 0) return;
  for (let slot = first === undefined ? 0 : childSlot(node, first); slot < node.count; slot++) {
    if (signal !== undefined) {
      await turnIfDue();
      signal.throwIfAborted();
    }
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
    yield* childrenOf(tree, child, expect, first, signal);
  }
}
