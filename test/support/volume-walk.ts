import { FILE_EXTENT_REG, FileExtentItem } from "../../src/format/file-extent.ts";
import { EXTENT_DATA, ROOT_ITEM } from "../../src/format/key-type.ts";
import {
  childGeneration,
  childLogical,
  itemData,
  itemSize,
  type NodeBlock,
  slotKey,
  slotType,
} from "../../src/format/node.ts";
import type { NodeExpectation } from "../../src/tree/source.ts";
import type { NodeTree } from "../../src/tree/tree.ts";
import type { Volume } from "../../src/volume/volume.ts";

/** Object ids of all trees that have a root item. */
export async function treeIds(volume: Volume): Promise<bigint[]> {
  const ids: bigint[] = [];
  for await (const { leaf, first, last } of volume.rootTree.leaves()) {
    for (let slot = first; slot < last; slot++) {
      if (slotType(leaf, slot) === ROOT_ITEM) ids.push(slotKey(leaf, slot).objectid);
    }
  }
  return ids;
}

/** Every node of every tree, with what is expected of it. */
export async function* everyNode(volume: Volume): AsyncGenerator<{ node: NodeBlock; expect: NodeExpectation }> {
  const trees = [volume.chunkTree, volume.rootTree];
  for (const id of await treeIds(volume)) trees.push(await volume.openTree(id));
  for (const tree of trees) yield* nodesBelow(tree, tree.root);
}

async function* nodesBelow(
  tree: NodeTree,
  node: NodeBlock,
): AsyncGenerator<{ node: NodeBlock; expect: NodeExpectation }> {
  yield { node, expect: { level: node.level, generation: node.generation, owner: tree.id } };
  if (node.level === 0) return;
  for (let slot = 0; slot < node.count; slot++) {
    const child = await tree.child(node, slot);
    if (childLogical(node, slot) !== child.logical || childGeneration(node, slot) !== child.generation) {
      throw new Error(`child ${slot} is not what its pointer says`);
    }
    yield* nodesBelow(tree, child);
  }
}

export interface RegularExtent {
  readonly inode: bigint;
  readonly fileOffset: number;
  readonly logical: number;
  readonly diskBytes: number;
  /** Where the file's bytes begin in the extent. */
  readonly offset: number;
  readonly numBytes: number;
  readonly compression: number;
}

/** The regular extents of the files of a subvolume. */
export async function regularExtents(volume: Volume, tree: bigint): Promise<RegularExtent[]> {
  const extents: RegularExtent[] = [];
  for await (const { leaf, first, last } of (await volume.openTree(tree)).leaves()) {
    for (let slot = first; slot < last; slot++) {
      if (slotType(leaf, slot) !== EXTENT_DATA || itemSize(leaf, slot) !== FileExtentItem.byteLength) continue;
      const item = new FileExtentItem(itemData(leaf, slot));
      if (item.type !== FILE_EXTENT_REG || item.diskBytenr === 0n) continue;
      const key = slotKey(leaf, slot);
      extents.push({
        inode: key.objectid,
        fileOffset: Number(key.offset),
        logical: Number(item.diskBytenr),
        diskBytes: Number(item.diskNumBytes),
        offset: Number(item.offset),
        numBytes: Number(item.numBytes),
        compression: item.compression,
      });
    }
  }
  return extents;
}
