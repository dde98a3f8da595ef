import { FREE_SPACE_BITMAP_BYTES, FreeSpaceInfo } from "../format/free-space.ts";
import { checkAligned, type ItemCheck, keyOffsetStart, keyStart, roundedU64, sizeCheck } from "./item-context.ts";
import { failItem } from "./problem.ts";

export const checkFreeSpaceInfo = sizeCheck("free space info", FreeSpaceInfo.byteLength);

/** FREE_SPACE_EXTENT. */
export const checkFreeSpaceExtent: ItemCheck = (context, slot, _start, size) => {
  if (size !== 0) failItem(context.leaf, slot, `free space extent has ${size} bytes, expected 0`);
  checkAligned(context, slot, keyStart(slot), "start of the free space");
  checkAligned(context, slot, keyOffsetStart(slot), "length of the free space");
};

/** FREE_SPACE_BITMAP: a bit for each sector. */
export const checkFreeSpaceBitmap: ItemCheck = (context, slot, _start, size) => {
  const { view, leaf, limits } = context;
  checkAligned(context, slot, keyStart(slot), "start of the bitmap");
  checkAligned(context, slot, keyOffsetStart(slot), "length of the bitmap");
  const expected = Math.ceil(roundedU64(view, keyOffsetStart(slot)) / limits.sectorSize / 8);
  if (size !== expected || size > FREE_SPACE_BITMAP_BYTES) {
    failItem(leaf, slot, `bitmap has ${size} bytes, expected ${Math.min(expected, FREE_SPACE_BITMAP_BYTES)}`);
  }
};
