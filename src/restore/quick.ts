import { type Codecs, MAX_EXTENT_BYTES } from "#codec";
import { readSafe } from "../bytes/u64.ts";
import { BtrfsError } from "../errors.ts";
import { BLOCK_GROUP_DATA } from "../format/chunk.ts";
import {
  COMPRESS_NONE,
  COMPRESS_ZSTD,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_REG,
  FileExtentItem,
  INLINE_DATA_AT,
} from "../format/file-extent.ts";
import { INODE_NODATASUM, InodeItem, S_IFMT, S_IFREG, Timespec } from "../format/inode.ts";
import { EXTENT_DATA, XATTR_ITEM } from "../format/key-type.ts";
import { ItemHeader, itemSize, itemStart, keyAt, type Leaf, slotType } from "../format/node.ts";
import { algorithmOf } from "../fs/inline.ts";
import type { Volume } from "../volume/volume.ts";
import { type DecodeFrame, decodeVouched } from "./content.ts";
import { FirstCopy } from "./first-copy.ts";
import type { RestoreCounts } from "./report.ts";
import type { FileCalls, Handle } from "./target.ts";

const { offsets: INODE } = InodeItem;
const { offsets: EXTENT } = FileExtentItem;
const NANOSECONDS = 1_000_000_000;
const PERMISSIONS = 0o7777;
/** Uncompressed extents are copied in steps of this many bytes. */
const PLAIN_BYTES = 1 << 20;

export interface QuickOptions {
  /** Files from this size on are left to several threads. */
  readonly largeBytes: number;
  readonly overwrite: boolean;
  readonly decodeFrame?: DecodeFrame | undefined;
}

/** Where a file goes. Names end with a NUL. */
export interface QuickPlace {
  readonly handle: Handle;
  readonly name: Uint8Array;
  readonly temporary: Uint8Array;
  /** It is the first name of an inode that has several. */
  readonly isLinked: boolean;
}

/**
 * Restores whole files straight from the leaf that has all of their items: without waiting, without bigints, and with next
 * to nothing left for the collector. It takes plain files only, and leaves a file to the long way as soon as anything is
 * unusual: damage, a refusal, an extended attribute, data without checksums.
 */
export class QuickFiles {
  readonly #volume: Volume;
  readonly #calls: FileCalls;
  readonly #codecs: Codecs;
  readonly #options: QuickOptions;
  readonly #firstCopy: FirstCopy;
  readonly #input = new Uint8Array(PLAIN_BYTES);
  readonly #output = new Uint8Array(MAX_EXTENT_BYTES);
  readonly #times = new DataView(new ArrayBuffer(32));
  readonly #timesBytes = new Uint8Array(this.#times.buffer);
  /** Bytes written of the file at hand. */
  #written = 0;

  constructor(volume: Volume, calls: FileCalls, codecs: Codecs, options: QuickOptions) {
    this.#volume = volume;
    this.#calls = calls;
    this.#codecs = codecs;
    this.#options = options;
    this.#firstCopy = new FirstCopy(volume);
  }

