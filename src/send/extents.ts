import { readSafe } from "../bytes/u64.ts";
import {
  COMPRESS_LZO,
  COMPRESS_NONE,
  COMPRESS_ZLIB,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
  FILE_EXTENT_REG,
} from "../format/file-extent.ts";
import { keyOf } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { keyAt, type Leaf } from "../format/node.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import type { LeafSpan } from "../tree/source.ts";
import type { CloneSource, Clones } from "./clones.ts";
import type { FileData } from "./file-data.ts";
import { type FileItem, readFileItem } from "./file-item.ts";
import { fileItems, findFileItem, isFileItem, visitFileItems } from "./file-items.ts";
import { hasChecksums } from "./inode-facts.ts";
import type { Paths } from "./paths.ts";
import type { SendState } from "./state.ts";
import { andThen, whenRead } from "./unread.ts";

/** Commands of one extent that are written before there may be a wait. */
const AT_ONCE = 16;

const NOTHING = new Uint8Array(0);

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
  /** Sends what Linux sends also where that leaves other bytes at the receiver. */
  readonly imitatesFaults: boolean;
  readonly sectorSize: number;
  /** Items are left out leaf by leaf only. */
  readonly seesLeaves: boolean;
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

  /** An item that is new or changed. A promise only where it has to be waited for. */
  send(leaf: Leaf, slot: number): void | Promise<void> {
    const state = this.#state;
    if (state.isSymlink) return;
    const item = readFileItem(leaf, slot, this.#options.sectorSize);
    if (state.right !== undefined && !state.isNew) return this.#sendChanged(item);
    if (item.type === FILE_EXTENT_INLINE || (item.type === FILE_EXTENT_REG && item.diskBytenr !== 0)) {
      return this.#sendItem(item);
    }
  }

  #sendChanged(item: FileItem): void | Promise<void> {
    const isUnchanged = this.#isUnchanged(item);
    if (isUnchanged instanceof Promise) return isUnchanged.then((is) => this.#sendUnless(is, item));
    return this.#sendUnless(isUnchanged, item);
  }

  #sendUnless(isUnchanged: boolean, item: FileItem): void | Promise<void> {
    const sent = isUnchanged ? undefined : this.#sendItem(item);
    return sent === undefined ? this.#sendHoleBefore(item) : sent.then(() => this.#sendHoleBefore(item));
  }

  /** An item that both snapshots have: only the hole in front of it may be new. */
  pass(leaf: Leaf, slot: number): void | Promise<void> {
    if (!this.#sendsHoles || readSafe(leaf.view, keyAt(leaf, slot)) !== this.#state.ino) return;
    return this.#sendHoleBefore(readFileItem(leaf, slot, this.#options.sectorSize));
  }

  #sendItem(item: FileItem): void | Promise<void> {
    const found = this.#clones.find(item);
    if (found instanceof Promise) return found.then((source) => this.#sendFrom(source, item));
    return this.#sendFrom(found, item);
  }

  #sendFrom(found: CloneSource | undefined, item: FileItem): void | Promise<void> {
    const state = this.#state;
    const { start } = item;
    const end = Math.min(item.end, state.size);
    if (start >= end) return;
    const sent = found === undefined ? this.#sendData(item, start, end - start) : this.#sendClone(found, item, end);
    if (sent === undefined) state.writeEnd = end;
    else {
      return sent.then(() => {
        state.writeEnd = end;
      });
    }
  }

  async #sendClone(found: CloneSource, item: FileItem, end: number): Promise<void> {
    const state = this.#state;
    const { sectorSize } = this.#options;
    const { start } = item;
    let canClone = end % sectorSize === 0;
    if (!canClone && end === state.size) {
      const source = await whenRead(() => found.snapshot.getInode(found.ino));
      canClone = found.offset + (end - start) === source.size;
      if (canClone && state.right !== undefined) await this.truncate(start);
    }
    if (!canClone) await this.#sendData(item, start, end - start);
    else
      await this.#clones.send(found, item, start, end - start, async (at, length) => this.#sendData(item, at, length));
  }

  #sendData(item: FileItem, offset: number, length: number): void | Promise<void> {
    const { noData, chunkBytes } = this.#options;
    if (noData) return this.#updateExtent(offset, length);
    if (length > AT_ONCE * chunkBytes) return this.#sendLong(item, offset, length);
    const file = whenRead(() => this.#file());
    if (file instanceof Promise) return file.then((found) => this.#sendAtOnce(item, offset, length, found));
    this.#sendAtOnce(item, offset, length, file);
  }

  #file(): { readonly path: Uint8Array; readonly verified: boolean } {
    const { left, ino } = this.#state;
    return { path: this.#paths.current(), verified: hasChecksums(left.getInode(ino)) };
  }

  #sendAtOnce(
    item: FileItem,
    offset: number,
    length: number,
    { path, verified }: { readonly path: Uint8Array; readonly verified: boolean },
  ): void {
    if (this.#isEncoded(item, length)) this.#encodedWrite(item, offset, length, path, verified);
    else this.#writePlain(item, offset, length, path, verified);
  }

  async #sendLong(item: FileItem, offset: number, length: number): Promise<void> {
    const { out } = this.#state;
    const { path, verified } = await whenRead(() => this.#file());
    if (this.#isEncoded(item, length)) return this.#encodedWrite(item, offset, length, path, verified);
    const step = AT_ONCE * this.#options.chunkBytes;
    for (let at = offset; at < offset + length; at += step) {
      this.#writePlain(item, at, Math.min(step, offset + length - at), path, verified);
      if (out.isFull) await out.drain();
    }
  }

  #isEncoded(item: FileItem, length: number): boolean {
    if (!this.#options.compressed || item.compression === COMPRESS_NONE) return false;
    // Where the file goes on behind an inline extent, the rest of its block is zeros, which an encoded write does not
    // write. Linux sends one all the same: a receiver keeps there what the parent had, and a file that ends there gets
    // too short, for no TRUNCATE follows.
    const endsEarly = item.inline !== undefined && item.ramBytes < length;
    const isLost = endsEarly && (this.#sendsHoles || this.#state.size <= item.end);
    if (isLost && !this.#options.imitatesFaults) return false;
    return (item.inline?.byteLength ?? item.diskNumBytes) <= length;
  }

  #writePlain(item: FileItem, offset: number, length: number, path: Uint8Array, verified: boolean): void {
    const { out, ino } = this.#state;
    const { chunkBytes } = this.#options;
    for (let at = offset; at < offset + length; at += chunkBytes) {
      const size = Math.min(chunkBytes, offset + length - at);
      out.begin(COMMANDS.write);
      out.path(ATTRIBUTES.path, path);
      out.number(ATTRIBUTES.fileOffset, at);
      this.#data.plain(item, at, size, ino, verified);
      out.end();
    }
  }

  #encodedWrite(item: FileItem, offset: number, length: number, path: Uint8Array, verified: boolean): void {
    const { out, ino } = this.#state;
    const { inline, start, ramBytes } = item;
    if (inline === undefined) this.#data.check(item);
    const end = inline === undefined ? item.end : start + ramBytes;
    out.begin(COMMANDS.encodedWrite);
    out.path(ATTRIBUTES.path, path);
    out.number(ATTRIBUTES.fileOffset, offset);
    out.number(ATTRIBUTES.unencodedFileLen, Math.min(end - offset, length));
    out.number(ATTRIBUTES.unencodedLen, ramBytes);
    out.number(ATTRIBUTES.unencodedOffset, offset - start + item.offset);
    out.number(ATTRIBUTES.compression, encodedCompression(item.compression, this.#options.sectorSize));
    if (inline === undefined) out.number(ATTRIBUTES.encryption, 0);
    this.#data.stored(item, ino, verified);
    out.end();
  }

  async #updateExtent(offset: number, length: number): Promise<void> {
    const { out } = this.#state;
    const path = await whenRead(() => this.#paths.current());
    out.begin(COMMANDS.updateExtent);
    out.path(ATTRIBUTES.path, path);
    out.number(ATTRIBUTES.fileOffset, offset);
    out.number(ATTRIBUTES.size, length);
    out.end();
  }

  truncate(size: number): void | Promise<void> {
    return whenRead(() => {
      const path = this.#paths.current();
      const { out } = this.#state;
      out.begin(COMMANDS.truncate);
      out.path(ATTRIBUTES.path, path);
      out.number(ATTRIBUTES.size, size);
      out.end();
    });
  }

  /** Holes matter where the receiver may have something else. */
  get #sendsHoles(): boolean {
    const { right, isNew, isDeleted, isReplaced, isFile } = this.#state;
    return right !== undefined && !isNew && !isDeleted && !isReplaced && isFile;
  }

  #sendHoleBefore(item: FileItem): void | Promise<void> {
    if (!this.#sendsHoles) return;
    // Leaves that both snapshots share are not seen: what ends before this item has to be looked up.
    const isFirst = item.slot === 0 || !this.#options.seesLeaves;
    const isKnown = this.#lastEnd !== undefined && !(isFirst && this.#lastEnd < item.start);
    const end = isKnown ? this.#lastEnd! : this.#endBefore(item.start);
    if (end instanceof Promise) return end.then((known) => this.#sendHoleFrom(known, item));
    return this.#sendHoleFrom(end, item);
  }

  #sendHoleFrom(end: number, item: FileItem): void | Promise<void> {
    this.#lastEnd = item.end;
    if (end < item.start) return this.#sendHole(end, item.start);
  }

  /** The hole at the end of the current inode. */
  sendLastHole(): void | Promise<void> {
    const { size } = this.#state;
    if (!this.#sendsHoles || (this.#lastEnd !== undefined && this.#lastEnd >= size)) return;
    return andThen(this.#endBefore(undefined), (end) => {
      this.#lastEnd = end;
      if (end < size) return this.#sendHole(end, size);
    });
  }

  /** End of the last item that begins before `offset`. */
  #endBefore(offset: number | undefined): number | Promise<number> {
    const { left, ino } = this.#state;
    if (offset === 0) return 0;
    const last = offset === undefined ? Number.MAX_SAFE_INTEGER : offset - 1;
    const span = findFileItem(left.tree, ino, last);
    if (span !== null) return this.#endOf(span);
    return left.tree
      .find(keyOf(BigInt(ino), EXTENT_DATA, BigInt(last)), "atOrBefore")
      .then((read) => this.#endOf(read));
  }

  #endOf(span: LeafSpan | undefined): number {
    if (span === undefined || !isFileItem(span.leaf, span.first, this.#state.ino)) return 0;
    return readFileItem(span.leaf, span.first, this.#options.sectorSize).end;
  }

  async #sendHole(start: number, end: number): Promise<void> {
    const state = this.#state;
    const { out } = state;
    const { noData, chunkBytes } = this.#options;
    if (await this.#isHoleInParent(start, end)) return;
    if (out.version >= 2) {
      const path = await whenRead(() => this.#paths.current());
      out.begin(COMMANDS.fallocate);
      out.path(ATTRIBUTES.path, path);
      out.number(ATTRIBUTES.fallocateMode, PUNCH_HOLE);
      out.number(ATTRIBUTES.fileOffset, start);
      out.number(ATTRIBUTES.size, end - start);
      out.end();
      return;
    }
    if (start >= state.size) return;
    const stop = Math.min(end, state.size);
    if (noData) return this.#updateExtent(start, stop - start);
    const path = await whenRead(() => this.#paths.current());
    for (let at = start; at < stop; at += chunkBytes) {
      const size = Math.min(chunkBytes, stop - at);
      out.begin(COMMANDS.write);
      out.path(ATTRIBUTES.path, path);
      out.number(ATTRIBUTES.fileOffset, at);
      out.data(NOTHING, size);
      out.end();
      if (out.isFull) await out.drain();
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
  #isUnchanged(item: FileItem): boolean | Promise<boolean> {
    if (item.type !== FILE_EXTENT_REG) return false;
    const { right, ino } = this.#state;
    const { start, end } = item;
    const isHole = item.diskBytenr === 0;
    let reached: number | undefined;
    let answer: boolean | undefined;
    const judge = (other: FileItem): boolean | undefined => {
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
      return undefined;
    };
    const decide = (): boolean => answer ?? (reached === undefined ? isHole : reached >= end);
    const visit = (other: FileItem): boolean => {
      answer = judge(other);
      return answer !== undefined;
    };
    const visiting = visitFileItems(right!.tree, ino, start, this.#options.sectorSize, visit);
    return visiting === undefined ? decide() : visiting.then(decide);
  }
}

function encodedCompression(compression: number, sectorSize: number): number {
  if (compression === COMPRESS_ZLIB) return ENCODED_ZLIB;
  return compression === COMPRESS_LZO ? ENCODED_LZO_4K + Math.log2(sectorSize) - 12 : ENCODED_ZSTD;
}
