import { viewOf } from "../bytes/bytes.ts";
import { asStruct } from "../bytes/struct.ts";
import { toSafe } from "../bytes/u64.ts";
import { CorruptError } from "../errors.ts";
import { BlockGroupItem } from "../format/block-group.ts";
import { keyOf, MAX_U64 } from "../format/key.ts";
import { BLOCK_GROUP_ITEM, EXTENT_ITEM, METADATA_ITEM } from "../format/key-type.ts";
import { itemBytes, itemWhere, slotKey } from "../format/node.ts";
import { BLOCK_GROUP_TREE_OBJECTID, EXTENT_TREE_OBJECTID, FREE_SPACE_TREE_OBJECTID } from "../format/objectid.ts";
import { COMPAT_RO_BLOCK_GROUP_TREE, COMPAT_RO_FREE_SPACE_TREE } from "../format/superblock.ts";
import type { Tree } from "../tree/source.ts";
import type { Chunk } from "../volume/chunk-map.ts";
import type { Volume } from "../volume/volume.ts";
import { readFreeSpace } from "./free-space-tree.ts";
import { RangeSet } from "./range-set.ts";
import type { SpaceRecords } from "./space.ts";

/** Whether block group items have a tree of their own. */
export function blockGroupTreeOf({ superblock }: Volume): bigint {
  const own = (superblock.compatRoFlags & COMPAT_RO_BLOCK_GROUP_TREE) !== 0n;
  return own ? BLOCK_GROUP_TREE_OBJECTID : EXTENT_TREE_OBJECTID;
}

export function hasFreeSpaceTree({ superblock }: Volume): boolean {
  return (superblock.compatRoFlags & COMPAT_RO_FREE_SPACE_TREE) !== 0n;
}

/** What the trees of the last commit say of space. @param current The volume as of the last commit. */
export function spaceRecords(current: () => Volume): SpaceRecords {
  return {
    async usedIn({ start, length }) {
      const tree = await current().openTree(blockGroupTreeOf(current()));
      const span = await tree.find(keyOf(BigInt(start), BLOCK_GROUP_ITEM, BigInt(length)), "exact");
      if (span === undefined) {
        throw new CorruptError("Cannot find block group: the chunk has no item for it", { logical: start });
      }
      const where = itemWhere(span.leaf, span.first);
      return toSafe(asStruct(BlockGroupItem, viewOf(itemBytes(span.leaf, span.first)), where).used, "used bytes");
    },
    async freeIn(chunk) {
      const volume = current();
      if (!hasFreeSpaceTree(volume))
        return freeBetweenExtents(await volume.openTree(EXTENT_TREE_OBJECTID), chunk, volume.nodeSize);
      return readFreeSpace(await volume.openTree(FREE_SPACE_TREE_OBJECTID), chunk, volume.sectorSize);
    },
  };
}

/** What the extents of a chunk leave free. */
async function freeBetweenExtents(tree: Tree, { start, length }: Chunk, nodeSize: number): Promise<RangeSet> {
  const free = new RangeSet();
  free.add(start, start + length);
  const range = { first: keyOf(BigInt(start), 0, 0n), last: keyOf(BigInt(start + length - 1), 255, MAX_U64) };
  for await (const { leaf, first, last } of tree.leaves(range)) {
    for (let slot = first; slot < last; slot++) {
      const { objectid, type, offset } = slotKey(leaf, slot);
      const at = Number(objectid);
      if (type === EXTENT_ITEM) free.remove(at, at + Number(offset));
      else if (type === METADATA_ITEM) free.remove(at, at + nodeSize);
    }
  }
  return free;
}
