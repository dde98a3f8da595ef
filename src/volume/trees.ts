import { BtrfsError } from "../errors.ts";
import { type Key, MAX_U64 } from "../format/key.ts";
import { ROOT_ITEM } from "../format/key-type.ts";
import { itemBytes, itemWhere, type Leaf, slotKey, slotType } from "../format/node.ts";
import { TREE_LOG_OBJECTID } from "../format/objectid.ts";
import { decodeRootItem } from "../format/root.ts";
import { treeBlocks } from "../tree/blocks.ts";
import type { TreeRoot } from "../tree/source.ts";
import { NodeTree } from "../tree/tree.ts";
import { rootOfItem } from "./roots.ts";
import type { Volume } from "./volume.ts";

/** A tree of the filesystem, not opened yet. */
export interface ListedTree extends TreeRoot {
  /** Offset in the key of its root item: of a log, the subvolume; of a snapshot, the generation that made it. */
  readonly offset: bigint;
  /** Keys below are gone: the subvolume is being deleted. */
  readonly first?: Key;
}

/** A tree, or why one can't be listed. */
export type ListedTreeOrFault = ListedTree | { readonly fault: BtrfsError };

/**
 * All trees: root tree, chunk tree, those that have a root item, and the logs. Goes on behind damage.
 */
export async function* listTrees(volume: Volume): AsyncGenerator<ListedTreeOrFault> {
  const { superblock } = volume;
  for (const { id, root } of [volume.rootTree, volume.chunkTree]) {
    yield { id, logical: root.logical, level: root.level, generation: root.generation, offset: 0n };
  }
  yield* rootsIn(volume, volume.rootTree);
  if (superblock.logRoot === 0n || volume.generation !== Number(superblock.generation)) return;
  const log: TreeRoot = {
    id: TREE_LOG_OBJECTID,
    logical: Number(superblock.logRoot),
    level: superblock.logRootLevel,
    generation: Number(superblock.generation) + 1,
  };
  yield { ...log, offset: MAX_U64 };
  try {
    yield* rootsIn(volume, await NodeTree.open(volume, log));
  } catch (fault) {
    if (!(fault instanceof BtrfsError)) throw fault;
    yield { fault };
  }
}

async function* rootsIn(volume: Volume, tree: NodeTree): AsyncGenerator<ListedTreeOrFault> {
  for await (const found of treeBlocks(tree)) {
    if ("fault" in found) {
      yield { fault: found.fault };
      continue;
    }
    const leaf = found.node;
    if (leaf.level > 0) continue;
    for (let slot = 0; slot < leaf.count; slot++) {
      if (slotType(leaf, slot) === ROOT_ITEM) yield listedTree(volume, leaf, slot);
    }
  }
}

function listedTree(volume: Volume, leaf: Leaf, slot: number): ListedTreeOrFault {
  const { objectid, offset } = slotKey(leaf, slot);
  const where = itemWhere(leaf, slot);
  try {
    const item = decodeRootItem(itemBytes(leaf, slot), where);
    const { objectid: from, type, offset: at } = item.dropProgress;
    const dropped = item.refs === 0 && (from !== 0n || type !== 0 || at !== 0n);
    const first = { objectid: from, type, offset: at };
    return { ...rootOfItem(objectid, item, volume.sectorSize, where), offset, ...(dropped ? { first } : {}) };
  } catch (fault) {
    if (fault instanceof BtrfsError) return { fault };
    throw fault;
  }
}
