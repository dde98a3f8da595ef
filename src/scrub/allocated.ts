import { asStruct } from "../bytes/struct.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { decodeInlineRefs, EXTENT_FLAG_TREE_BLOCK, ExtentItem, TreeBlockInfo } from "../format/extent-item.ts";
import { EXTENT_ITEM, METADATA_ITEM, TREE_BLOCK_REF } from "../format/key-type.ts";
import { itemBytes, itemData, itemWhere, type Leaf, slotKey, slotType } from "../format/node.ts";
import { EXTENT_TREE_OBJECTID } from "../format/objectid.ts";
import { treeBlocks } from "../tree/blocks.ts";
import type { NodeExpectation } from "../tree/source.ts";
import type { Volume } from "../volume/volume.ts";

/** An extent that the extent tree lists. */
export type Allocated =
  | { readonly kind: "data"; readonly logical: number; readonly length: number }
  | { readonly kind: "metadata"; readonly logical: number; readonly length: number; readonly expect: NodeExpectation };

/** Longest data extent that the kernel makes, in bytes. */
const MAX_EXTENT_BYTES = 128 * 1024 * 1024;

/**
 * Every extent in the order of addresses, leaf by leaf of the extent tree, apart from each other and inside of chunks.
 *
 * @param onFault Hears of blocks that can't be read and of items that can't be right: what they list is left out.
 */
export async function* allocatedExtents(
  volume: Volume,
  onFault: (fault: BtrfsError) => void,
  signal?: AbortSignal,
): AsyncGenerator<Allocated[]> {
  const tree = await volume.openTree(EXTENT_TREE_OBJECTID);
  let end = 0;
  for await (const found of treeBlocks(tree, { signal })) {
    if ("fault" in found) {
      onFault(found.fault);
      continue;
    }
    const leaf = found.node;
    if (leaf.level > 0) continue;
    const extents: Allocated[] = [];
    for (let slot = 0; slot < leaf.count; slot++) {
      const type = slotType(leaf, slot);
      if (type !== EXTENT_ITEM && type !== METADATA_ITEM) continue;
      try {
        const extent = decodeExtent(volume, leaf, slot);
        if (extent.logical < end) {
          throw new CorruptError(`Cannot trust extent: the one before it ends at ${end}`, itemWhere(leaf, slot));
        }
        end = extent.logical + extent.length;
        extents.push(extent);
      } catch (error) {
        if (!(error instanceof BtrfsError)) throw error;
        onFault(error);
      }
    }
    yield extents;
  }
}

function decodeExtent(volume: Volume, leaf: Leaf, slot: number): Allocated {
  const where = itemWhere(leaf, slot);
  const { objectid, type, offset } = slotKey(leaf, slot);
  const data = itemData(leaf, slot);
  const { flags, generation } = asStruct(ExtentItem, data, where);
  const isBlock = (flags & EXTENT_FLAG_TREE_BLOCK) !== 0n;
  const length = isBlock ? BigInt(volume.nodeSize) : offset;
  const sector = BigInt(volume.sectorSize);
  const sane = length > 0n && length % sector === 0n && length <= BigInt(MAX_EXTENT_BYTES) && objectid % sector === 0n;
  if (!sane || objectid > BigInt(Number.MAX_SAFE_INTEGER) || generation > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new CorruptError(`Cannot trust extent: it has ${length} bytes at ${objectid}`, where);
  }
  const place = { logical: Number(objectid), length: Number(length) };
  volume.chunks.get(place.logical, place.length);
  if (!isBlock) return { kind: "data", ...place };
  const level =
    type === METADATA_ITEM
      ? Number(offset)
      : asStruct(TreeBlockInfo, itemBytes(leaf, slot).subarray(ExtentItem.byteLength), where).level;
  // A block that is only shared by address says nowhere whose it is.
  const ref = decodeInlineRefs(data, type, where).find((one) => one.type === TREE_BLOCK_REF);
  const owner = ref !== undefined && "root" in ref ? ref.root : 0n;
  return { kind: "metadata", ...place, expect: { level, generation: Number(generation), owner } };
}
