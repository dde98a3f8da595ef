import { asStruct } from "../../src/bytes/struct.ts";
import type { ByteSource } from "../../src/device/source.ts";
import { BLOCK_FLAG_FULL_BACKREF, decodeInlineRefs, ExtentItem } from "../../src/format/extent-item.ts";
import { EXTENT_ITEM, keyTypeName, METADATA_ITEM } from "../../src/format/key-type.ts";
import { itemBytes, itemData, slotKey } from "../../src/format/node.ts";
import { treeBlocks } from "../../src/tree/blocks.ts";
import { NodeTree } from "../../src/tree/tree.ts";
import { openVolume } from "../../src/volume/open.ts";
import { listTrees } from "../../src/volume/trees.ts";

/** What an image is made of: whether a corner of the format was reached at all. */
export interface ImageShape {
  /** Blocks on the way from the root of a tree to its leaves. */
  readonly levels: ReadonlyMap<bigint, number>;
  /** Items by the name of their type. */
  readonly items: Readonly<Record<string, number>>;
  /** Inline references by the name of their type. */
  readonly inlineRefs: Readonly<Record<string, number>>;
  /** Tree blocks whose children are counted by address. */
  readonly fullBackrefs: number;
  /** Chunks by type and profile, as `data single`. */
  readonly chunks: Readonly<Record<string, number>>;
}

const KINDS = new Map([
  [1, "data"],
  [2, "system"],
  [4, "metadata"],
  [5, "mixed"],
]);

export async function shapeOf(sources: readonly ByteSource[]): Promise<ImageShape> {
  const volume = await openVolume(sources, {});
  const levels = new Map<bigint, number>();
  const items: Record<string, number> = {};
  const inlineRefs: Record<string, number> = {};
  const chunks: Record<string, number> = {};
  let fullBackrefs = 0;
  for (const { type, profile } of volume.chunks.chunks) count(chunks, `${KINDS.get(type & 7)} ${profile}`);
  for await (const tree of listTrees(volume)) {
    if ("fault" in tree) throw tree.fault;
    levels.set(tree.id, Math.max(levels.get(tree.id) ?? 0, tree.level + 1));
    for await (const found of treeBlocks(await NodeTree.open(volume, tree), { first: tree.first })) {
      if ("fault" in found) throw found.fault;
      const { node } = found;
      for (let slot = 0; node.level === 0 && slot < node.count; slot++) {
        const { type } = slotKey(node, slot);
        count(items, keyTypeName(type));
        if (type !== EXTENT_ITEM && type !== METADATA_ITEM) continue;
        const { flags } = asStruct(ExtentItem, itemBytes(node, slot));
        if ((flags & BLOCK_FLAG_FULL_BACKREF) !== 0n) fullBackrefs++;
        for (const ref of decodeInlineRefs(itemData(node, slot), type)) count(inlineRefs, keyTypeName(ref.type));
      }
    }
  }
  return { levels, items, inlineRefs, fullBackrefs, chunks };
}

function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}
