import { loadCodecs } from "#codec";
import { BtrfsError } from "../errors.ts";
import { COMPRESS_NONE, FILE_EXTENT_INLINE, FILE_EXTENT_PREALLOC, INLINE_DATA_AT } from "../format/file-extent.ts";
import { INODE_NODATACOW, INODE_NODATASUM, INODE_PREALLOC, INODE_RO_VERITY, S_IFMT, S_IFREG } from "../format/inode.ts";
import { ITEM_HEADER_BYTES } from "../format/node.ts";
import { leafCapacity } from "../transaction/leaf.ts";
import { setTime } from "../transaction/new-items.ts";
import { type Algorithm, COMPRESSION_NUMBERS, readContent } from "./content.ts";
import { dropExtents, extentEnd, firstExtent, insertExtent, insertHole, insertInline } from "./extents.ts";
import { editInode, type InodeView, readInode } from "./inode.ts";
import { ceil, floor, larger, smaller } from "./offsets.ts";
import type { Place } from "./place.ts";

export interface WriteOptions {
  /** Compresses what gets smaller by it. */
  readonly compress?: { readonly algorithm: Algorithm; readonly level?: number | undefined } | undefined;
  /** Files of at most so many bytes lie in the tree; 2048 by default, 0 for none. */
  readonly maxInline?: number | undefined;
}

/** Input of one compressed extent. */
const PIECE_BYTES = 131_072;
/** An uncompressed extent is at most so long. */
const MAX_EXTENT_BYTES = 128 << 20;
const MAX_INLINE = 2048;
export const MAX_FILE_BYTES = (1n << 63n) - 1n;

/** Whether data of an inode has no checksums, and is never compressed. */
function isPlain({ flags }: InodeView): boolean {
  return (flags & BigInt(INODE_NODATASUM | INODE_NODATACOW)) !== 0n;
}

/** @throws {BtrfsError} `kind` unless it is a regular file; `unsupported` with fs-verity. */
export async function readFile(at: Place, inode: bigint): Promise<InodeView> {
  const item = await readInode(at, inode);
  const where = { where: { tree: at.tree, inode } };
  if ((item.mode & S_IFMT) !== S_IFREG)
    throw new BtrfsError("kind", "Cannot change content: it is no regular file", where);
  if (((item.flags >> 32n) & BigInt(INODE_RO_VERITY)) !== 0n) {
    throw new BtrfsError("unsupported", "Cannot change content: fs-verity protects the file", where);
  }
  return item;
}

/** Writes `data` at `offset` of a file. What is in between the old end and there becomes a hole. */
export async function writeFile(
  at: Place,
  inode: bigint,
  offset: bigint,
  data: Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  const item = await readFile(at, inode);
  if (data.byteLength === 0) return;
  const end = offset + BigInt(data.byteLength);
  demandLength(at, inode, end);
  const size = larger(end, item.size);
  let added = offset === 0n && size === end ? await storeInline(at, inode, data, item, options) : undefined;
  if (added === undefined) {
    const sector = sectorOf(at);
    const first = floor(offset, sector);
    added = await prepareWrite(at, inode, item, offset, first);
    const whole = await wholeSectors(at, inode, first, ceil(end, sector), offset, data);
    added += await storeSectors(at, inode, first, whole, size, isPlain(item), options);
  }
  await noteWrite(at, inode, size, added);
}

/**
 * Makes a file ready for extents from `first` on: inline data moves into an extent, what lies behind the end of the last
 * sector becomes zero, and the gap behind it a hole.
 *
 * @returns Bytes that the inode's `nbytes` gains.
 */
export async function prepareWrite(
  at: Place,
  inode: bigint,
  item: InodeView,
  offset: bigint,
  first: bigint,
): Promise<bigint> {
  const sector = sectorOf(at);
  let added = await convertInline(at, inode, item);
  if (offset > item.size) added += await zeroTail(at, inode, item);
  for (let from = ceil(item.size, sector); from < first; ) {
    const next = await firstExtent(at, inode, from, first);
    await insertHole(at, inode, from, next === undefined ? first : next.fileOffset);
    from = next === undefined ? first : extentEnd(next, Number(sector));
  }
  return added;
}

