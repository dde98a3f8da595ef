import { readSafe } from "../bytes/u64.ts";
import {
  COMPRESS_LZO,
  COMPRESS_NONE,
  COMPRESS_ZLIB,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
  FILE_EXTENT_REG,
} from "../format/file-extent.ts";
import { INODE_NODATASUM } from "../format/inode.ts";
import { keyOf } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { keyAt, type Leaf } from "../format/node.ts";
import type { Clones } from "./clones.ts";
import type { FileData } from "./file-data.ts";
import { type FileItem, readFileItem } from "./file-item.ts";
import { fileItems, isFileItem } from "./file-items.ts";
import type { Paths } from "./paths.ts";
import type { SendState } from "./state.ts";

/** `FALLOC_FL_PUNCH_HOLE` and `FALLOC_FL_KEEP_SIZE`. */
const PUNCH_HOLE = 3;
/** `BTRFS_ENCODED_IO_COMPRESSION_*`. */
const ENCODED_ZLIB = 1;
const ENCODED_ZSTD = 2;
const ENCODED_LZO_4K = 3;

export interface DataOptions {
  /** Bytes of DATA in one WRITE. */
  readonly chunkBytes: number;
  readonly compressed: boolean;
  readonly noData: boolean;
  readonly sectorSize: number;
}

/** Data of the current inode: which extents changed, what of them can be cloned, and the holes between them. */
export class Extents {
  readonly #state: SendState;
  readonly #paths: Paths;
  readonly #data: FileData;
  readonly #options: DataOptions;
  readonly #clones: Clones;
  /** End of the item before, once known. */
  #lastEnd: number | undefined;

  constructor(state: SendState, paths: Paths, data: FileData, options: DataOptions, clones: Clones) {
    this.#state = state;
    this.#paths = paths;
    this.#data = data;
    this.#options = options;
    this.#clones = clones;
  }

  startInode(): void {
    this.#lastEnd = undefined;
  }

  /** An item that is new or changed. */
  async send(leaf: Leaf, slot: number): Promise<void> {
    const state = this.#state;
    if (state.isSymlink) return;
    const item = readFileItem(leaf, slot, this.#options.sectorSize);
    if (state.right !== undefined && !state.isNew) {
      if (!(await this.#isUnchanged(item))) await this.#sendItem(item);
      await this.#sendHoleBefore(item);
    } else if (item.type === FILE_EXTENT_INLINE || (item.type === FILE_EXTENT_REG && item.diskBytenr !== 0)) {
      await this.#sendItem(item);
    }
  }

  /** An item that both snapshots have: only the hole in front of it may be new. */
  async pass(leaf: Leaf, slot: number): Promise<void> {
    if (this.#sendsHoles && readSafe(leaf.view, keyAt(leaf, slot)) === this.#state.ino) {
      await this.#sendHoleBefore(readFileItem(leaf, slot, this.#options.sectorSize));
    }
  }

  async #sendItem(item: FileItem): Promise<void> {
    const state = this.#state;
    const { sectorSize } = this.#options;
    const found = await this.#clones.find(item);
    const { start } = item;
    const end = Math.min(item.end, state.size);
    if (start >= end) return;
    if (found !== undefined) {
      let canClone = end % sectorSize === 0;
      if (!canClone && end === state.size) {
        const source = await found.snapshot.getInode(found.ino);
        canClone = found.offset + (end - start) === source.size;
        if (canClone && state.right !== undefined) await this.truncate(start);
      }
      if (canClone) {
        await this.#clones.send(found, item, start, end - start, (at, length) => this.#sendData(item, at, length));
        state.writeEnd = end;
        return;
      }
    }
    await this.#sendData(item, start, end - start);
    state.writeEnd = end;
  }

  async #sendData(item: FileItem, offset: number, length: number): Promise<void> {
    const { noData, compressed, chunkBytes } = this.#options;
    if (noData) return this.#updateExtent(offset, length);
    if (compressed && item.compression !== COMPRESS_NONE) {
      const stored = item.inline?.byteLength ?? item.diskNumBytes;
      if (stored <= length) return this.#encodedWrite(item, offset, length);
    }
    const hasChecksums = await this.#hasChecksums();
    const path = await this.#paths.current();
    const { out } = this.#state;
    for (let at = offset; at < offset + length; at += chunkBytes) {
      const size = Math.min(chunkBytes, offset + length - at);
      out.begin("write");
      out.path("path", path);
      out.number("fileOffset", at);
      const room = out.data(size, this.#data.slack);
      if (room !== undefined) await this.#data.readPlain(item, at, size, room, hasChecksums);
      const waiting = out.end();
      if (waiting !== undefined) await waiting;
    }
  }

  async #encodedWrite(item: FileItem, offset: number, length: number): Promise<void> {
    const { out } = this.#state;
    const path = await this.#paths.current();
    const { inline, start, ramBytes } = item;
    if (inline === undefined) this.#data.check(item);
    const end = inline === undefined ? item.end : start + ramBytes;
    out.begin("encodedWrite");
    out.path("path", path);
    out.number("fileOffset", offset);
    out.number("unencodedFileLen", Math.min(end - offset, length));
    out.number("unencodedLen", ramBytes);
    out.number("unencodedOffset", offset - start + item.offset);
    out.number("compression", encodedCompression(item.compression, this.#options.sectorSize));
    if (inline !== undefined) out.data(inline.byteLength)?.set(inline);
    else {
      out.number("encryption", 0);
      const room = out.data(item.diskNumBytes);
      if (room !== undefined) await this.#data.readStored(item, room, await this.#hasChecksums());
    }
    const waiting = out.end();
    if (waiting !== undefined) await waiting;
  }

  async #hasChecksums(): Promise<boolean> {
    const { left, ino } = this.#state;
    return ((await left.getInode(ino)).flagsLow & INODE_NODATASUM) === 0;
  }

  async #updateExtent(offset: number, length: number): Promise<void> {
    const { out } = this.#state;
    const path = await this.#paths.current();
    out.begin("updateExtent");
    out.path("path", path);
    out.number("fileOffset", offset);
    out.number("size", length);
    await out.end();
  }

  async truncate(size: number): Promise<void> {
    const { out } = this.#state;
    const path = await this.#paths.current();
    out.begin("truncate");
    out.path("path", path);
    out.number("size", size);
    await out.end();
  }

  /** Holes matter where the receiver may have something else. */
  get #sendsHoles(): boolean {
    const { right, isNew, isDeleted, isReplaced, isFile } = this.#state;
    return right !== undefined && !isNew && !isDeleted && !isReplaced && isFile;
  }

