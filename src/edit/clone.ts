import { BtrfsError } from "../errors.ts";
import { FILE_EXTENT_INLINE, FILE_EXTENT_PREALLOC } from "../format/file-extent.ts";
import { INODE_NODATASUM } from "../format/inode.ts";
import { readContent } from "./content.ts";
import { dropExtents, extentEnd, firstExtent, insertExtent, insertHole, insertInline } from "./extents.ts";
import { changeFile, demandLength, noteWrite, prepareWrite, readFile } from "./file.ts";
import type { InodeView } from "./inode.ts";
import { ceil, larger, smaller } from "./offsets.ts";
import type { Place } from "./place.ts";
import { BEHIND_ALL, isPlain, sectorOf, storeSectors } from "./sectors.ts";

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
  const item = await changeFile(at, inode);
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
  // Into an empty file a small one goes as it is stored.
  const isEmpty = item.size === 0n && (await firstExtent(at, inode, 0n, BEHIND_ALL)) === undefined;
  const isWholeCopy = isEmpty && offset === 0n && source.offset === 0n;
  for (let position = source.offset; position < last; ) {
    const extent = await firstExtent(from, source.inode, position, last);
    const first = extent === undefined ? last : larger(extent.fileOffset, position);
    await insertHole(at, inode, position + shift, first + shift);
    if (extent === undefined) break;
    const behind = extentEnd(extent, Number(sector));
    const to = smaller(behind, last);
    if (extent.type === FILE_EXTENT_INLINE && isWholeCopy && extent.ramBytes === length) {
      await insertInline(at, inode, extent.data, Number(length), extent.compression);
      added += length;
    } else if (extent.type === FILE_EXTENT_INLINE) {
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