/** Sets the length of a file. What is cut off is gone; what is added is a hole. */
export async function truncateFile(at: Place, inode: bigint, size: bigint): Promise<void> {
  const item = await readFile(at, inode);
  demandLength(at, inode, size);
  const sector = sectorOf(at);
  let added = 0n;
  if (size < item.size) {
    const first = await firstExtent(at, inode, 0n, sector);
    if (first?.type === FILE_EXTENT_INLINE) {
      added = await truncateInline(at, inode, item, size);
    } else {
      added -= await dropExtents(at, inode, ceil(size, sector), BEHIND_ALL);
      if (size % sector !== 0n) added += await rewriteSector(at, inode, item, floor(size, sector), size);
    }
  } else if (size > item.size) {
    added = await prepareWrite(at, inode, item, size, ceil(size, sector));
  }
  await noteWrite(at, inode, size, added);
}

/** Makes `[start, end)` read as zeros without taking space, as far as whole sectors go. The length stays. */
export async function punchHole(at: Place, inode: bigint, start: bigint, end: bigint): Promise<void> {
  const item = await readFile(at, inode);
  const sector = sectorOf(at);
  const last = end < item.size ? end : ceil(end, sector);
  if (start >= last) return;
  let added = await convertInline(at, inode, item);
  const from = ceil(start, sector);
  const to = floor(last, sector);
  added += await zeroPart(at, inode, item, start, smaller(from, last));
  if (to >= from) added += await zeroPart(at, inode, item, to, last);
  if (from < to) {
    added -= await dropExtents(at, inode, from, to);
    const covered = ceil(item.size, sector);
    await insertHole(at, inode, from, smaller(to, covered));
  }
  await noteWrite(at, inode, item.size, added);
}

/** Zeros of a part of one sector, if anything is there. @returns Bytes that `nbytes` gains. */
async function zeroPart(at: Place, inode: bigint, item: InodeView, start: bigint, end: bigint): Promise<bigint> {
  if (start >= end || start >= item.size) return 0n;
  const sector = sectorOf(at);
  const first = floor(start, sector);
  if ((await firstExtent(at, inode, first, first + sector)) === undefined) return 0n;
  const whole = await wholeSectors(at, inode, first, first + sector, start, new Uint8Array(Number(end - start)));
  return storeSectors(at, inode, first, whole, item.size, isPlain(item), {});
}

/** Sets aside space for the holes in `[start, end)`. The file gets longer, unless `keepSize`. */
export async function preallocate(
  at: Place,
  inode: bigint,
  start: bigint,
  end: bigint,
  options: { readonly keepSize?: boolean } = {},
): Promise<void> {
  const item = await readFile(at, inode);
  demandLength(at, inode, end);
  const sector = sectorOf(at);
  let added = await prepareWrite(at, inode, item, start, floor(start, sector));
  for (let from = floor(start, sector); from < end; ) {
    const last = ceil(end, sector);
    const next = await firstExtent(at, inode, from, last);
    if (next !== undefined && next.fileOffset <= from) {
      const to = extentEnd(next, Number(sector));
      const isHole = next.type !== FILE_EXTENT_INLINE && next.diskBytenr === 0;
      if (isHole) added += await setAside(at, inode, from, smaller(to, last));
      from = to;
      continue;
    }
    const to = next === undefined ? last : next.fileOffset;
    added += await setAside(at, inode, from, to);
    from = to;
  }
  await noteWrite(at, inode, options.keepSize ? item.size : larger(end, item.size), added, INODE_PREALLOC);
}

async function setAside(at: Place, inode: bigint, start: bigint, end: bigint): Promise<bigint> {
  await dropExtents(at, inode, start, end);
  for (let from = start; from < end; ) {
    const wanted = Number(smaller(end - from, MAX_PREALLOC));
    const { logical, length } = await at.tx.data.allocateUpTo(wanted);
    const numBytes = BigInt(length);
    await insertExtent(at, inode, {
      at: from,
      numBytes,
      logical,
      length,
      ramBytes: numBytes,
      offset: 0n,
      compression: COMPRESS_NONE,
      isPrealloc: true,
    });
    from += numBytes;
  }
  return end - start;
}

