import { COMPRESS_NONE, FILE_EXTENT_INLINE } from "../format/file-extent.ts";
import { INODE_PREALLOC } from "../format/inode.ts";
import { dropExtents, extentEnd, firstExtent, insertExtent, insertHole } from "./extents.ts";
import { changeFile, demandLength, noteWrite, prepareWrite } from "./file.ts";
import type { InodeView } from "./inode.ts";
import { ceil, floor, larger, smaller } from "./offsets.ts";
import type { Place } from "./place.ts";
import { convertInline, isPlain, sectorOf, storeSectors, wholeSectors } from "./sectors.ts";

const MAX_PREALLOC = 256n << 20n;

/** Makes `[start, end)` read as zeros without taking space, as far as whole sectors go. The length stays. */
export async function punchHole(at: Place, inode: bigint, start: bigint, end: bigint): Promise<void> {
  const item = await changeFile(at, inode);
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
  const item = await changeFile(at, inode);
  demandLength(at, inode, end);
  const sector = sectorOf(at);
  // Where the file gets longer, what the block of its old end holds behind that is not to be seen.
  const reach = options.keepSize === true ? start : end;
  let added = await prepareWrite(at, inode, item, reach, floor(start, sector));
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