  /**
   * Restores the file whose items stand in `first` to `last` (exclusive) of a leaf.
   *
   * @returns False when it is for the long way; nothing is left behind then.
   */
  restore(leaf: Leaf, first: number, last: number, place: QuickPlace, counts: RestoreCounts): boolean {
    const { view } = leaf;
    if (itemSize(leaf, first) !== InodeItem.byteLength) return false;
    const item = itemStart(leaf, first);
    const mode = view.getUint32(item + INODE.mode, true);
    const size = view.getUint32(item + INODE.size, true);
    if ((mode & S_IFMT) !== S_IFREG || view.getUint32(item + INODE.size + 4, true) !== 0) return false;
    if (size >= this.#options.largeBytes) return false;
    if (!place.isLinked && view.getUint32(item + INODE.nlink, true) > 1) return false;
    const extents = firstExtent(leaf, first, last);
    if (extents < 0) return false;
    const hasChecksums = (view.getUint32(item + INODE.flags, true) & INODE_NODATASUM) === 0;

    const { handle, temporary, name } = place;
    const file = this.#calls.create(handle, temporary);
    if (file < 0) return false;
    let isMade = false;
    try {
      isMade =
        this.#writeExtents(leaf, extents, last, size, hasChecksums, file) &&
        this.#setAttributes(view, item, mode & PERMISSIONS, file);
    } finally {
      isMade = this.#calls.close(file) >= 0 && isMade;
      if (isMade) isMade = this.#calls.rename(handle, temporary, name, this.#options.overwrite) >= 0;
      if (!isMade) this.#calls.remove(handle, temporary);
    }
    if (!isMade) return false;
    counts.files++;
    counts.fileBytes += size;
    counts.bytes += this.#written;
    return true;
  }

  #writeExtents(leaf: Leaf, first: number, last: number, size: number, hasChecksums: boolean, file: Handle): boolean {
    const { view } = leaf;
    this.#written = 0;
    let cursor = 0;
    let end = 0;
    try {
      for (let slot = first; slot < last; slot++) {
        const offset = readSafe(view, keyAt(leaf, slot) + ItemHeader.offsets.keyOffset, "file offset");
        if (offset < cursor) return false;
        if (offset >= size) break;
        const item = itemStart(leaf, slot);
        const bytes = itemSize(leaf, slot);
        if (bytes < INLINE_DATA_AT) return false;
        if (view.getUint8(item + EXTENT.type) === FILE_EXTENT_INLINE) {
          if (offset !== 0) return false;
          cursor = this.#writeInline(leaf, item, bytes, size, file);
          if (cursor < 0) return false;
          end = cursor;
          continue;
        }
        if (bytes !== FileExtentItem.byteLength) return false;
        const numBytes = readSafe(view, item + EXTENT.numBytes, "extent length");
        const logical = readSafe(view, item + EXTENT.diskBytenr, "extent address");
        cursor = offset + numBytes;
        // Holes and preallocated extents stay holes.
        if (logical === 0 || view.getUint8(item + EXTENT.type) !== FILE_EXTENT_REG) continue;
        if (!hasChecksums || !this.#writeStored(view, item, logical, offset, Math.min(cursor, size), file))
          return false;
        end = cursor;
      }
    } catch (error) {
      if (error instanceof BtrfsError) return false;
      throw error;
    }
    return end >= size || this.#calls.truncate(file, size) >= 0;
  }

  /** @returns File offset behind it; negative when it is for the long way. */
  #writeInline(leaf: Leaf, item: number, bytes: number, size: number, file: Handle): number {
    const { view } = leaf;
    const decodedBytes = readSafe(view, item + EXTENT.ramBytes, "decoded length");
    const compression = view.getUint8(item + EXTENT.compression);
    let data = leaf.bytes.subarray(item + INLINE_DATA_AT, item + bytes);
    if (compression === COMPRESS_NONE) {
      if (data.byteLength !== decodedBytes) return -1;
    } else {
      const { sectorSize } = this.#volume;
      if (decodedBytes > Math.min(sectorSize, this.#output.byteLength)) return -1;
      const output = this.#output.subarray(0, decodedBytes);
      this.#decode(compression, data, output, true);
      data = output;
    }
    return this.#write(file, data, Math.min(decodedBytes, size), 0) ? decodedBytes : -1;
  }

  #writeStored(view: DataView, item: number, logical: number, start: number, end: number, file: Handle): boolean {
    const storedBytes = readSafe(view, item + EXTENT.diskNumBytes, "extent length");
    const decodedBytes = readSafe(view, item + EXTENT.ramBytes, "decoded length");
    const within = readSafe(view, item + EXTENT.offset, "offset in the extent");
    const compression = view.getUint8(item + EXTENT.compression);
    const whole = compression === COMPRESS_NONE ? storedBytes : decodedBytes;
    if (within + readSafe(view, item + EXTENT.numBytes, "extent length") > whole) return false;
    const chunk = this.#volume.chunks.find(logical);
    if (chunk === undefined || logical + storedBytes > chunk.start + chunk.length) return false;
    if ((chunk.type & BLOCK_GROUP_DATA) === 0) return false;
    if (compression === COMPRESS_NONE) return this.#writePlain(logical + within, start, end, file);
    if (decodedBytes > MAX_EXTENT_BYTES || storedBytes > MAX_EXTENT_BYTES) return false;
    const stored = this.#input.subarray(0, storedBytes);
    if (!this.#read(logical, stored)) return false;
    this.#decode(compression, stored, this.#output.subarray(0, decodedBytes), false);
    const data = within === 0 ? this.#output : this.#output.subarray(within);
    return this.#write(file, data, end - start, start);
  }

  #writePlain(logical: number, start: number, end: number, file: Handle): boolean {
    const { sectorSize } = this.#volume;
    for (let at = start; at < end; at += PLAIN_BYTES) {
      const length = Math.min(end - at, PLAIN_BYTES);
      const data = this.#input.subarray(0, Math.ceil(length / sectorSize) * sectorSize);
      if (!this.#read(logical + at - start, data) || !this.#write(file, data, length, at)) return false;
    }
    return true;
  }

  #read(logical: number, target: Uint8Array): boolean {
    const isGood = this.#firstCopy.readNow(logical, target);
    if (typeof isGood === "boolean") return isGood;
    // The long way waits for the checksums, and tells what is wrong with them.
    isGood.catch(() => {});
    return false;
  }

  /** Fills `output`, as the kernel does with zeros behind the data. @throws {BtrfsError} when it does not decode. */
  #decode(compression: number, stored: Uint8Array, output: Uint8Array, inline: boolean): void {
    let length = compression === COMPRESS_ZSTD ? decodeVouched(this.#options.decodeFrame, stored, output) : -1;
    if (length < 0) {
      const { sectorSize } = this.#volume;
      length = this.#codecs.decode(algorithmOf(compression), stored, output, { sectorSize, inline });
    }
    if (length < output.byteLength) output.fill(0, length);
  }

  #write(file: Handle, data: Uint8Array, length: number, offset: number): boolean {
    for (let done = 0; done < length; ) {
      const rest = done === 0 ? data : data.subarray(done);
      const count = this.#calls.write(file, rest, length - done, offset + done);
      if (count <= 0) return false;
      done += count;
    }
    this.#written += length;
    return true;
  }

