import {
  COMPRESS_NONE,
  COMPRESS_ZSTD,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
  FileExtentItem,
  INLINE_DATA_AT,
} from "../format/file-extent.ts";
import { EXTENT_CSUM, EXTENT_DATA } from "../format/key-type.ts";
import { itemSize, itemStart } from "../format/node.ts";
import { checkFollowsInode } from "./check-inodes.ts";
import {
  checkAligned,
  type ItemCheck,
  type ItemContext,
  keyOffsetStart,
  keyStart,
  roundedU64,
  sameU64,
  sayU64,
  typeAt,
} from "./item-context.ts";
import { failItem } from "./problem.ts";

const { offsets: AT } = FileExtentItem;
const TWO_64 = 2 ** 64;

/** EXTENT_DATA. */
export const checkFileExtent: ItemCheck = (context, slot, start, size) => {
  const { view, leaf } = context;
  checkFollowsInode(context, slot);
  checkAligned(context, slot, keyOffsetStart(slot), "file offset");
  if (size < INLINE_DATA_AT) failItem(leaf, slot, `file extent has ${size} bytes, expected at least ${INLINE_DATA_AT}`);
  const type = view.getUint8(start + AT.type);
  if (type > FILE_EXTENT_PREALLOC) failItem(leaf, slot, `file extent is of type ${type}, expected 0 to 2`);
  const compression = view.getUint8(start + AT.compression);
  if (compression > COMPRESS_ZSTD) failItem(leaf, slot, `compression is ${compression}, expected 0 to 3`);
  const encryption = view.getUint8(start + AT.encryption);
  if (encryption !== 0) failItem(leaf, slot, `encryption is ${encryption}, expected 0`);
  if (type === FILE_EXTENT_INLINE) checkInline(context, slot, start, size, compression);
  else checkStored(context, slot, start, size);
  checkAfterPrevious(context, slot);
};

function checkInline(context: ItemContext, slot: number, start: number, size: number, compression: number): void {
  const { view, leaf } = context;
  const fileOffset = roundedU64(view, keyOffsetStart(slot));
  if (fileOffset !== 0) failItem(leaf, slot, `inline extent is at file offset ${fileOffset}, expected 0`);
  if (compression !== COMPRESS_NONE) return;
  const ramBytes = roundedU64(view, start + AT.ramBytes);
  if (ramBytes !== size - INLINE_DATA_AT) {
    failItem(leaf, slot, `inline extent says ${ramBytes} bytes, the item holds ${size - INLINE_DATA_AT}`);
  }
}

function checkStored(context: ItemContext, slot: number, start: number, size: number): void {
  const { view, leaf } = context;
  if (size !== FileExtentItem.byteLength) {
    failItem(leaf, slot, `file extent has ${size} bytes, expected ${FileExtentItem.byteLength}`);
  }
  checkAligned(context, slot, start + AT.ramBytes, "decoded length");
  checkAligned(context, slot, start + AT.diskBytenr, "address of the extent");
  checkAligned(context, slot, start + AT.diskNumBytes, "stored length");
  checkAligned(context, slot, start + AT.offset, "offset in the extent");
  checkAligned(context, slot, start + AT.numBytes, "length");
  // Multiples of a sector are exact; the sum may round, but not down to 2^64.
  if (roundedU64(view, keyOffsetStart(slot)) + roundedU64(view, start + AT.numBytes) >= TWO_64) {
    failItem(leaf, slot, `file extent of ${sayU64(view, start + AT.numBytes)} bytes ends past 2^64`);
  }
}

/** Extents of one file do not overlap. */
function checkAfterPrevious(context: ItemContext, slot: number): void {
  const { view, leaf, limits } = context;
  const before = slot - 1;
  if (before < 0 || typeAt(context, before) !== EXTENT_DATA || !sameU64(view, keyStart(before), keyStart(slot))) return;
  const start = itemStart(leaf, before);
  const offset = roundedU64(view, keyOffsetStart(before));
  const isInline = view.getUint8(start + AT.type) === FILE_EXTENT_INLINE;
  const end = isInline
    ? Math.ceil(roundedU64(view, start + AT.ramBytes) / limits.sectorSize) * limits.sectorSize
    : offset + roundedU64(view, start + AT.numBytes);
  if (end > roundedU64(view, keyOffsetStart(slot))) {
    failItem(
      leaf,
      slot,
      `file extent before it ends at ${end}, expected at most ${sayU64(view, keyOffsetStart(slot))}`,
    );
  }
}

/** EXTENT_CSUM. */
export const checkChecksums: ItemCheck = (context, slot, _start, size) => {
  const { view, leaf, limits } = context;
  const at = keyStart(slot);
  if (view.getUint32(at + 4, true) !== 0xffff_ffff || view.getUint32(at, true) !== 0xffff_fff6) {
    failItem(leaf, slot, `object id of checksums is ${sayU64(view, at)}, expected -10`);
  }
  checkAligned(context, slot, keyOffsetStart(slot), "address of checksums");
  if (size % limits.checksumSize !== 0) {
    failItem(leaf, slot, `checksums have ${size} bytes, expected a multiple of ${limits.checksumSize}`);
  }
  const before = slot - 1;
  if (before < 0 || typeAt(context, before) !== EXTENT_CSUM) return;
  const sectors = itemSize(leaf, before) / limits.checksumSize;
  const end = roundedU64(view, keyOffsetStart(before)) + sectors * limits.sectorSize;
  if (end > roundedU64(view, keyOffsetStart(slot))) {
    failItem(leaf, slot, `checksums before it end at ${end}, expected at most ${sayU64(view, keyOffsetStart(slot))}`);
  }
};
