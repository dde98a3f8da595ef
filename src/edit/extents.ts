import { viewOf } from "../bytes/bytes.ts";
import { asStruct, newStruct } from "../bytes/struct.ts";
import {
  COMPRESS_LZO,
  COMPRESS_ZSTD,
  decodeExtentData,
  decodeFileExtent,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
  FILE_EXTENT_REG,
  type FileExtent,
  FileExtentItem,
  INLINE_DATA_AT,
  type StoredExtent,
} from "../format/file-extent.ts";
import { type Key, keyOf } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { slotKey } from "../format/node.ts";
import { INCOMPAT_COMPRESS_LZO, INCOMPAT_COMPRESS_ZSTD, INCOMPAT_NO_HOLES } from "../format/superblock.ts";
import { bytesOf } from "../transaction/chunk-items.ts";
import { ceil, larger, smaller } from "./offsets.ts";
import type { Place } from "./place.ts";

/** A file extent to come: where it lies in its file, and what of which stored extent it shows. */
export interface NewExtent {
  /** File offset in bytes. */
  readonly at: bigint;
  /** File bytes. */
  readonly numBytes: bigint;
  /** Logical address and stored bytes of the whole extent. */
  readonly logical: number;
  readonly length: number;
  /** Decoded bytes of the whole extent. */
  readonly ramBytes: bigint;
  /** Where in the decoded extent this begins. */
  readonly offset: bigint;
  readonly compression: number;
  readonly isPrealloc?: boolean;
}

export function extentKey(inode: bigint, offset: bigint): Key {
  return keyOf(inode, EXTENT_DATA, offset);
}

/** Adds a file extent; its range has been dropped before. What it refers to counts one reference more. */
export async function insertExtent({ tx, tree }: Place, inode: bigint, extent: NewExtent): Promise<void> {
  const item = newStruct(FileExtentItem);
  item.generation = BigInt(tx.generation);
  item.ramBytes = extent.ramBytes;
  item.compression = extent.compression;
  item.type = extent.isPrealloc ? FILE_EXTENT_PREALLOC : FILE_EXTENT_REG;
  item.diskBytenr = BigInt(extent.logical);
  item.diskNumBytes = BigInt(extent.length);
  item.offset = extent.offset;
  item.numBytes = extent.numBytes;
  await tx.insert(tree, extentKey(inode, extent.at), bytesOf(item));
  if (extent.logical === 0) return;
  needCompression({ tx }, extent.compression);
  tx.changeDataRef(
    { logical: extent.logical, length: extent.length, tree, inode, offset: extent.at - extent.offset },
    1,
  );
}

/**
 * Puts a whole small file into its tree.
 *
 * @param data As it is stored.
 * @param ramBytes Decoded bytes.
 */
export async function insertInline(
  { tx, tree }: Place,
  inode: bigint,
  data: Uint8Array,
  ramBytes: number,
  compression: number,
): Promise<void> {
  tx.adds = true;
  const bytes = new Uint8Array(INLINE_DATA_AT + data.byteLength);
  bytes.set(data, INLINE_DATA_AT);
  const view = viewOf(bytes);
  view.setBigUint64(FileExtentItem.offsets.generation, BigInt(tx.generation), true);
  view.setBigUint64(FileExtentItem.offsets.ramBytes, BigInt(ramBytes), true);
  view.setUint8(FileExtentItem.offsets.compression, compression);
  view.setUint8(FileExtentItem.offsets.type, FILE_EXTENT_INLINE);
  await tx.insert(tree, extentKey(inode, 0n), bytes);
  needCompression({ tx }, compression);
}

/** Says in the superblock that the algorithm is needed; zlib always is. */
export function needCompression({ tx }: Pick<Place, "tx">, compression: number): void {
  if (compression === COMPRESS_LZO) tx.needIncompat(INCOMPAT_COMPRESS_LZO);
  else if (compression === COMPRESS_ZSTD) tx.needIncompat(INCOMPAT_COMPRESS_ZSTD);
}

/** The first file extent that has bytes of `[start, end)`: bytes of its own for inline data. */
export async function firstExtent(
  { tx, tree }: Place,
  inode: bigint,
  start: bigint,
  end: bigint,
): Promise<FileExtent | undefined> {
  const known = knownExtent({ tx, tree }, inode, start, end);
  if (known !== null) return known;
  const before = await tx.find(tree, extentKey(inode, start), "atOrBefore");
  if (before !== undefined) {
    const key = slotKey(before.leaf, before.first);
    if (key.objectid === inode && key.type === EXTENT_DATA) {
      const extent = decodeFileExtent(before.leaf, before.first);
      if (extentEnd(extent, tx.volume.sectorSize) > start) return owned(extent);
    }
  }
  const walk = await tx.walk(tree, { first: extentKey(inode, start), last: extentKey(inode, end) });
  const next = await walk.next();
  return next === undefined ? undefined : owned(decodeFileExtent(next.leaf, next.first));
}