  /** In the order of `applyAttributes`. */
  #setAttributes(view: DataView, item: number, mode: number, file: Handle): boolean {
    const uid = view.getUint32(item + INODE.uid, true);
    const gid = view.getUint32(item + INODE.gid, true);
    return (
      this.#copyTime(view, item + INODE.atime, 0) &&
      this.#copyTime(view, item + INODE.mtime, 16) &&
      this.#calls.setOwner(file, uid, gid) >= 0 &&
      this.#calls.setMode(file, mode) >= 0 &&
      this.#calls.setTimes(file, this.#timesBytes) >= 0
    );
  }

  /** A `struct btrfs_timespec` becomes a `struct timespec`. */
  #copyTime(view: DataView, from: number, to: number): boolean {
    const nanoseconds = view.getUint32(from + Timespec.offsets.nsec, true);
    if (nanoseconds >= NANOSECONDS) return false;
    this.#times.setUint32(to, view.getUint32(from, true), true);
    this.#times.setUint32(to + 4, view.getUint32(from + 4, true), true);
    this.#times.setUint32(to + 8, nanoseconds, true);
    return true;
  }
}

/** Slot of the first extent, `last` where there is none; negative when there is something between or before that is for the long way. */
function firstExtent(leaf: Leaf, first: number, last: number): number {
  let extents = last;
  for (let slot = first + 1; slot < last; slot++) {
    const type = slotType(leaf, slot);
    if (type === XATTR_ITEM) return -1;
    if (type === EXTENT_DATA) extents = Math.min(extents, slot);
    else if (extents < last) return -1;
  }
  return extents;
}
