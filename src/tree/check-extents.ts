import { BlockGroupItem } from "../format/block-group.ts";
import { ExtentDataRef, ExtentItem, inlineRefSize, TreeBlockInfo } from "../format/extent-item.ts";
import {
  EXTENT_DATA_REF,
  EXTENT_ITEM,
  METADATA_ITEM,
  SHARED_BLOCK_REF,
  SHARED_DATA_REF,
  TREE_BLOCK_REF,
} from "../format/key-type.ts";
import { MAX_LEVEL } from "../format/node.ts";
import { packedDataRefHash } from "./hash.ts";
import {
  checkAligned,
  checkGenerationAt,
  type ItemCheck,
  type ItemContext,
  isZeroU64,
  keyOffsetStart,
  keyStart,
  roundedU64,
  sayU64,
  typeAt,
} from "./item-context.ts";
import { failItem } from "./problem.ts";

const { offsets: AT } = ExtentItem;
const DATA = 1;
const TREE_BLOCK = 2;
const FULL_BACKREF = 0x100;

/** EXTENT_ITEM and METADATA_ITEM. */
export const checkExtentItem: ItemCheck = (context, slot, start, size) => {
  const { view, leaf, limits } = context;
  if (size < ExtentItem.byteLength) {
    failItem(leaf, slot, `extent item has ${size} bytes, expected at least ${ExtentItem.byteLength}`);
  }
  checkAligned(context, slot, keyStart(slot), "address of the extent");
  if (isZeroU64(view, start + AT.refs)) failItem(leaf, slot, "extent has 0 references, expected at least 1");
  checkGenerationAt(context, slot, start + AT.generation, "generation of the extent");
  const flags = view.getUint32(start + AT.flags, true);
  const kind = flags & (DATA | TREE_BLOCK);
  if (kind !== DATA && kind !== TREE_BLOCK) {
    failItem(leaf, slot, `extent flags are 0x${flags.toString(16)}, expected either data or tree block`);
  }
  const isMetadata = typeAt(context, slot) === METADATA_ITEM;
  const length = roundedU64(view, keyOffsetStart(slot));
  let refsAt = start + ExtentItem.byteLength;
  if (kind === DATA) {
    checkDataExtent(context, slot, isMetadata, flags);
  } else if (isMetadata) {
    if (length >= MAX_LEVEL) failItem(leaf, slot, `level of the block is ${length}, expected below ${MAX_LEVEL}`);
  } else {
    if (length !== limits.nodeSize) failItem(leaf, slot, `block has ${length} bytes, expected ${limits.nodeSize}`);
    checkBlockInfo(context, slot, refsAt, start + size);
    refsAt += TreeBlockInfo.byteLength;
  }
  checkInlineRefs(context, slot, refsAt, start + size, start + AT.refs);
  checkAfterPrevious(context, slot);
};

function checkDataExtent(context: ItemContext, slot: number, isMetadata: boolean, flags: number): void {
  if (isMetadata) failItem(context.leaf, slot, "extent of data has the key of a tree block");
  if ((flags & FULL_BACKREF) !== 0) failItem(context.leaf, slot, "extent of data has full back references");
  checkAligned(context, slot, keyOffsetStart(slot), "length of the extent");
}

function checkBlockInfo(context: ItemContext, slot: number, at: number, end: number): void {
  if (at + TreeBlockInfo.byteLength > end) {
    failItem(
      context.leaf,
      slot,
      `key and level of the block have ${end - at} bytes, expected ${TreeBlockInfo.byteLength}`,
    );
  }
  const level = context.view.getUint8(at + TreeBlockInfo.offsets.level);
  if (level >= MAX_LEVEL) failItem(context.leaf, slot, `level of the block is ${level}, expected below ${MAX_LEVEL}`);
}

/** References fill the item; types ascend, within a type what they sort by descends; together they are at most `refs`. */
function checkInlineRefs(context: ItemContext, slot: number, from: number, end: number, refsAt: number): void {
  const { view, leaf } = context;
  let refs = 0;
  let at = from;
  let before = -1;
  while (at < end) {
    const type = view.getUint8(at);
    const size = inlineRefSize(type);
    if (size === undefined) failItem(leaf, slot, `inline reference is of type ${type}, which is unknown`);
    if (at + size > end) failItem(leaf, slot, `inline reference ends ${at + size - end} bytes after the item`);
    refs += countInline(context, slot, type, at + 1);
    if (before >= 0) checkOrder(context, slot, before, at);
    before = at;
    at += size;
  }
  if (roundedU64(view, refsAt) < refs) {
    failItem(leaf, slot, `extent has ${sayU64(view, refsAt)} references, ${refs} are inline`);
  }
}