/** What a clone reads. */
export interface CloneSource {
  /** Object id of the subvolume. */
  readonly tree: bigint;
  readonly inode: bigint;
  /** File offset in bytes. */
  readonly offset: bigint;
}

/**
 * Lets `length` bytes of one file show what lies in another, or in another place of the same, without a copy.
 *
 * @param length Whole sectors, unless the source ends there and the target does not go on behind.
 * @throws {BtrfsError} `kind` for what can't be shared: part of a sector, or only one of them with checksums.
 */
export async function cloneRange(
  at: Place,
  inode: bigint,
  offset: bigint,
  source: CloneSource,
  length: bigint,
): Promise<void> {
  const item = await readFile(at, inode);
  const from: Place = { ...at, tree: source.tree };
  const origin = await readFile(from, source.inode);
  const sector = sectorOf(at);
  const end = offset + length;
  const sourceEnd = source.offset + length;
  const isWhole = length % sector === 0n || (sourceEnd === origin.size && end >= item.size);
  if (offset % sector !== 0n || source.offset % sector !== 0n || !isWhole || sourceEnd > origin.size) {
    refuseClone(at, inode, `${length} bytes from ${source.offset} to ${offset} are not whole sectors of the source`);
  }
  if (hasChecksums(item) !== hasChecksums(origin)) refuseClone(at, inode, "only one of the files has checksums");
  const isSame = source.tree === at.tree && source.inode === inode;
  if (isSame && offset < sourceEnd && source.offset < end) refuseClone(at, inode, "the ranges overlap");
  demandLength(at, inode, end);
  const size = larger(end, item.size);
  let added = await prepareWrite(at, inode, item, offset, offset);
  const last = ceil(sourceEnd, sector);
  added -= await dropExtents(at, inode, offset, offset + (last - source.offset));
  const shift = offset - source.offset;
  for (let position = source.offset; position < last; ) {
    const extent = await firstExtent(from, source.inode, position, last);
    const first = extent === undefined ? last : larger(extent.fileOffset, position);
    await insertHole(at, inode, position + shift, first + shift);
    if (extent === undefined) break;
    const behind = extentEnd(extent, Number(sector));
    const to = smaller(behind, last);
    if (extent.type === FILE_EXTENT_INLINE) {
      // Inline data is nobody's extent: it is copied, into a sector of its own.
      const whole = new Uint8Array(Number(sector));
      await readContent(from, source.inode, 0n, whole);
      added += await storeSectors(at, inode, first + shift, whole, size, isPlain(item), {});
    } else {
      await insertExtent(at, inode, {
        at: first + shift,
        numBytes: to - first,
        logical: extent.diskBytenr,
        length: extent.diskNumBytes,
        ramBytes: extent.ramBytes,
        offset: extent.diskBytenr === 0 ? 0n : extent.offset + (first - extent.fileOffset),
        compression: extent.compression,
        isPrealloc: extent.type === FILE_EXTENT_PREALLOC,
      });
      if (extent.diskBytenr !== 0) added += to - first;
    }
    position = to;
  }
  await noteWrite(at, inode, size, added);
}

function refuseClone(at: Place, inode: bigint, why: string): never {
  throw new BtrfsError("kind", `Cannot clone: ${why}`, { where: { tree: at.tree, inode } });
}

function hasChecksums({ flags }: InodeView): boolean {
  return (flags & BigInt(INODE_NODATASUM)) === 0n;
}

