import { BtrfsError } from "../errors.ts";
import { FILE_EXTENT_INLINE } from "../format/file-extent.ts";
import { INODE_RO_VERITY, S_IFMT, S_IFREG } from "../format/inode.ts";
import type { MaybePromise } from "../transaction/editor.ts";
import { setTime } from "../transaction/new-items.ts";
import { appendData } from "./append-data.ts";
import { dropExtents, extentEnd, firstExtent, insertHole } from "./extents.ts";
import { editInode, type InodeView, readInode } from "./inode.ts";
import { ceil, floor, larger } from "./offsets.ts";
import { demandWritable, numberOf, type Place } from "./place.ts";
import { compressionNow } from "./property.ts";
import {
  BEHIND_ALL,
  convertInline,
  isPlain,
  rewriteSector,
  sectorOf,
  storeInline,
  storeSectors,
  truncateInline,
  type WriteOptions,
  wholeSectors,
  zeroTail,
} from "./sectors.ts";

export const MAX_FILE_BYTES = (1n << 63n) - 1n;

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

/** As `readFile`, to change it. @throws {BtrfsError} as there; `permission` in a read-only subvolume. */
export async function changeFile(at: Place, inode: bigint): Promise<InodeView> {
  await demandWritable(at);
  return readFile(at, inode);
}

/** As `writeFile`, without waiting where nothing has to be waited for. The data is copied before this returns, or settles. */
export function writeFileNow(
  at: Place,
  inode: bigint,
  offset: bigint,
  data: Uint8Array,
  options: WriteOptions = {},
): MaybePromise<void> {
  const done = at.tx.now(() => appendData(at, inode, offset, data, options));
  if (done === true) return;
  if (done === false) return overwrite(at, inode, offset, data, options);
  return done.then((isDone) => (isDone ? undefined : overwrite(at, inode, offset, data, options)));
}

/** Writes `data` at `offset` of a file. What is in between the old end and there becomes a hole. */
export async function writeFile(
  at: Place,
  inode: bigint,
  offset: bigint,
  data: Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  await writeFileNow(at, inode, offset, data, options);
}

async function overwrite(
  at: Place,
  inode: bigint,
  offset: bigint,
  data: Uint8Array,
  { compress: asked, maxInline }: WriteOptions,
): Promise<void> {
  const item = await changeFile(at, inode);
  const compress = await at.tx.now(() => compressionNow(at, numberOf(inode), item, asked));
  const options = { compress, maxInline };
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
  const item = await changeFile(at, inode);
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
