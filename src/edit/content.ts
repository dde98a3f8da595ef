import { loadCodecs } from "#codec";
import { CorruptError } from "../errors.ts";
import {
  COMPRESS_LZO,
  COMPRESS_NONE,
  COMPRESS_ZLIB,
  COMPRESS_ZSTD,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
  type FileExtent,
} from "../format/file-extent.ts";
import { INODE_NODATASUM } from "../format/inode.ts";
import { extentEnd, firstExtent } from "./extents.ts";
import { readInode } from "./inode.ts";
import { larger, smaller } from "./offsets.ts";
import type { Place } from "./place.ts";

export type Algorithm = "zlib" | "lzo" | "zstd";

const ALGORITHMS: Readonly<Record<number, Algorithm>> = {
  [COMPRESS_ZLIB]: "zlib",
  [COMPRESS_LZO]: "lzo",
  [COMPRESS_ZSTD]: "zstd",
};

/** On-disk number of an algorithm. */
export const COMPRESSION_NUMBERS: Readonly<Record<Algorithm, number>> = {
  zlib: COMPRESS_ZLIB,
  lzo: COMPRESS_LZO,
  zstd: COMPRESS_ZSTD,
};

/**
 * Bytes of a file as the transaction has it so far: zeros for holes, and behind the end. Meant for the edges of writes,
 * not for reading files.
 */
export async function readContent(at: Place, inode: bigint, start: bigint, target: Uint8Array): Promise<void> {
  target.fill(0);
  const { flags, size } = await readInode(at, inode);
  const end = smaller(start + BigInt(target.byteLength), size);
  for (let from = start; from < end; ) {
    const extent = await firstExtent(at, inode, from, end);
    if (extent === undefined) return;
    const first = larger(extent.fileOffset, from);
    const behind = extentEnd(extent, at.tx.volume.sectorSize);
    const last = smaller(behind, end);
    const part = target.subarray(Number(first - start), Number(last - start));
    await readExtent(at, extent, first - extent.fileOffset, part, (flags & BigInt(INODE_NODATASUM)) === 0n);
    from = behind;
  }
}

/** @param skip File bytes of the extent before those that are wanted. */
async function readExtent(
  at: Place,
  extent: FileExtent,
  skip: bigint,
  target: Uint8Array,
  verified: boolean,
): Promise<void> {
  const { tx } = at;
  const { sectorSize } = tx.volume;
  if (extent.type === FILE_EXTENT_INLINE) {
    const whole = await decode(at, extent, extent.data, Number(extent.ramBytes), true);
    target.set(whole.subarray(Number(skip), Number(skip) + target.byteLength));
    return;
  }
  if (extent.diskBytenr === 0 || extent.type === FILE_EXTENT_PREALLOC) return;
  const from = Number(extent.offset + skip);
  if (extent.compression === COMPRESS_NONE) {
    const first = Math.floor(from / sectorSize) * sectorSize;
    const last = Math.ceil((from + target.byteLength) / sectorSize) * sectorSize;
    const sectors = new Uint8Array(last - first);
    await tx.data.read(extent.diskBytenr + first, sectors, verified);
    target.set(sectors.subarray(from - first, from - first + target.byteLength));
    return;
  }
  const stored = new Uint8Array(extent.diskNumBytes);
  await tx.data.read(extent.diskBytenr, stored, true);
  const whole = await decode(at, extent, stored, Number(extent.ramBytes), false);
  target.set(whole.subarray(from, from + target.byteLength));
}

async function decode(
  { tx, tree }: Place,
  extent: FileExtent,
  stored: Uint8Array,
  ramBytes: number,
  inline: boolean,
): Promise<Uint8Array> {
  if (extent.compression === COMPRESS_NONE) return stored;
  const algorithm = ALGORITHMS[extent.compression];
  // More than this no extent decodes to: room is made by an item that anybody may have written.
  if (algorithm === undefined || ramBytes > 131_072) {
    throw new CorruptError(`Cannot decode extent: it is of compression ${extent.compression}, ${ramBytes} bytes long`, {
      tree,
    });
  }
  const whole = new Uint8Array(ramBytes);
  (await loadCodecs()).decode(algorithm, stored, whole, { sectorSize: tx.volume.sectorSize, inline });
  return whole;
}
