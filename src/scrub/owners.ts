import { asStruct } from "../bytes/struct.ts";
import { BtrfsError } from "../errors.ts";
import { decodeInlineRefs, decodeKeyedRefs, ExtentItem, type ExtentRef } from "../format/extent-item.ts";
import { decodeFileExtent, FILE_EXTENT_INLINE } from "../format/file-extent.ts";
import { itemsOf, keyOf, MAX_U64 } from "../format/key.ts";
import {
  EXTENT_DATA,
  EXTENT_DATA_REF,
  EXTENT_ITEM,
  METADATA_ITEM,
  SHARED_BLOCK_REF,
  SHARED_DATA_REF,
  TREE_BLOCK_REF,
} from "../format/key-type.ts";
import { itemData, itemWhere, type NodeBlock, slotKey, slotType } from "../format/node.ts";
import { EXTENT_TREE_OBJECTID } from "../format/objectid.ts";
import type { Volume } from "../volume/volume.ts";
import type { Owner } from "./report.ts";

/** At most so many are named for one extent. */
const MAX_OWNERS = 16;

/**
 * Who uses the extent that has this logical address: files by inode and subvolume, blocks by their tree. What can't be
 * found out, because the extent tree is damaged as well, is left out.
 */
export async function ownersOf(volume: Volume, logical: number): Promise<readonly Owner[]> {
  try {
    const owners = new Map<string, Owner>();
    const { start, refs } = await readRefs(volume, BigInt(logical));
    for (const ref of refs) {
      for (const owner of await ownersByRef(volume, start, ref)) {
        owners.set(`${owner.root} ${owner.inode} ${owner.fileOffset}`, owner);
        if (owners.size === MAX_OWNERS) return [...owners.values()];
      }
    }
    return [...owners.values()];
  } catch (error) {
    if (error instanceof BtrfsError) return [];
    throw error;
  }
}

async function readRefs(volume: Volume, logical: bigint): Promise<{ start: bigint; refs: ExtentRef[] }> {
  const tree = await volume.openTree(EXTENT_TREE_OBJECTID);
  const span = await tree.find(keyOf(logical, METADATA_ITEM, MAX_U64), "atOrBefore");
  const refs: ExtentRef[] = [];
  if (span === undefined) return { start: logical, refs };
  const start = slotKey(span.leaf, span.first).objectid;
  for await (const { leaf, first, last } of tree.leaves(itemsOf(start))) {
    for (let slot = first; slot < last && refs.length < MAX_OWNERS; slot++) {
      const { type, offset } = slotKey(leaf, slot);
      const where = itemWhere(leaf, slot);
      if (type === EXTENT_ITEM && start + offset <= logical) return { start, refs: [] };
      if (type === EXTENT_ITEM || type === METADATA_ITEM)
        refs.push(...decodeInlineRefs(itemData(leaf, slot), type, where));
      else if (KEYED.has(type)) refs.push(...decodeKeyedRefs(itemData(leaf, slot), type, offset, where));
    }
  }
  return { start, refs };
}

const KEYED: ReadonlySet<number> = new Set([TREE_BLOCK_REF, SHARED_BLOCK_REF, EXTENT_DATA_REF, SHARED_DATA_REF]);

async function ownersByRef(volume: Volume, start: bigint, ref: ExtentRef): Promise<Owner[]> {
  switch (ref.type) {
    case TREE_BLOCK_REF:
      return [{ root: ref.root }];
    case EXTENT_DATA_REF:
      return [{ root: ref.root, inode: ref.objectid, fileOffset: ref.offset }];
    case SHARED_DATA_REF:
      return filesIn(await readBlock(volume, ref.parent), start);
    case SHARED_BLOCK_REF:
      return [{ root: (await readBlock(volume, ref.parent)).owner }];
    default:
      return [];
  }
}

/** A block by its address alone: the extent tree says what to expect of it. */
async function readBlock(volume: Volume, logical: bigint): Promise<NodeBlock> {
  const tree = await volume.openTree(EXTENT_TREE_OBJECTID);
  for await (const { leaf, first } of tree.leaves(itemsOf(logical))) {
    const { type, offset } = slotKey(leaf, first);
    const { generation } = asStruct(ExtentItem, itemData(leaf, first), itemWhere(leaf, first));
    const level = type === METADATA_ITEM ? Number(offset) : 0;
    return volume.readNode(Number(logical), { level, generation: Number(generation), owner: 0n });
  }
  throw new BtrfsError("missing", "Cannot find block: the extent tree does not list it", {
    where: { logical: Number(logical) },
  });
}

function filesIn(leaf: NodeBlock, start: bigint): Owner[] {
  const owners: Owner[] = [];
  for (let slot = 0; slot < leaf.count; slot++) {
    if (slotType(leaf, slot) !== EXTENT_DATA) continue;
    const extent = decodeFileExtent(leaf, slot);
    if (extent.type === FILE_EXTENT_INLINE || BigInt(extent.diskBytenr) !== start) continue;
    const fileOffset = BigInt.asUintN(64, extent.fileOffset - extent.offset);
    owners.push({ root: leaf.owner, inode: slotKey(leaf, slot).objectid, fileOffset });
  }
  return owners;
}
