import { MAX_EXTENT_BYTES } from "#codec";
import { readSafe } from "../bytes/u64.ts";
import { BtrfsError } from "../errors.ts";
import { BLOCK_GROUP_DATA } from "../format/chunk.ts";
import { DirItem, dirEntryEnd } from "../format/dir-item.ts";
import {
  COMPRESS_NONE,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_REG,
  FileExtentItem,
  INLINE_DATA_AT,
} from "../format/file-extent.ts";
import { INODE_NODATASUM, InodeItem, S_IFMT, S_IFREG, Timespec } from "../format/inode.ts";
import { EXTENT_DATA, XATTR_ITEM } from "../format/key-type.ts";
import { ItemHeader, itemSize, itemStart, keyAt, type Leaf, slotType } from "../format/node.ts";
import type { Subvolume } from "../fs/subvolume.ts";
import type { SectorChecksums } from "../volume/checksum-tree.ts";
import { placeIn } from "../volume/raid.ts";
import type { Volume } from "../volume/volume.ts";
import { FilesBuilder, type FilesJob, type FilesMemory, PLAIN_BYTES } from "./files-job.ts";
import { InodeItemReader } from "./inode-items.ts";
import type { PendingName } from "./links.ts";
import type { RestoreTarget } from "./target.ts";

const { offsets: INODE } = InodeItem;
const { offsets: EXTENT } = FileExtentItem;
const { offsets: ENTRY } = DirItem;
const NANOSECONDS = 1_000_000_000;
const PERMISSIONS = 0o7777;
/** What became of a name: it is in the job, or for the long way, or there is no room; above 1, its inode has so many names. */
export type Planned = number;
export const PLANNED = 0;
export const UNUSUAL = -1;
export const NO_ROOM = -2;

export interface PlannerOptions {
  readonly overwrite: boolean;
  /** Files from this size on are left to several threads. */
  readonly largeBytes: number;
}

/**
 * Looks up what plain files consist of, without bigints and with next to nothing left for the collector, for others to write:
 * one thread knows the trees, all the others need little to be loaded, compiled and held in memory. Whatever is unusual is for
 * the long way: damage, data without checksums.
 */
export class FilePlanner {
  readonly #volume: Volume;
  readonly #target: RestoreTarget;
  readonly #options: PlannerOptions;
  readonly #builder = new FilesBuilder();
  #subvolume: Subvolume | undefined;
  #items: InodeItemReader | undefined;
  /** Of the file at hand: end of its last extent. */
  #cursor = 0;
  #hasExtents = false;
  #hasRoom = true;
  #hasChecksums = false;
  /** Checksums that have to be waited for, and those of the file at hand that have been. */
  #wanted: { readonly key: string; readonly values: Promise<SectorChecksums> } | undefined;
  readonly #known = new Map<string, SectorChecksums>();

  constructor(volume: Volume, target: RestoreTarget, options: PlannerOptions) {
    this.#volume = volume;
    this.#target = target;
    this.#options = options;
  }

  /** Files that `take` would give. */
  get count(): number {
    return this.#builder.count;
  }

  /** It is time to `take` them. */
  get isFull(): boolean {
    return this.#builder.isFull;
  }

  take(): FilesJob {
    return this.#builder.take();
  }

  reuse(memory: FilesMemory): void {
    this.#builder.reuse(memory);
  }

