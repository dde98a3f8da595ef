import { displayName } from "../bytes/display.ts";
import { readContent } from "../edit/content.ts";
import { extentEnd, firstExtent } from "../edit/extents.ts";
import { readInode } from "../edit/inode.ts";
import { getName } from "../edit/names.ts";
import { larger, smaller } from "../edit/offsets.ts";
import type { Place } from "../edit/place.ts";
import { isSubvolumeHere } from "../edit/placeholder.ts";
import { decodeDirEntries } from "../format/dir-item.ts";
import { FILE_EXTENT_INLINE, FILE_EXTENT_PREALLOC, type FileExtent } from "../format/file-extent.ts";
import { itemsOf } from "../format/key.ts";
import { DIR_INDEX, INODE_ITEM, XATTR_ITEM } from "../format/key-type.ts";
import { itemBytes } from "../format/node.ts";
import { EMPTY_SUBVOL_DIR_OBJECTID, FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import { decodeStat } from "../fs/inode.ts";
import { joinPath } from "../fs/path.ts";
import type { Xattr } from "../fs/xattr.ts";
import type { Batches } from "./batches.ts";
import type { SourceNode, SourceStat, Stretch } from "./source.ts";

/** Something in the filesystem that is written to, as the running transaction has it. */
export class ImageSource implements SourceNode {
  readonly shown: string;
  readonly stat: SourceStat;
  readonly inImage: { readonly tree: bigint; readonly inode: bigint } | undefined;
  readonly #batches: Batches;
  readonly #tree: bigint;
  readonly #inode: bigint;
  readonly #path: Uint8Array;

  private constructor(batches: Batches, tree: bigint, inode: bigint, path: Uint8Array, stat: SourceStat) {
    this.#batches = batches;
    this.#tree = tree;
    this.#inode = inode;
    this.#path = path;
    this.shown = displayName(path);
    this.stat = stat;
    this.inImage = inode === EMPTY_SUBVOL_DIR_OBJECTID ? undefined : { tree, inode };
  }

  /** @param path For people. */
  static async open(batches: Batches, tree: bigint, inode: bigint, path: Uint8Array): Promise<ImageSource> {
    const item = await readInode(await batches.place(tree), inode);
    const bytes = new Uint8Array(item.view.buffer, item.view.byteOffset + item.at, 160);
    const stat = decodeStat(bytes, { tree, inode });
    return new ImageSource(batches, tree, inode, path, { ...stat, identity: `${tree} ${inode}` });
  }

  async names(): Promise<Uint8Array[]> {
    const names: Uint8Array[] = [];
    if (this.inImage === undefined) return names;
    const { tx, tree } = await this.#place();
    const walk = await tx.walk(tree, itemsOf(this.#inode, DIR_INDEX));
    for (let span = await walk.next(); span !== undefined; span = await walk.next()) {
      for (let slot = span.first; slot < span.last; slot++)
        for (const { name } of decodeDirEntries(itemBytes(span.leaf, slot))) names.push(name.slice());
    }
    return names;
  }

  async enter(name: Uint8Array): Promise<ImageSource> {
    const place = await this.#place();
    const { location } = await getName(place, this.#inode, name);
    const path = joinPath(this.#path, name);
    if (location.type === INODE_ITEM) return ImageSource.open(this.#batches, this.#tree, location.objectid, path);
    if (await isSubvolumeHere(place, this.#inode, name, location.objectid)) {
      return ImageSource.open(this.#batches, location.objectid, FIRST_FREE_OBJECTID, path);
    }
    // The empty directory where a snapshot has no copy of a nested subvolume.
    const stat: SourceStat = { ...this.stat, mode: 0o755, size: 0n, nlink: 1, identity: `${this.#tree} none` };
    return new ImageSource(this.#batches, this.#tree, EMPTY_SUBVOL_DIR_OBJECTID, path, stat);
  }

  async readLink(): Promise<Uint8Array> {
    const target = new Uint8Array(Number(this.stat.size));
    await readContent(await this.#place(), this.#inode, 0n, target);
    return target;
  }

  async xattrs(): Promise<Xattr[]> {
    const xattrs: Xattr[] = [];
    if (this.inImage === undefined) return xattrs;
    const { tx, tree } = await this.#place();
    const walk = await tx.walk(tree, itemsOf(this.#inode, XATTR_ITEM));
    for (let span = await walk.next(); span !== undefined; span = await walk.next()) {
      for (let slot = span.first; slot < span.last; slot++)
        for (const { name, data } of decodeDirEntries(itemBytes(span.leaf, slot)))
          xattrs.push({ name: name.slice(), value: data.slice() });
    }
    return xattrs;
  }

  async *content(bytes: number): AsyncGenerator<Stretch> {
    const { size } = this.stat;
    const buffer = new Uint8Array(size < BigInt(bytes) ? Number(size) : bytes);
    for (let at = 0n; at < size; ) {
      const run = await this.#nextRun(at, BigInt(buffer.byteLength));
      if (run === undefined) return;
      const data = buffer.subarray(0, Number(run.end - run.start));
      await readContent(await this.#place(), this.#inode, run.start, data);
      yield { at: run.start, data };
      at = run.end;
    }
  }

  /** The next stretch without a hole, from `at` on. @param most Bytes. */
  async #nextRun(at: bigint, most: bigint): Promise<{ readonly start: bigint; readonly end: bigint } | undefined> {
    const place = await this.#place();
    const { sectorSize } = place.tx.volume;
    const { size } = this.stat;
    let start: bigint | undefined;
    for (let end = at; ; ) {
      const extent = end < size ? await firstExtent(place, this.#inode, end, size) : undefined;
      const isNext = extent !== undefined && !isHole(extent) && (start === undefined || extent.fileOffset <= end);
      if (isNext) start ??= larger(extent.fileOffset, at);
      if (start !== undefined && (!isNext || end - start >= most)) {
        return { start, end: smaller(smaller(end, start + most), size) };
      }
      if (extent === undefined) return undefined;
      end = extentEnd(extent, sectorSize);
    }
  }

  isUnchanged(): boolean {
    return true;
  }

  close(): void {}

  #place(): Promise<Place> {
    return this.#batches.place(this.#tree);
  }
}

function isHole(extent: FileExtent): boolean {
  if (extent.type === FILE_EXTENT_INLINE) return false;
  return extent.type === FILE_EXTENT_PREALLOC || extent.diskBytenr === 0;
}
