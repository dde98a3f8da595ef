import { comparePackedKeys } from "../format/key.ts";
import * as types from "../format/key-type.ts";
import { HEADER_BYTES, ITEM_HEADER_BYTES, ItemHeader, keyAt, type Leaf } from "../format/node.ts";
import { isSubvolumeId } from "../format/objectid.ts";
import { QgroupInfoItem, QgroupLimitItem, QgroupStatusItem } from "../format/quota.ts";
import { checkDevExtent } from "./check-devices.ts";
import { checkBlockGroup, checkDataRefs, checkExtentItem, checkKeyedRef } from "./check-extents.ts";
import { checkChecksums, checkFileExtent } from "./check-file-extents.ts";
import { checkFreeSpaceBitmap, checkFreeSpaceExtent, checkFreeSpaceInfo } from "./check-free-space.ts";
import { checkDirItem, checkInodeExtref, checkInodeItem, checkInodeRef } from "./check-inodes.ts";
import { checkRootItem, checkRootRef } from "./check-roots.ts";
import { type ItemCheck, type ItemContext, sizeCheck } from "./item-context.ts";
import type { NodeLimits } from "./limits.ts";
import { failItem } from "./problem.ts";
import { countSame, type KnownLeaf } from "./same-items.ts";

/** Devices and chunks are checked by the volume that is opened with them. */
const CHECKS: (ItemCheck | undefined)[] = new Array(256).fill(undefined);
CHECKS[types.INODE_ITEM] = checkInodeItem;
CHECKS[types.INODE_REF] = checkInodeRef;
CHECKS[types.INODE_EXTREF] = checkInodeExtref;
CHECKS[types.XATTR_ITEM] = checkDirItem;
CHECKS[types.ORPHAN_ITEM] = sizeCheck("orphan item", 0);
CHECKS[types.DIR_ITEM] = checkDirItem;
CHECKS[types.DIR_INDEX] = checkDirItem;
CHECKS[types.EXTENT_DATA] = checkFileExtent;
CHECKS[types.EXTENT_CSUM] = checkChecksums;
CHECKS[types.ROOT_ITEM] = checkRootItem;
CHECKS[types.ROOT_REF] = checkRootRef;
CHECKS[types.ROOT_BACKREF] = checkRootRef;
CHECKS[types.EXTENT_ITEM] = checkExtentItem;
CHECKS[types.METADATA_ITEM] = checkExtentItem;
CHECKS[types.TREE_BLOCK_REF] = checkKeyedRef;
CHECKS[types.SHARED_BLOCK_REF] = checkKeyedRef;
CHECKS[types.SHARED_DATA_REF] = checkKeyedRef;
CHECKS[types.EXTENT_DATA_REF] = checkDataRefs;
CHECKS[types.BLOCK_GROUP_ITEM] = checkBlockGroup;
CHECKS[types.FREE_SPACE_INFO] = checkFreeSpaceInfo;
CHECKS[types.FREE_SPACE_EXTENT] = checkFreeSpaceExtent;
CHECKS[types.FREE_SPACE_BITMAP] = checkFreeSpaceBitmap;
CHECKS[types.DEV_EXTENT] = checkDevExtent;
CHECKS[types.QGROUP_STATUS] = sizeCheck("quota status", QgroupStatusItem.byteLength, QgroupStatusItem.byteLength + 8);
CHECKS[types.QGROUP_INFO] = sizeCheck("quota info", QgroupInfoItem.byteLength);
CHECKS[types.QGROUP_LIMIT] = sizeCheck("quota limit", QgroupLimitItem.byteLength);
CHECKS[types.QGROUP_RELATION] = sizeCheck("quota relation", 0);
CHECKS[types.UUID_SUBVOL] = checkUuid;
CHECKS[types.UUID_RECEIVED_SUBVOL] = checkUuid;

function checkUuid(context: ItemContext, slot: number, _start: number, size: number): void {
  if (size % 8 !== 0) failItem(context.leaf, slot, `subvolume ids have ${size} bytes, expected a multiple of 8`);
}

/**
 * Checks what the items of a leaf hold, once its geometry is sound. What only other items or other trees can tell is
 * for whoever reads those. Unknown types pass, as they do in the kernel.
 *
 * @param known What it has too is not looked at again. It hears what that is.
 * @throws {CorruptError}
 */
export function checkItems(leaf: Leaf, limits: NodeLimits, known?: KnownLeaf): void {
  const { view, count } = leaf;
  const inSubvolume = isSubvolumeId(leaf.owner);
  const context: ItemContext = { leaf, view, limits, inSubvolume };
  if (known === undefined || isSubvolumeId(known.leaf.owner) !== inSubvolume) checkSlots(context, 0, count);
  else checkOthers(context, count, known);
}

function checkSlots(context: ItemContext, first: number, last: number): void {
  const { view } = context;
  for (let slot = first; slot < last; slot++) {
    const header = HEADER_BYTES + slot * ITEM_HEADER_BYTES;
    const check = CHECKS[view.getUint8(header + ItemHeader.offsets.type)];
    if (check === undefined) continue;
    const start = HEADER_BYTES + view.getUint32(header + ItemHeader.offsets.offset, true);
    check(context, slot, start, view.getUint32(header + ItemHeader.offsets.size, true));
  }
}

/** Checks the items that `known` does not have; of those that it has, the ones that follow another item there. */
function checkOthers(context: ItemContext, count: number, known: KnownLeaf): void {
  const { leaf, view } = context;
  const { leaf: old } = known;
  let other = 0;
  let checked = 0;
  for (let slot = 0; slot < count; ) {
    const at = keyAt(leaf, slot);
    while (other < old.count && comparePackedKeys(old.view, keyAt(old, other), view, at) < 0) other++;
    const same = countSame(leaf, slot, old, other);
    if (same > 0) known.add(slot, other, same);
    if (same > 1) {
      checkSlots(context, checked, slot + 1);
      checked = slot + same;
    }
    slot += Math.max(same, 1);
    other += same;
  }
  checkSlots(context, checked, count);
  known.compared = leaf;
}