  async #sendHoleBefore(item: FileItem): Promise<void> {
    if (!this.#sendsHoles) return;
    // Leaves that both snapshots share are not seen: what ends before this item has to be looked up.
    if (this.#lastEnd === undefined || (item.slot === 0 && this.#lastEnd < item.start)) {
      this.#lastEnd = await this.#endBefore(item.start);
    }
    if (this.#lastEnd < item.start) await this.#sendHole(this.#lastEnd, item.start);
    this.#lastEnd = item.end;
  }

  /** The hole at the end of the current inode. */
  async sendLastHole(): Promise<void> {
    const { size } = this.#state;
    if (!this.#sendsHoles) return;
    if (this.#lastEnd === undefined || this.#lastEnd < size) this.#lastEnd = await this.#endBefore(undefined);
    if (this.#lastEnd < size) await this.#sendHole(this.#lastEnd, size);
  }

  /** End of the last item that begins before `offset`. */
  async #endBefore(offset: number | undefined): Promise<number> {
    const { left, ino } = this.#state;
    const last = offset === undefined ? 0xffff_ffff_ffff_ffffn : BigInt(offset) - 1n;
    if (last < 0n) return 0;
    const span = await left.tree.find(keyOf(BigInt(ino), EXTENT_DATA, last), "atOrBefore");
    if (span === undefined || !isFileItem(span.leaf, span.first, ino)) return 0;
    return readFileItem(span.leaf, span.first, this.#options.sectorSize).end;
  }

  async #sendHole(start: number, end: number): Promise<void> {
    const state = this.#state;
    const { out } = state;
    const { noData, chunkBytes } = this.#options;
    if (await this.#isHoleInParent(start, end)) return;
    if (out.version >= 2) {
      const path = await this.#paths.current();
      out.begin("fallocate");
      out.path("path", path);
      out.number("fallocateMode", PUNCH_HOLE);
      out.number("fileOffset", start);
      out.number("size", end - start);
      await out.end();
      return;
    }
    if (start >= state.size) return;
    const stop = Math.min(end, state.size);
    if (noData) return this.#updateExtent(start, stop - start);
    const path = await this.#paths.current();
    for (let at = start; at < stop; at += chunkBytes) {
      const size = Math.min(chunkBytes, stop - at);
      out.begin("write");
      out.path("path", path);
      out.number("fileOffset", at);
      out.data(size)?.fill(0);
      const waiting = out.end();
      if (waiting !== undefined) await waiting;
    }
    state.writeEnd = stop;
  }

  async #isHoleInParent(start: number, end: number): Promise<boolean> {
    const { right, ino } = this.#state;
    for await (const item of fileItems(right!.tree, ino, start, this.#options.sectorSize)) {
      if (item.start >= end) break;
      if (item.end <= start) continue;
      if (item.type === FILE_EXTENT_INLINE || item.diskBytenr !== 0) return false;
    }
    return true;
  }

  /** Whether the parent has the same bytes in the same place, as far as the kernel looks. */
  async #isUnchanged(item: FileItem): Promise<boolean> {
    if (item.type !== FILE_EXTENT_REG) return false;
    const { right, ino } = this.#state;
    const { start, end } = item;
    const isHole = item.diskBytenr === 0;
    let reached: number | undefined;
    for await (const other of fileItems(right!.tree, ino, start, this.#options.sectorSize)) {
      // Without an item at or before the offset, the parent has nothing here.
      if (reached === undefined && other.start > start) return isHole;
      if (reached !== undefined && other.start !== reached) return false;
      if (reached !== undefined && other.start >= end) return true;
      if (other.type === FILE_EXTENT_PREALLOC) return false;
      if (other.end <= start) return isHole;
      if (other.type === FILE_EXTENT_INLINE) return false;
      const ours = item.offset + Math.max(other.start - start, 0);
      const theirs = other.offset + Math.max(start - other.start, 0);
      if (item.diskBytenr !== other.diskBytenr || ours !== theirs || item.generation !== other.generation) return false;
      reached = other.end;
    }
    return reached === undefined ? isHole : reached >= end;
  }
}

function encodedCompression(compression: number, sectorSize: number): number {
  if (compression === COMPRESS_ZLIB) return ENCODED_ZLIB;
  return compression === COMPRESS_LZO ? ENCODED_LZO_4K + Math.log2(sectorSize) - 12 : ENCODED_ZSTD;
}