/** As `firstExtent`, of a file that is in memory with all it has; `null` of any other. */
function knownExtent(
  { tx, tree }: Pick<Place, "tx" | "tree">,
  inode: bigint,
  start: bigint,
  end: bigint,
): FileExtent | undefined | null {
  const items = tx.knownItems(tree);
  const number = Number(inode);
  if (items?.isWhole(number) !== true) return null;
  for (const item of items.itemsOf(number)) {
    if (item.type !== EXTENT_DATA || item.data === undefined) continue;
    if (BigInt(item.offset) >= end) return undefined;
    const extent = decodeExtentData(item.view, 0, item.data.byteLength, BigInt(item.offset), () => ({ tree, inode }));
    if (extentEnd(extent, tx.volume.sectorSize) > start) return owned(extent);
  }
  return undefined;
}

/** File offset behind an extent; that of inline data is behind its sector. */
export function extentEnd(extent: FileExtent, sectorSize: number): bigint {
  if (extent.type !== FILE_EXTENT_INLINE) return extent.fileOffset + extent.numBytes;
  const sector = BigInt(sectorSize);
  return larger(ceil(extent.ramBytes, sector), sector);
}

function owned(extent: FileExtent): FileExtent {
  return extent.type === FILE_EXTENT_INLINE ? { ...extent, data: extent.data.slice() } : extent;
}

/**
 * Takes the file extents out of `[start, end)`, whole sectors. What reaches over the borders is cut; inline data has to
 * lie within.
 *
 * @returns Bytes that the inode's `nbytes` loses.
 */
export async function dropExtents(at: Place, inode: bigint, start: bigint, end: bigint): Promise<bigint> {
  const { tx, tree } = at;
  const { sectorSize } = tx.volume;
  let dropped = 0n;
  for (;;) {
    const extent = await firstExtent(at, inode, start, end);
    if (extent === undefined) return dropped;
    const from = extent.fileOffset;
    const to = extentEnd(extent, sectorSize);
    if (extent.type === FILE_EXTENT_INLINE) {
      if (start > 0n || end < to)
        throw new RangeError(`Cannot drop ${start} to ${end} of inline data: it is one piece`);
      await tx.remove(tree, extentKey(inode, 0n));
      dropped += extent.ramBytes;
      continue;
    }
    const isHole = extent.diskBytenr === 0;
    const cut = smaller(to, end) - larger(from, start);
    if (!isHole) dropped += cut;
    if (from < start) {
      await editExtent(at, inode, from, (item) => {
        item.numBytes = start - from;
      });
      if (to > end) await insertRest(at, inode, extent, end, to);
    } else if (to > end) {
      await tx.rekey(tree, extentKey(inode, from), extentKey(inode, end));
      await editExtent(at, inode, end, (item) => {
        item.offset = isHole ? 0n : item.offset + (end - from);
        item.numBytes = to - end;
      });
    } else {
      await tx.remove(tree, extentKey(inode, from));
      if (!isHole) tx.changeDataRef(refOf(at, inode, extent), -1);
    }
  }
}

/** The part of a cut extent behind the cut, as an item of its own. */
async function insertRest(at: Place, inode: bigint, extent: StoredExtent, from: bigint, to: bigint): Promise<void> {
  const { tx, tree } = at;
  const isHole = extent.diskBytenr === 0;
  const item = newStruct(FileExtentItem);
  item.generation = extent.generation;
  item.ramBytes = extent.ramBytes;
  item.compression = extent.compression;
  item.type = extent.type;
  item.diskBytenr = BigInt(extent.diskBytenr);
  item.diskNumBytes = BigInt(extent.diskNumBytes);
  item.offset = isHole ? 0n : extent.offset + (from - extent.fileOffset);
  item.numBytes = to - from;
  await tx.insert(tree, extentKey(inode, from), bytesOf(item));
  if (!isHole) tx.changeDataRef(refOf(at, inode, extent), 1);
}

function refOf({ tree }: Place, inode: bigint, extent: StoredExtent) {
  const { diskBytenr: logical, diskNumBytes: length, fileOffset, offset } = extent;
  return { logical, length, tree, inode, offset: fileOffset - offset };
}

async function editExtent(
  { tx, tree }: Place,
  inode: bigint,
  offset: bigint,
  change: (item: InstanceType<typeof FileExtentItem>) => void,
): Promise<void> {
  await tx.edit(tree, extentKey(inode, offset), (view) => change(asStruct(FileExtentItem, view)));
}

/** Whether holes need no item. */
export function hasNoHoles({ tx }: Pick<Place, "tx">): boolean {
  return (tx.superblock.incompatFlags & INCOMPAT_NO_HOLES) !== 0n;
}

/** Makes `[start, end)`, which has no extent, a hole: with an item, where the filesystem has items for them. */
export async function insertHole(at: Place, inode: bigint, start: bigint, end: bigint): Promise<void> {
  if (start >= end || hasNoHoles(at)) return;
  const numBytes = end - start;
  await insertExtent(at, inode, {
    at: start,
    numBytes,
    logical: 0,
    length: 0,
    ramBytes: numBytes,
    offset: 0n,
    compression: 0,
  });
}