/** Stores a small file in its tree, in place of all that it had. @returns What `nbytes` gains; `undefined`: it does not fit. */
async function storeInline(
  at: Place,
  inode: bigint,
  data: Uint8Array,
  item: InodeView,
  { compress, maxInline = MAX_INLINE }: WriteOptions,
): Promise<bigint | undefined> {
  const { sectorSize } = at.tx.volume;
  const limit = Math.min(maxInline, sectorSize - 1, maxInlineBytes(at));
  if (data.byteLength > sectorSize) return undefined;
  const packed =
    compress === undefined || isPlain(item) ? undefined : await compressed(at, data, compress, limit, true);
  if (packed === undefined && data.byteLength > limit) return undefined;
  if ((await firstExtent(at, inode, BigInt(sectorSize), BEHIND_ALL)) !== undefined) return undefined;
  const dropped = await dropExtents(at, inode, 0n, BigInt(sectorSize));
  const number = packed === undefined ? COMPRESS_NONE : COMPRESSION_NUMBERS[compress!.algorithm];
  await insertInline(at, inode, packed ?? data, data.byteLength, number);
  return BigInt(data.byteLength) - dropped;
}

/** `data` compressed; `undefined` when that does not make it shorter, or longer than `limit`. */
async function compressed(
  at: Place,
  data: Uint8Array,
  { algorithm, level }: NonNullable<WriteOptions["compress"]>,
  limit: number,
  inline: boolean,
): Promise<Uint8Array | undefined> {
  const room = Math.min(limit, data.byteLength - 1);
  if (room <= 0) return undefined;
  const output = new Uint8Array(room);
  const options = { sectorSize: at.tx.volume.sectorSize, inline, ...(level === undefined ? {} : { level }) };
  const length = (await loadCodecs()).encode(algorithm, data, output, options);
  return length === 0 ? undefined : output.subarray(0, length);
}

/** Moves inline data into an extent. @returns Bytes that `nbytes` gains. */
async function convertInline(at: Place, inode: bigint, item: InodeView): Promise<bigint> {
  const sector = sectorOf(at);
  const first = await firstExtent(at, inode, 0n, sector);
  if (first?.type !== FILE_EXTENT_INLINE) return 0n;
  const whole = new Uint8Array(Number(sector));
  await readContent(at, inode, 0n, whole);
  return storeSectors(at, inode, 0n, whole, item.size, isPlain(item), {});
}

async function truncateInline(at: Place, inode: bigint, item: InodeView, size: bigint): Promise<bigint> {
  const data = new Uint8Array(Number(size));
  await readContent(at, inode, 0n, data);
  const dropped = await dropExtents(at, inode, 0n, BEHIND_ALL);
  if (size === 0n) return -dropped;
  const stored = await storeInline(at, inode, data, item, {});
  if (stored !== undefined) return stored - dropped;
  const whole = new Uint8Array(Number(sectorOf(at)));
  whole.set(data);
  return (await storeSectors(at, inode, 0n, whole, size, isPlain(item), {})) - dropped;
}

/** What lies behind the end in the last sector shows when the file gets longer: an encoded write may have left anything. */
async function zeroTail(at: Place, inode: bigint, item: InodeView): Promise<bigint> {
  const sector = sectorOf(at);
  return item.size % sector === 0n ? 0n : rewriteSector(at, inode, item, floor(item.size, sector), item.size);
}

/** Stores one sector anew, zero from `end` on, unless it is a hole. */
async function rewriteSector(at: Place, inode: bigint, item: InodeView, first: bigint, end: bigint): Promise<bigint> {
  const sector = sectorOf(at);
  const extent = await firstExtent(at, inode, first, first + sector);
  if (extent === undefined || extent.type === FILE_EXTENT_PREALLOC) return 0n;
  if (extent.type !== FILE_EXTENT_INLINE && extent.diskBytenr === 0) return 0n;
  const whole = new Uint8Array(Number(sector));
  await readContent(at, inode, first, whole.subarray(0, Number(end - first)));
  return storeSectors(at, inode, first, whole, end, isPlain(item), {});
}

/** `[first, last)` of the file with `data` written over it from `offset` on. */
async function wholeSectors(
  at: Place,
  inode: bigint,
  first: bigint,
  last: bigint,
  offset: bigint,
  data: Uint8Array,
): Promise<Uint8Array> {
  const length = Number(last - first);
  if (data.byteLength === length) return data;
  const sector = at.tx.volume.sectorSize;
  const whole = new Uint8Array(length);
  const from = Number(offset - first);
  const to = from + data.byteLength;
  if (from > 0) await readContent(at, inode, first, whole.subarray(0, sector));
  if (to < length && (length > sector || from === 0)) {
    await readContent(at, inode, last - BigInt(sector), whole.subarray(length - sector));
  }
  whole.set(data, from);
  return whole;
}

