import { MAX_EXTENT_BYTES } from "#codec";
import { BtrfsError, CorruptError, type Where } from "../errors.ts";
import { BLOCK_GROUP_DATA } from "../format/chunk.ts";
import { COMPRESS_NONE, type StoredExtent } from "../format/file-extent.ts";
import { INODE_NODATASUM } from "../format/inode.ts";
import type { SectorChecksums } from "../volume/checksum-tree.ts";
import type { DataReadOptions } from "../volume/data-reader.ts";
import type { Inode } from "./inode.ts";
import { located } from "./located.ts";

export interface StoredReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes what no copy has, in place of ending the read: bytes of the target, which are set to zero. */
  readonly onUnreadable?: ((at: number, length: number, error: BtrfsError) => void) | undefined;
}

/**
 * Checks that an extent can be what it says: compressed within the format's limits, the referenced part inside of the
 * whole, and all of it data: a hostile item may point to tree blocks.
 *
 * @throws {CorruptError}
 */
export function checkExtent(inode: Inode, extent: StoredExtent): void {
  const { compression, diskBytenr, diskNumBytes, numBytes, offset, ramBytes, fileOffset } = extent;
  const problem = (what: string): CorruptError => {
    const where = { ...inode.where, fileOffset, logical: diskBytenr };
    return new CorruptError(`Cannot trust file extent: ${what}`, where);
  };
  const whole = compression === COMPRESS_NONE ? BigInt(diskNumBytes) : ramBytes;
  if (offset + numBytes > whole) throw problem(`${numBytes} bytes at ${offset} of it are used, it has ${whole}`);
  if (compression !== COMPRESS_NONE && (ramBytes > BigInt(MAX_EXTENT_BYTES) || diskNumBytes > MAX_EXTENT_BYTES)) {
    throw problem(`${diskNumBytes} bytes decode to ${ramBytes}, at most ${MAX_EXTENT_BYTES} are possible for each`);
  }
  const chunk = inode.subvolume.filesystem.volume.chunks.find(diskBytenr);
  if (chunk === undefined) throw problem("no chunk has its address");
  if (diskBytenr + diskNumBytes > chunk.start + chunk.length) {
    throw problem(`it has ${diskNumBytes} bytes, its chunk ends after ${chunk.start + chunk.length - diskBytenr}`);
  }
  if ((chunk.type & BLOCK_GROUP_DATA) === 0) throw problem("its chunk holds no data");
}

/**
 * Fills `target` with stored bytes of an extent that `checkExtent` found good, verified unless the inode has no
 * checksums. Straight into `target` where that is sectors, else by way of a buffer.
 *
 * @param at Byte of the stored extent to begin at.
 * @throws {BtrfsError} for the first bytes that no copy has, unless `onUnreadable` takes them.
 */
export async function readStored(
  inode: Inode,
  extent: StoredExtent,
  at: number,
  target: Uint8Array,
  options: StoredReadOptions = {},
): Promise<void> {
  const { volume, buffers } = inode.subvolume.filesystem;
  const sector = volume.sectorSize;
  const head = (extent.diskBytenr + at) % sector;
  const length = Math.ceil((head + target.byteLength) / sector) * sector;
  if (length === target.byteLength || hasNoChecksums(inode)) {
    return readParts([{ inode, extent, at, length: target.byteLength }], target, options);
  }
  const buffer = buffers.take(length);
  try {
    const part = { inode, extent, at: at - head, length };
    await readParts([part], buffer, { ...options, ...clipped(options, head, target.byteLength) });
    target.set(buffer.subarray(head, head + target.byteLength));
  } finally {
    buffers.give(buffer);
  }
}

/** `length` stored bytes of an extent of a file from byte `at` of it on, in whole sectors. */
export interface StoredPart {
  readonly inode: Inode;
  readonly extent: StoredExtent;
  readonly at: number;
  readonly length: number;
}

/** Whether `next` begins on the disk where `part` ends, and can be read with it. */
export function follows(part: StoredPart, next: StoredPart): boolean {
  return (
    part.extent.diskBytenr + part.at + part.length === next.extent.diskBytenr + next.at &&
    (part.inode === next.inode || hasNoChecksums(part.inode) === hasNoChecksums(next.inode))
  );
}

/**
 * Fills `target` with parts that follow one another on the disk, of one file or several: one read for all of them. A
 * promise only where it has to wait.
 *
 * @throws {BtrfsError} for the first bytes that no copy has, unless `onUnreadable` takes them.
 */
export function readParts(
  parts: readonly StoredPart[],
  target: Uint8Array,
  options: StoredReadOptions = {},
): void | Promise<void> {
  const [{ inode, extent, at }] = parts as [StoredPart];
  const { volume } = inode.subvolume.filesystem;
  options.signal?.throwIfAborted();
  if (hasNoChecksums(inode)) {
    if (volume.readDataNow(extent.diskBytenr + at, target, undefined)) return;
    return readSlowly(parts, target, options, undefined);
  }
  let checksums: SectorChecksums | Promise<SectorChecksums>;
  try {
    checksums = volume.readChecksums(extent.diskBytenr + at, target.byteLength);
  } catch (error) {
    checksums = Promise.reject(error);
  }
  const isHere = !(checksums instanceof Promise);
  if (isHere && volume.readDataNow(extent.diskBytenr + at, target, checksums as SectorChecksums)) return;
  return readSlowly(parts, target, options, checksums);
}

async function readSlowly(
  parts: readonly StoredPart[],
  target: Uint8Array,
  options: StoredReadOptions,
  awaited: SectorChecksums | Promise<SectorChecksums> | undefined,
): Promise<void> {
  const [{ inode, extent, at }] = parts as [StoredPart];
  const { volume, onEvent } = inode.subvolume.filesystem;
  const logical = extent.diskBytenr + at;
  // The volume knows addresses: the file is added to what it tells.
  const whereOf = (where: Where): Where => ({ ...where, ...fileAt(parts, (where.logical ?? logical) - logical) });
  const read: DataReadOptions = {
    ...options,
    onEvent: (event) => onEvent({ ...event, where: whereOf(event.where) }),
  };
  try {
    const checksums = await awaited;
    await volume.readData(logical, target, { ...read, checksums });
  } catch (error) {
    throw error instanceof BtrfsError ? located(error, whereOf(error.where)) : error;
  }
}

function hasNoChecksums({ stat }: Inode): boolean {
  return (stat.flags & NODATASUM) !== 0n;
}

const NODATASUM = BigInt(INODE_NODATASUM);

/** Of bad bytes of a buffer, those that are handed on from it. */
function clipped({ onUnreadable }: StoredReadOptions, head: number, length: number): StoredReadOptions {
  if (onUnreadable === undefined) return {};
  return {
    onUnreadable: (at, bad, error) => {
      const start = Math.max(at - head, 0);
      const end = Math.min(at + bad - head, length);
      if (start < end) onUnreadable(start, end - start, error);
    },
  };
}

/** The file that has byte `at` of all parts, and where; of a compressed extent, where what is used of it begins. */
function fileAt(parts: readonly StoredPart[], at: number): Where {
  let start = 0;
  for (const part of parts) {
    const { extent, inode } = part;
    if (at < start + part.length || part === parts.at(-1)) {
      const offset = extent.fileOffset + BigInt(part.at + at - start) - extent.offset;
      const isWhole = extent.compression !== COMPRESS_NONE || offset < extent.fileOffset;
      return { ...inode.where, fileOffset: isWhole ? extent.fileOffset : offset };
    }
    start += part.length;
  }
  return {};
}
