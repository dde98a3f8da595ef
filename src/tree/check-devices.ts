import { DevExtent } from "../format/device-items.ts";
import { DEV_EXTENT } from "../format/key-type.ts";
import { itemStart } from "../format/node.ts";
import {
  checkAligned,
  type ItemCheck,
  keyOffsetStart,
  keyStart,
  roundedU64,
  sameU64,
  sayU64,
  typeAt,
} from "./item-context.ts";
import { failItem } from "./problem.ts";

/** DEV_EXTENT. */
export const checkDevExtent: ItemCheck = (context, slot, start, size) => {
  const { view, leaf } = context;
  const { byteLength, offsets } = DevExtent;
  if (size !== byteLength) failItem(leaf, slot, `device extent has ${size} bytes, expected ${byteLength}`);
  const tree = roundedU64(view, start + offsets.chunkTree);
  if (tree !== 3) failItem(leaf, slot, `chunk tree is ${tree}, expected 3`);
  const owner = roundedU64(view, start + offsets.chunkObjectid);
  if (owner !== 256) failItem(leaf, slot, `chunk object id is ${owner}, expected 256`);
  checkAligned(context, slot, keyOffsetStart(slot), "address of the device extent");
  checkAligned(context, slot, start + offsets.chunkOffset, "address of the chunk");
  checkAligned(context, slot, start + offsets.length, "length of the device extent");
  const before = slot - 1;
  if (before < 0 || typeAt(context, before) !== DEV_EXTENT || !sameU64(view, keyStart(before), keyStart(slot))) return;
  const end = roundedU64(view, keyOffsetStart(before)) + roundedU64(view, itemStart(leaf, before) + offsets.length);
  if (end > roundedU64(view, keyOffsetStart(slot))) {
    failItem(
      leaf,
      slot,
      `device extent before it ends at ${end}, expected at most ${sayU64(view, keyOffsetStart(slot))}`,
    );
  }
};