/**
 * Stores whole sectors in place of what is there.
 *
 * @param size Length of the file: what is behind it is not compressed.
 * @returns Bytes that the inode's `nbytes` gains.
 */
async function storeSectors(
  at: Place,
  inode: bigint,
  first: bigint,
  data: Uint8Array,
  size: bigint,
  isPlainFile: boolean,
  { compress }: WriteOptions,
): Promise<bigint> {
  const length = BigInt(data.byteLength);
  const dropped = await dropExtents(at, inode, first, first + length);
  let plainFrom = 0;
  const storePlain = async (to: number): Promise<void> => {
    for (let from = plainFrom; from < to; from += MAX_EXTENT_BYTES) {
      const part = data.subarray(from, Math.min(to, from + MAX_EXTENT_BYTES));
      await at.tx.data.writePieces(part, !isPlainFile, async ({ logical, length: stored }, done) => {
        const numBytes = BigInt(stored);
        const place = { at: first + BigInt(from + done), numBytes, logical, length: stored };
        await insertExtent(at, inode, { ...place, ramBytes: numBytes, offset: 0n, compression: COMPRESS_NONE });
      });
    }
  };
  if (compress !== undefined && !isPlainFile) {
    for (let from = 0; from < data.byteLength; from += PIECE_BYTES) {
      const to = Math.min(from + PIECE_BYTES, data.byteLength);
      const end = Math.min(to, Number(size - first));
      if (!(await storeCompressed(at, inode, first + BigInt(from), data.subarray(from, end), to - from, compress)))
        continue;
      await storePlain(from);
      plainFrom = to;
    }
  }
  await storePlain(data.byteLength);
  return length - dropped;
}

/** Stores one compressed extent. @returns Whether it saves a sector at least. */
async function storeCompressed(
  at: Place,
  inode: bigint,
  offset: bigint,
  data: Uint8Array,
  fileBytes: number,
  compress: NonNullable<WriteOptions["compress"]>,
): Promise<boolean> {
  const { sectorSize } = at.tx.volume;
  const packed = await compressed(at, data, compress, fileBytes - sectorSize, false);
  if (packed === undefined) return false;
  const stored = new Uint8Array(Math.ceil(packed.byteLength / sectorSize) * sectorSize);
  stored.set(packed);
  const { logical, length } = await at.tx.data.write(stored);
  await insertExtent(at, inode, {
    at: offset,
    numBytes: BigInt(fileBytes),
    logical,
    length,
    ramBytes: BigInt(fileBytes),
    offset: 0n,
    compression: COMPRESSION_NUMBERS[compress.algorithm],
  });
  return true;
}

/** Length, bytes in extents and times after a change of content. */
export async function noteWrite(at: Place, inode: bigint, size: bigint, added: bigint, flags = 0): Promise<void> {
  await editInode(at, inode, (item) => {
    item.flags |= BigInt(flags);
    item.size = size;
    item.nbytes = BigInt.asUintN(64, item.nbytes + added);
    setTime(item.mtime, at.now);
    setTime(item.ctime, at.now);
  });
}

export function demandLength({ tree }: Place, inode: bigint, end: bigint): void {
  if (end <= MAX_FILE_BYTES) return;
  throw new BtrfsError(
    "limit",
    `Cannot change content: the file would end at ${end}, at most ${MAX_FILE_BYTES} may be`,
    {
      where: { tree, inode },
    },
  );
}

/** Bytes of inline data that an item can hold. */
export function maxInlineBytes({ tx }: Place): number {
  return leafCapacity(tx.volume.nodeSize) - ITEM_HEADER_BYTES - INLINE_DATA_AT;
}

/** Behind the last byte that a file can have. */
const BEHIND_ALL = 1n << 63n;
const MAX_PREALLOC = 256n << 20n;

function sectorOf({ tx }: Place): bigint {
  return BigInt(tx.volume.sectorSize);
}
