import { MAX_EXTENT_BYTES } from "#codec";
import { type BtrfsError, CorruptError } from "../errors.ts";
import { BLOCK_GROUP_DATA } from "../format/chunk.ts";
import { COMPRESS_NONE, type StoredExtent } from "../format/file-extent.ts";
import { INODE_NODATASUM } from "../format/inode.ts";
import type { DataReadOptions } from "../volume/data-reader.ts";
import type { OnEvent } from "../volume/events.ts";
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
  const logical = extent.diskBytenr + at;
  const read: DataReadOptions = { ...options, onEvent: eventsOf(inode, extent) };
  try {
    if ((inode.stat.flags & BigInt(INODE_NODATASUM)) !== 0n) return await volume.readData(logical, target, read);
    const sector = volume.sectorSize;
    const head = logical % sector;
    const length = Math.ceil((head + target.byteLength) / sector) * sector;
    if (length === target.byteLength) return await readSectors(inode, logical, target, read);
    const buffer = buffers.take(length);
    try {
      await readSectors(inode, logical - head, buffer, { ...read, ...clipped(options, head, target.byteLength) });
      target.set(buffer.subarray(head, head + target.byteLength));
    } finally {
      buffers.give(buffer);
    }
  } catch (error) {
    throw located(error, { ...inode.where, fileOffset: fileOffsetOf(extent, at) });
  }
}

async function readSectors(inode: Inode, logical: number, target: Uint8Array, options: DataReadOptions): Promise<void> {
  const { volume } = inode.subvolume.filesystem;
  const found = volume.readChecksums(logical, target.byteLength);
  const checksums = found instanceof Promise ? await found : found;
  await volume.readData(logical, target, { ...options, checksums });
}

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

/** The volume knows addresses: the file is added to what it tells. */
function eventsOf(inode: Inode, extent: StoredExtent): OnEvent {
  const { filesystem } = inode.subvolume;
  return (event) => {
    const { logical } = event.where;
    const fileOffset = logical === undefined ? extent.fileOffset : fileOffsetOf(extent, logical - extent.diskBytenr);
    filesystem.onEvent({ ...event, where: { ...event.where, ...inode.where, fileOffset } });
  };
}

/** File offset of a stored byte; of a compressed extent, that of what is used of it. */
function fileOffsetOf(extent: StoredExtent, at: number): bigint {
  if (extent.compression !== COMPRESS_NONE) return extent.fileOffset;
  const offset = extent.fileOffset + BigInt(at) - extent.offset;
  return offset < 0n ? extent.fileOffset : offset;
}
