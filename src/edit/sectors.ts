import { loadCodecs } from "#codec";
import type { Compress } from "../codec/encoder.ts";
import { looksRandom } from "../codec/looks-random.ts";
import {
  COMPRESS_NONE,
  DEFAULT_MAX_INLINE,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
  INLINE_DATA_AT,
} from "../format/file-extent.ts";
import { INODE_NODATACOW, INODE_NODATASUM } from "../format/inode.ts";
import { ITEM_HEADER_BYTES } from "../format/node.ts";
import { leafCapacity } from "../transaction/leaf.ts";
import { COMPRESSION_NUMBERS, readContent } from "./content.ts";
import { dropExtents, firstExtent, insertExtent, insertInline } from "./extents.ts";
import type { InodeView } from "./inode.ts";
import { floor } from "./offsets.ts";
import { type PackData, PIECE_BYTES } from "./pack.ts";
import type { Place } from "./place.ts";

export interface WriteCompress extends Compress {
  /** What compresses, in place of the codec. */
  readonly pack?: PackData | undefined;
}

export interface WriteOptions {
  /** Compresses what gets smaller by it. */
  readonly compress?: WriteCompress | undefined;
  /** Files of at most so many bytes lie in the tree; 2048 by default, 0 for none. */
  readonly maxInline?: number | undefined;
}

/** An uncompressed extent is at most so long. */
const MAX_EXTENT_BYTES = 128 << 20;
/** Behind the last byte that a file can have. */
export const BEHIND_ALL = 1n << 63n;

/** Whether data of an inode has no checksums, and is never compressed. */
export function isPlain({ flags }: InodeView): boolean {
  return (flags & BigInt(INODE_NODATASUM | INODE_NODATACOW)) !== 0n;
}

/** Stores a small file in its tree, in place of all that it had. @returns What `nbytes` gains; `undefined`: it does not fit. */
export async function storeInline(
  at: Place,
  inode: bigint,
  data: Uint8Array,
  item: InodeView,
  { compress, maxInline = DEFAULT_MAX_INLINE }: WriteOptions,
): Promise<bigint | undefined> {
  const { sectorSize } = at.tx.volume;
  const limit = Math.min(maxInline, sectorSize - 1, maxInlineBytes(at));
  // Without copy-on-write data has a place of its own, as with the kernel.
  if (data.byteLength > sectorSize || (item.flags & BigInt(INODE_NODATACOW)) !== 0n) return undefined;
  const packed =
    compress === undefined || isPlain(item) ? undefined : await compressed(at, data, 0n, compress, limit, true);
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
  offset: bigint,
  { algorithm, level, pack }: WriteCompress,
  limit: number,
  inline: boolean,
): Promise<Uint8Array | undefined> {
  const room = Math.min(limit, data.byteLength - 1);
  if (room <= 0) return undefined;
  if (pack !== undefined) return pack(data, offset, room, inline);
  if (!inline && looksRandom(data)) return undefined;
  const output = new Uint8Array(room);
  const options = { sectorSize: at.tx.volume.sectorSize, inline, ...(level === undefined ? {} : { level }) };
  const length = (await loadCodecs()).encode(algorithm, data, output, options);
  return length === 0 ? undefined : output.subarray(0, length);
}

/** Moves inline data into an extent. @returns Bytes that `nbytes` gains. */
export async function convertInline(at: Place, inode: bigint, item: InodeView): Promise<bigint> {
  const sector = sectorOf(at);
  const first = await firstExtent(at, inode, 0n, sector);
  if (first?.type !== FILE_EXTENT_INLINE) return 0n;
  const whole = new Uint8Array(Number(sector));
  await readContent(at, inode, 0n, whole);
  return storeSectors(at, inode, 0n, whole, item.size, isPlain(item), {});
}

export async function truncateInline(at: Place, inode: bigint, item: InodeView, size: bigint): Promise<bigint> {
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
export async function zeroTail(at: Place, inode: bigint, item: InodeView): Promise<bigint> {
  const sector = sectorOf(at);
  return item.size % sector === 0n ? 0n : rewriteSector(at, inode, item, floor(item.size, sector), item.size);
}

/** Stores one sector anew, zero from `end` on, unless it is a hole. */
export async function rewriteSector(
  at: Place,
  inode: bigint,
  item: InodeView,
  first: bigint,
  end: bigint,
): Promise<bigint> {
  const sector = sectorOf(at);
  const extent = await firstExtent(at, inode, first, first + sector);
  if (extent === undefined || extent.type === FILE_EXTENT_PREALLOC) return 0n;
  if (extent.type !== FILE_EXTENT_INLINE && extent.diskBytenr === 0) return 0n;
  const whole = new Uint8Array(Number(sector));
  await readContent(at, inode, first, whole.subarray(0, Number(end - first)));
  return storeSectors(at, inode, first, whole, end, isPlain(item), {});
}

/** `[first, last)` of the file with `data` written over it from `offset` on. */
export async function wholeSectors(
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
export async function storeSectors(
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
  compress: WriteCompress,
): Promise<boolean> {
  const { sectorSize } = at.tx.volume;
  const packed = await compressed(at, data, offset, compress, fileBytes - sectorSize, false);
  if (packed === undefined) return false;
  const { logical, length } = await at.tx.data.write(packed);
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

/** Bytes of inline data that an item can hold. */
export function maxInlineBytes({ tx }: Place): number {
  return leafCapacity(tx.volume.nodeSize) - ITEM_HEADER_BYTES - INLINE_DATA_AT;
}

/** Bytes of a sector. */
export function sectorOf({ tx }: Place): bigint {
  return BigInt(tx.volume.sectorSize);
}
