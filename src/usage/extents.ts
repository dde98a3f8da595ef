import type { NumberSet } from "../bytes/number-set.ts";
import { readSafe } from "../bytes/u64.ts";
import { CorruptError } from "../errors.ts";
import {
  COMPRESS_ZSTD,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
  FileExtentItem,
  INLINE_DATA_AT,
} from "../format/file-extent.ts";
import { itemSize, itemStart, itemWhere, type Leaf } from "../format/node.ts";
import type { LeafSpan } from "../tree/source.ts";
import { PREALLOC, type Tally } from "./tally.ts";

const { offsets: AT } = FileExtentItem;

/**
 * Adds the extents of a leaf's EXTENT_DATA items to `tally`; those of `seen` have been counted, only that they are used
 * again is. Holes are nothing.
 *
 * @throws {BtrfsError} for items that can't be; those before them have been added.
 */
export function countExtents({ leaf, first, last }: LeafSpan, tally: Tally, seen: NumberSet): void {
  for (let slot = first; slot < last; slot++) countExtent(leaf, slot, tally, seen);
}

function countExtent(leaf: Leaf, slot: number, tally: Tally, seen: NumberSet): void {
  const wrong = countExtentItem(leaf.view, itemStart(leaf, slot), itemSize(leaf, slot), tally, seen);
  if (wrong !== undefined) throw new CorruptError(`Cannot count file extent: ${wrong}`, itemWhere(leaf, slot));
}

/**
 * Adds one `struct btrfs_file_extent_item`, which lies at `start` of `view`.
 *
 * @returns What is wrong with one that can't be; it has not been added.
 */
export function countExtentItem(
  view: DataView,
  start: number,
  size: number,
  tally: Tally,
  seen: NumberSet,
): string | undefined {
  const isInline = size > INLINE_DATA_AT && view.getUint8(start + AT.type) === FILE_EXTENT_INLINE;
  if (!isInline && size !== FileExtentItem.byteLength) return `the item has ${size} bytes`;
  const compression = view.getUint8(start + AT.compression);
  if (compression > COMPRESS_ZSTD) return `its compression is ${compression}`;
  if (isInline) {
    const ramBytes = readSafe(view, start + AT.ramBytes, "decoded length");
    tally.add(compression, size - INLINE_DATA_AT, ramBytes, ramBytes);
    tally.inline++;
    return undefined;
  }
  const address = readSafe(view, start + AT.diskBytenr, "extent address");
  // A hole may be longer than anything that is stored.
  if (address === 0) return undefined;
  const ramBytes = readSafe(view, start + AT.ramBytes, "decoded length");
  const type = view.getUint8(start + AT.type) === FILE_EXTENT_PREALLOC ? PREALLOC : compression;
  const stored = readSafe(view, start + AT.diskNumBytes, "extent length");
  const used = readSafe(view, start + AT.numBytes, "length of a file extent");
  const isNew = seen.add(address);
  tally.add(type, isNew ? stored : 0, isNew ? ramBytes : 0, used);
  tally.references++;
  if (isNew) tally.extents++;
  return undefined;
}
