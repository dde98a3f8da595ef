import { ROOT_ITEM } from "../../src/format/key-type.ts";
import { itemBytes, slotKey, slotType } from "../../src/format/node.ts";
import { decodeRootItem } from "../../src/format/root.ts";
import type { TreeRoot } from "../../src/tree/source.ts";
import { NodeTree } from "../../src/tree/tree.ts";
import type { ImageSource } from "./image-source.ts";

/** Chunk tree, root tree, and every tree that the root tree names, as `btrfs inspect-internal dump-tree` has them. */
export async function allTrees(source: ImageSource): Promise<TreeRoot[]> {
  const rootTree = await NodeTree.open(source, source.rootTree);
  const trees = [source.rootTree, source.chunkTree];
  for await (const { leaf, first, last } of rootTree.leaves()) {
    for (let slot = first; slot < last; slot++) {
      if (slotType(leaf, slot) !== ROOT_ITEM) continue;
      const root = decodeRootItem(itemBytes(leaf, slot));
      trees.push({
        id: slotKey(leaf, slot).objectid,
        logical: Number(root.bytenr),
        level: root.level,
        generation: Number(root.generation),
      });
    }
  }
  return trees;
}