  /**
   * Adds a file. One at a time: where it has to wait, so has the next one.
   *
   * @param isLinked It is the first name of an inode that has several.
   */
  add(pending: PendingName, isLinked: boolean): Planned | Promise<Planned> {
    const { directory, name, inode, kind } = pending;
    const { handle } = directory;
    if (kind !== "file" || handle === undefined) return UNUSUAL;
    if (!directory.isNew && !this.#options.overwrite && this.#target.has(handle, name)) return UNUSUAL;
    const { subvolume } = directory.inode;
    if (this.#subvolume !== subvolume) {
      this.#subvolume = subvolume;
      this.#items = new InodeItemReader(subvolume);
    }
    const isThere = this.#items!.find(inode);
    return typeof isThere === "boolean"
      ? this.#plan(isThere, pending, isLinked)
      : isThere.then((found) => this.#plan(found, pending, isLinked));
  }

  #plan(isThere: boolean, pending: PendingName, isLinked: boolean): Planned | Promise<Planned> {
    if (!isThere) return UNUSUAL;
    const { leaf, first } = this.#items!;
    const { view } = leaf!;
    if (itemSize(leaf!, first) !== InodeItem.byteLength) return UNUSUAL;
    const item = itemStart(leaf!, first);
    const mode = view.getUint32(item + INODE.mode, true);
    const size = view.getUint32(item + INODE.size, true);
    if ((mode & S_IFMT) !== S_IFREG || view.getUint32(item + INODE.size + 4, true) !== 0) return UNUSUAL;
    if (size >= this.#options.largeBytes) return UNUSUAL;
    const nlink = view.getUint32(item + INODE.nlink, true);
    if (nlink > 1 && !isLinked) return nlink;
    this.#hasChecksums = (view.getUint32(item + INODE.flags, true) & INODE_NODATASUM) === 0;
    this.#cursor = 0;
    this.#hasExtents = false;
    this.#hasRoom = true;
    const { handle } = pending.directory;
    const uid = view.getUint32(item + INODE.uid, true);
    const gid = view.getUint32(item + INODE.gid, true);
    const isGood =
      this.#roomFor(this.#builder.begin(handle!, pending.name, mode & PERMISSIONS, uid, gid, size)) &&
      this.#addTime(0, view, item + INODE.atime) &&
      this.#addTime(1, view, item + INODE.mtime);
    const isWhole = isGood && this.#addLeaves(size);
    if (isWhole === true) {
      this.#builder.end();
      if (this.#known.size > 0) this.#known.clear();
      return PLANNED;
    }
    this.#builder.takeBack();
    return isWhole === false ? this.#afterFailure(pending, isLinked) : isWhole.then(() => UNUSUAL);
  }

  #afterFailure(pending: PendingName, isLinked: boolean): Planned | Promise<Planned> {
    const wanted = this.#wanted;
    if (wanted !== undefined) {
      this.#wanted = undefined;
      return wanted.values.then(
        (values) => {
          this.#known.set(wanted.key, values);
          return this.add(pending, isLinked);
        },
        () => UNUSUAL,
      );
    }
    if (this.#known.size > 0) this.#known.clear();
    return this.#hasRoom || this.#builder.count === 0 ? UNUSUAL : NO_ROOM;
  }

  #roomFor(hasRoom: boolean): boolean {
    if (!hasRoom) this.#hasRoom = false;
    return hasRoom;
  }

  #addTime(index: 0 | 1, view: DataView, at: number): boolean {
    const nanoseconds = view.getUint32(at + Timespec.offsets.nsec, true);
    if (nanoseconds >= NANOSECONDS) return false;
    this.#builder.setTime(index, view, at, nanoseconds);
    return true;
  }

  /** Adds the extents of all leaves that have items of the inode. */
  #addLeaves(size: number): boolean | Promise<unknown> {
    const items = this.#items!;
    try {
      for (let from = items.first + 1; ; from = items.first) {
        if (!this.#addSlots(items.leaf!, from, items.last, size)) return false;
        const more = items.more();
        if (more === false) return true;
        if (more !== true) return more ?? false;
      }
    } catch (error) {
      if (error instanceof BtrfsError) return false;
      throw error;
    }
  }

  #addSlots(leaf: Leaf, first: number, last: number, size: number): boolean {
    const { view } = leaf;
    for (let slot = first; slot < last; slot++) {
      const type = slotType(leaf, slot);
      if (type !== EXTENT_DATA) {
        if (this.#hasExtents || (type === XATTR_ITEM && !this.#addXattrs(leaf, slot))) return false;
        continue;
      }
      this.#hasExtents = true;
      const offset = readSafe(view, keyAt(leaf, slot) + ItemHeader.offsets.keyOffset, "file offset");
      if (offset < this.#cursor) return false;
      if (offset >= size) return true;
      const item = itemStart(leaf, slot);
      const bytes = itemSize(leaf, slot);
      if (bytes < INLINE_DATA_AT) return false;
      const kind = view.getUint8(item + EXTENT.type);
      if (kind === FILE_EXTENT_INLINE) {
        if (offset !== 0 || !this.#addInline(leaf, item, bytes, size)) return false;
        continue;
      }
      if (bytes !== FileExtentItem.byteLength) return false;
      const logical = readSafe(view, item + EXTENT.diskBytenr, "extent address");
      const end = offset + readSafe(view, item + EXTENT.numBytes, "extent length");
      this.#cursor = end;
      // Holes and preallocated extents stay holes.
      if (logical === 0 || kind !== FILE_EXTENT_REG) continue;
      if (!this.#hasChecksums || !this.#addStored(view, item, logical, offset, Math.min(end, size))) return false;
    }
    return true;
  }

  /** Those of one item: several where the hashes of their names collide. */
  #addXattrs(leaf: Leaf, slot: number): boolean {
    const { view, bytes } = leaf;
    const start = itemStart(leaf, slot);
    const end = start + itemSize(leaf, slot);
    for (let at = start; at < end; ) {
      const next = dirEntryEnd(view, at);
      if (next > end) return false;
      const nameAt = at + DirItem.byteLength;
      const nameBytes = view.getUint16(at + ENTRY.nameLen, true);
      const valueAt = nameAt + nameBytes;
      // A name is told to the host by its end.
      for (let index = nameAt; index < valueAt; index++) if (bytes[index] === 0) return false;
      if (!this.#roomFor(this.#builder.xattr(bytes, nameAt, nameBytes, next - valueAt))) return false;
      at = next;
    }
    return true;
  }

  #addInline(leaf: Leaf, item: number, bytes: number, size: number): boolean {
    const { view } = leaf;
    const decodedBytes = readSafe(view, item + EXTENT.ramBytes, "decoded length");
    const compression = view.getUint8(item + EXTENT.compression);
    const data = leaf.bytes.subarray(item + INLINE_DATA_AT, item + bytes);
    if (compression === COMPRESS_NONE) {
      if (data.byteLength !== decodedBytes) return false;
    } else if (decodedBytes > Math.min(this.#volume.sectorSize, MAX_EXTENT_BYTES)) return false;
    const length = Math.min(decodedBytes, size);
    this.#cursor = decodedBytes;
    return this.#roomFor(this.#builder.extent(compression, 0, length, 0, data.byteLength, decodedBytes, data));
  }

  #addStored(view: DataView, item: number, logical: number, start: number, end: number): boolean {
    const storedBytes = readSafe(view, item + EXTENT.diskNumBytes, "extent length");
    const decodedBytes = readSafe(view, item + EXTENT.ramBytes, "decoded length");
    const within = readSafe(view, item + EXTENT.offset, "offset in the extent");
    const compression = view.getUint8(item + EXTENT.compression);
    const whole = compression === COMPRESS_NONE ? storedBytes : decodedBytes;
    if (within + readSafe(view, item + EXTENT.numBytes, "extent length") > whole) return false;
    const chunk = this.#volume.chunks.find(logical);
    if (chunk === undefined || logical + storedBytes > chunk.start + chunk.length) return false;
    if ((chunk.type & BLOCK_GROUP_DATA) === 0) return false;
    if (compression === COMPRESS_NONE) return this.#addPlain(logical + within, start, end);
    if (decodedBytes > MAX_EXTENT_BYTES || storedBytes > MAX_EXTENT_BYTES) return false;
    return this.#addExtent(compression, logical, start, end - start, within, storedBytes, decodedBytes);
  }

  #addPlain(logical: number, start: number, end: number): boolean {
    const { sectorSize } = this.#volume;
    for (let at = start; at < end; at += PLAIN_BYTES) {
      const length = Math.min(end - at, PLAIN_BYTES);
      const stored = Math.ceil(length / sectorSize) * sectorSize;
      if (!this.#addExtent(COMPRESS_NONE, logical + at - start, at, length, 0, stored, stored)) return false;
    }
    return true;
  }

  #addExtent(
    compression: number,
    logical: number,
    offset: number,
    length: number,
    within: number,
    storedBytes: number,
    decodedBytes: number,
  ): boolean {
    const { sectorSize } = this.#volume;
    if (logical % sectorSize !== 0 || storedBytes % sectorSize !== 0 || storedBytes === 0) return false;
    const checksums = this.#checksums(logical, storedBytes);
    if (checksums === undefined || checksums.present !== undefined) return false;
    const { values } = checksums;
    return (
      this.#roomFor(this.#builder.extent(compression, offset, length, within, storedBytes, decodedBytes, values)) &&
      this.#addReads(logical, storedBytes)
    );
  }

  /** `undefined` when they have to be waited for. */
  #checksums(logical: number, length: number): SectorChecksums | undefined {
    if (this.#known.size > 0) {
      const known = this.#known.get(`${logical} ${length}`);
      if (known !== undefined) return known;
    }
    const checksums = this.#volume.readChecksums(logical, length);
    if (!(checksums instanceof Promise)) return checksums;
    this.#wanted = { key: `${logical} ${length}`, values: checksums };
    return undefined;
  }

  /** The first copy of each stripe. */
  #addReads(logical: number, length: number): boolean {
    for (let at = 0; at < length; ) {
      const chunk = this.#volume.chunks.find(logical + at);
      if (chunk === undefined) return false;
      const place = placeIn(chunk, logical + at);
      const { devid, physical } = chunk.stripes[place.stripe]!;
      const bytes = Math.min(place.contiguous, length - at);
      const from = physical + place.at;
      const size = this.#volume.devices.get(devid)?.source?.size;
      if (size === undefined || from + bytes > size) return false;
      if (!this.#roomFor(this.#builder.read(devid, from, bytes))) return false;
      at += bytes;
    }
    return true;
  }
}