/** What one inline reference, whose type byte is before `at`, counts for. */
function countInline(context: ItemContext, slot: number, type: number, at: number): number {
  const { view, leaf } = context;
  let count = 1;
  if (type === TREE_BLOCK_REF) return count;
  if (type === SHARED_BLOCK_REF || type === SHARED_DATA_REF) checkAligned(context, slot, at, "address of a referrer");
  if (type === SHARED_BLOCK_REF) return count;
  if (type === SHARED_DATA_REF) count = view.getUint32(at + 8, true);
  else if (type === EXTENT_DATA_REF) {
    checkAligned(context, slot, at + ExtentDataRef.offsets.offset, "file offset of a reference");
    count = view.getUint32(at + ExtentDataRef.offsets.count, true);
  } else return 0;
  if (count === 0) failItem(leaf, slot, "reference counts 0, expected at least 1");
  return count;
}

function checkOrder(context: ItemContext, slot: number, before: number, at: number): void {
  const { view, leaf } = context;
  const type = view.getUint8(at);
  const typeBefore = view.getUint8(before);
  if (type < typeBefore) failItem(leaf, slot, `inline reference of type ${type} follows type ${typeBefore}`);
  if (type !== typeBefore) return;
  const ascends =
    type === EXTENT_DATA_REF
      ? packedDataRefHash(leaf.bytes, at + 1) > packedDataRefHash(leaf.bytes, before + 1)
      : view.getBigUint64(at + 1, true) > view.getBigUint64(before + 1, true);
  if (ascends) failItem(leaf, slot, `inline references of type ${type} ascend, expected a falling order`);
}

/** Extents do not overlap. */
function checkAfterPrevious(context: ItemContext, slot: number): void {
  const { view, leaf, limits } = context;
  const before = slot - 1;
  if (before < 0) return;
  const type = typeAt(context, before);
  if (type !== EXTENT_ITEM && type !== METADATA_ITEM) return;
  const length = type === METADATA_ITEM ? limits.nodeSize : roundedU64(view, keyOffsetStart(before));
  const end = roundedU64(view, keyStart(before)) + length;
  if (end > roundedU64(view, keyStart(slot))) {
    failItem(leaf, slot, `extent before it ends at ${end}, expected at most ${sayU64(view, keyStart(slot))}`);
  }
}

/** TREE_BLOCK_REF, SHARED_BLOCK_REF and SHARED_DATA_REF. */
export const checkKeyedRef: ItemCheck = (context, slot, _start, size) => {
  const type = typeAt(context, slot);
  const expected = type === SHARED_DATA_REF ? 4 : 0;
  if (size !== expected) failItem(context.leaf, slot, `reference has ${size} bytes, expected ${expected}`);
  checkAligned(context, slot, keyStart(slot), "address of the extent");
  if (type !== TREE_BLOCK_REF) checkAligned(context, slot, keyOffsetStart(slot), "address of a referrer");
};

/** EXTENT_DATA_REF. */
export const checkDataRefs: ItemCheck = (context, slot, start, size) => {
  const { byteLength, offsets } = ExtentDataRef;
  if (size === 0 || size % byteLength !== 0) {
    failItem(context.leaf, slot, `references have ${size} bytes, expected a multiple of ${byteLength}`);
  }
  checkAligned(context, slot, keyStart(slot), "address of the extent");
  for (let at = start; at < start + size; at += byteLength) {
    checkAligned(context, slot, at + offsets.offset, "file offset of a reference");
  }
};

/** BLOCK_GROUP_ITEM. */
export const checkBlockGroup: ItemCheck = (context, slot, start, size) => {
  const { view, leaf } = context;
  const { byteLength, offsets } = BlockGroupItem;
  if (size !== byteLength) failItem(leaf, slot, `block group has ${size} bytes, expected ${byteLength}`);
  const length = roundedU64(view, keyOffsetStart(slot));
  if (length === 0) failItem(leaf, slot, "block group covers 0 bytes, expected at least 1");
  const used = roundedU64(view, start + offsets.used);
  if (used > length) failItem(leaf, slot, `${used} bytes of the block group are used, it has ${length}`);
  const owner = roundedU64(view, start + offsets.chunkObjectid);
  if (owner !== 256) failItem(leaf, slot, `chunk object id is ${owner}, expected 256`);
  const flags = view.getUint32(start + offsets.flags, true);
  const profile = flags & 0x7f8;
  const type = flags & 7;
  if ((profile & (profile - 1)) !== 0)
    failItem(leaf, slot, `block group flags 0x${flags.toString(16)} have two profiles`);
  if (type !== 1 && type !== 2 && type !== 4 && type !== 5) {
    failItem(leaf, slot, `block group flags are 0x${flags.toString(16)}, expected data, metadata, both or system`);
  }
};
