import { MAX_LEVEL } from "../format/node.ts";
import { OLD_ROOT_ITEM_BYTES, RootItem, RootRef } from "../format/root.ts";
import { checkNameLength } from "./check-inodes.ts";
import { checkAligned, checkGenerationAt, type ItemCheck, isZeroU64, keyStart, sayU64 } from "./item-context.ts";
import { failItem } from "./problem.ts";

const { offsets: AT } = RootItem;
const RDONLY = 1;
/** Of the high word. */
const DEAD = 1 << 16;

/** ROOT_ITEM. */
export const checkRootItem: ItemCheck = (context, slot, start, size) => {
  const { view, leaf } = context;
  if (size !== RootItem.byteLength && size !== OLD_ROOT_ITEM_BYTES) {
    failItem(leaf, slot, `root item has ${size} bytes, expected ${RootItem.byteLength} or ${OLD_ROOT_ITEM_BYTES}`);
  }
  if (isZeroU64(view, keyStart(slot))) failItem(leaf, slot, "root item is of tree 0, which does not exist");
  checkGenerationAt(context, slot, start + AT.generation, "generation of the root");
  checkGenerationAt(context, slot, start + AT.lastSnapshot, "last snapshot of the root");
  if (size === RootItem.byteLength) checkGenerationAt(context, slot, start + AT.generationV2, "generation of the root");
  checkAligned(context, slot, start + AT.bytenr, "address of the root");
  const level = view.getUint8(start + AT.level);
  if (level >= MAX_LEVEL) failItem(leaf, slot, `level of the root is ${level}, expected below ${MAX_LEVEL}`);
  const dropLevel = view.getUint8(start + AT.dropLevel);
  if (dropLevel >= MAX_LEVEL) failItem(leaf, slot, `drop level is ${dropLevel}, expected below ${MAX_LEVEL}`);
  const low = view.getUint32(start + AT.flags, true);
  const high = view.getUint32(start + AT.flags + 4, true);
  if ((low & ~RDONLY) !== 0 || (high & ~DEAD) !== 0) {
    failItem(leaf, slot, `root flags are ${sayU64(view, start + AT.flags)}, some are unknown`);
  }
};

/** ROOT_REF and ROOT_BACKREF. */
export const checkRootRef: ItemCheck = (context, slot, start, size) => {
  const fixed = RootRef.byteLength;
  if (size < fixed) failItem(context.leaf, slot, `root reference has ${size} bytes, expected at least ${fixed}`);
  const length = context.view.getUint16(start + RootRef.offsets.nameLen, true);
  checkNameLength(context, slot, length);
  if (fixed + length !== size)
    failItem(context.leaf, slot, `name has ${length} bytes, the item ${size - fixed} for it`);
};
