import { toBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { BtrfsError } from "../errors.ts";
import { COMPRESS_NONE } from "../format/file-extent.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../format/inode.ts";
import { isHeldXattr } from "../format/xattr-names.ts";
import type { ContentRunner } from "./content.ts";
import { changed, FILE, isSame } from "./content.ts";
import { ContentStream, contentJobs, type ReadContent } from "./content-stream.ts";
import { type DataBatch, type DataWriter, noteExtents } from "./data-writer.ts";
import type { ExtentTable } from "./extent-table.ts";
import { EXTENT, type InodeFacts, InodeWriter } from "./inode-writer.ts";
import { type NameTable, whereOf } from "./name-table.ts";
import type { Recipe } from "./recipe.ts";
import type { SourceStat, SourceTime, SourceXattr, TreeSource } from "./source.ts";
import type { TreeWriter } from "./tree-writer.ts";
import type { Twin, Twins } from "./twins.ts";

const MAX_TARGET_BYTES = 4095;

/** What all subvolumes of a new filesystem share. */
export interface Making {
  readonly recipe: Recipe;
  readonly source: TreeSource;
  readonly runner: ContentRunner;
  readonly data: DataWriter;
  readonly extents: ExtentTable;
  /** Algorithms that some data is compressed with. */
  readonly used: Set<number>;
  /** Times that follow from the modification alone: not later than this, where it is given. */
  readonly fixedTimes?: { readonly latest?: SourceTime | undefined } | undefined;
  /** Files that share their extents. */
  readonly twins: Twins;
  /** Called when there may be much to write. */
  readonly settle: () => Promise<void>;
  readonly onEntry: () => void;
  /** Told, as a sentence, what can't be kept. */
  readonly onWarning?: ((sentence: string) => void) | undefined;
}

/** Writes the tree of one subvolume. */
export async function writeSubvolume(
  making: Making,
  { id, position, names }: { readonly id: bigint; readonly position: number; readonly names: NameTable },
  tree: TreeWriter,
): Promise<void> {
  await new SubvolumeWriter(making, id, names, tree, making.twins.get(position) ?? new Map()).run();
}

class SubvolumeWriter {
  readonly #making: Making;
  readonly #id: bigint;
  readonly #names: NameTable;
  readonly #writer: InodeWriter;
  readonly #contents: ContentStream;
  readonly #twins: ReadonlyMap<number, Twin>;
  #batch: OpenBatch | undefined;

  constructor(making: Making, id: bigint, names: NameTable, tree: TreeWriter, twins: ReadonlyMap<number, Twin>) {
    const { recipe, source, runner, data } = making;
    this.#making = making;
    this.#id = id;
    this.#names = names;
    this.#writer = new InodeWriter(recipe, tree, names);
    this.#twins = twins;
    const isRead = (entry: number): boolean => twins.get(entry)?.original === undefined;
    const jobs = contentJobs(source, names, recipe.sectorSize, isRead);
    this.#contents = new ContentStream(runner, jobs, data.buffers);
  }

  async run(): Promise<void> {
    const names = this.#names;
    for (let entry = 0; entry < names.count; entry++) {
      if (names.isSubvolume(entry) || names.isLink(entry)) continue;
      const original = this.#twins.get(entry)?.original;
      if (original !== undefined) await this.#shared(entry, original);
      else if (names.type(entry) === S_IFREG) await this.#file(entry);
      else await this.#other(entry);
      this.#making.onEntry();
      if ((entry & 63) === 0) await this.#making.settle();
    }
  }

  async #other(entry: number): Promise<void> {
    const { source } = this.#making;
    const names = this.#names;
    const path = names.path(entry);
    const stat = await source.stat(path);
    const type = stat.mode & S_IFMT;
    if (type !== names.type(entry)) throw changed(path);
    const xattrs = await source.xattrs(path);
    const number = names.number(entry);
    const nlink = 1 + (names.links.get(entry)?.length ?? 0);
    if (type === S_IFDIR) {
      const { first, count } = names.children(entry);
      let size = 0;
      for (let child = first; child < first + count; child++) size += 2 * names.nameBytes(child);
      this.#head(entry, { ...this.#facts(stat), size, nlink: 1 }, xattrs);
      this.#writer.entries(entry);
    } else if (type === S_IFLNK) {
      const target = toBytes(await source.readLink(path));
      const most = Math.min(MAX_TARGET_BYTES, this.#writer.mostInline);
      if (target.byteLength === 0 || target.byteLength > most) {
        const sentence = `Cannot take link: its target has ${target.byteLength} bytes, 1 to ${most} may be`;
        throw new BtrfsError("limit", sentence, whereOf(path));
      }
      const size = target.byteLength;
      this.#head(entry, { ...this.#facts(stat), size, nbytes: size, nlink }, xattrs);
      this.#writer.inline(number, target, size, COMPRESS_NONE);
    } else {
      // As the kernel packs it on disk.
      const isDevice = type === S_IFCHR || type === S_IFBLK;
      const rdev = isDevice ? stat.major * 0x10_0000 + stat.minor : 0;
      this.#head(entry, { ...this.#facts(stat), rdev, nlink }, xattrs);
    }
  }

  /** A file that shows the extents of another one. */
  async #shared(entry: number, { rows = [], firstRow = 0 }: Twin): Promise<void> {
    const { source, extents } = this.#making;
    const names = this.#names;
    const path = names.path(entry);
    const stat = await source.stat(path);
    if (!isSame(stat, this.#twins.get(entry)!.stat)) throw changed(path);
    const nlink = 1 + (names.links.get(entry)?.length ?? 0);
    const facts = { ...this.#facts(stat), size: stat.size, nbytes: bytesIn(rows), nlink };
    this.#head(entry, facts, await source.xattrs(path));
    const inode = names.number(entry);
    this.#writer.extents(inode, rows, stat.size);
    for (let row = 0; row < rows.length; row += EXTENT.columns) {
      const offset = rows[row + EXTENT.fileOffset]!;
      extents.share(firstRow + row / EXTENT.columns, { root: this.#id, inode, offset });
    }
  }

  async #file(entry: number): Promise<void> {
    const names = this.#names;
    const twin = this.#twins.get(entry);
    const rows: number[] = [];
    let facts: InodeFacts | undefined;
    let xattrs: readonly SourceXattr[] = [];
    for (;;) {
      const batch = await this.#batchOf(entry);
      const row = batch.row();
      if (twin !== undefined && !isRowOf(row, twin.stat)) throw changed(names.path(entry));
      const own = this.#fileFacts(entry, row);
      facts ??= own;
      if (!sameFacts(facts, own)) throw changed(names.path(entry));
      xattrs = batch.xattrs() ?? xattrs;
      const inline = batch.inline(row[FILE.inline]!);
      batch.data.place(row[FILE.pieces]!, rows);
      const isDone = batch.next();
      if (inline !== undefined) {
        const compression = row[FILE.inlineCompression]!;
        if (compression !== COMPRESS_NONE) this.#making.used.add(compression);
        this.#head(entry, { ...facts, nbytes: facts.size }, xattrs);
        this.#writer.inline(names.number(entry), inline, facts.size, compression);
        return;
      }
      if (isDone) break;
      await this.#making.settle();
    }
    this.#head(entry, { ...facts, nbytes: bytesIn(rows) }, xattrs);
    this.#writer.extents(names.number(entry), rows, facts.size);
    const firstRow = noteExtents(this.#making.extents, this.#id, names.number(entry), rows);
    if (twin !== undefined) Object.assign(twin, { rows, firstRow });
    for (let row = EXTENT.compression; row < rows.length; row += EXTENT.columns) this.#making.used.add(rows[row]!);
  }

  #head(entry: number, facts: InodeFacts, xattrs: readonly SourceXattr[]): void {
    this.#writer.inode(this.#names.number(entry), facts);
    this.#writer.refs(entry);
    this.#writer.xattrs(entry, xattrs.length === 0 ? xattrs : this.#held(entry, xattrs));
  }

  /** The attributes that btrfs has a place for; the others are told. */
  #held(entry: number, xattrs: readonly SourceXattr[]): readonly SourceXattr[] {
    return xattrs.filter(({ name }) => {
      const shown = displayName(name);
      if (isHeldXattr(shown)) return true;
      const path = displayName(this.#names.path(entry));
      this.#making.onWarning?.(`not kept: ${path === "" ? "." : path}: btrfs has no attribute ${shown}`);
      return false;
    });
  }

  async #batchOf(entry: number): Promise<OpenBatch> {
    this.#batch ??= await this.#open();
    if (this.#batch.isAt(entry)) return this.#batch;
    throw new RangeError(`Cannot go on: content of entry ${entry} was expected`);
  }

  async #open(): Promise<OpenBatch> {
    const content = await this.#contents.next();
    await this.#making.settle();
    return new OpenBatch(content, this.#making.data.batch(content.result), () => {
      this.#batch = undefined;
    });
  }

  #facts(stat: SourceStat): InodeFacts {
    const { mode, uid, gid, atime, mtime, ctime } = stat;
    const times = this.#times({ atime, mtime, ctime, otime: stat.otime ?? ctime });
    return { mode, uid, gid, size: 0, nbytes: 0, nlink: 1, rdev: 0, ...times };
  }

  #fileFacts(entry: number, row: Float64Array): InodeFacts {
    const names = this.#names;
    const time = (at: number): SourceTime => ({ sec: row[at]!, nsec: row[at + 1]! });
    return {
      mode: row[FILE.mode]!,
      uid: row[FILE.uid]!,
      gid: row[FILE.gid]!,
      size: names.size(entry),
      nbytes: 0,
      nlink: 1 + (names.links.get(entry)?.length ?? 0),
      rdev: 0,
      ...this.#times({
        atime: time(FILE.atime),
        mtime: time(FILE.mtime),
        ctime: time(FILE.ctime),
        otime: time(FILE.otime),
      }),
    };
  }

  #times(times: Pick<InodeFacts, "atime" | "mtime" | "ctime" | "otime">): typeof times {
    const { fixedTimes } = this.#making;
    if (fixedTimes === undefined) return times;
    const { latest } = fixedTimes;
    const mtime = latest !== undefined && isLater(times.mtime, latest) ? latest : times.mtime;
    return { atime: mtime, mtime, ctime: mtime, otime: mtime };
  }
}

/** A result that is being taken apart. */
class OpenBatch {
  readonly data: DataBatch;
  readonly #content: ReadContent;
  readonly #onEnd: () => void;
  #index = 0;
  #inlineAt = 0;

  constructor(content: ReadContent, data: DataBatch, onEnd: () => void) {
    this.#content = content;
    this.data = data;
    this.#onEnd = onEnd;
  }

  isAt(entry: number): boolean {
    return this.#content.entries[this.#index] === entry;
  }

  row(): Float64Array {
    const { files } = this.#content.result;
    return files.subarray(this.#index * FILE.columns, (this.#index + 1) * FILE.columns);
  }

  xattrs(): readonly SourceXattr[] | undefined {
    return this.#content.result.xattrs.get(this.#index);
  }

  inline(bytes: number): Uint8Array | undefined {
    if (bytes === 0) return undefined;
    const at = this.#inlineAt;
    this.#inlineAt += bytes;
    return this.#content.result.inline.subarray(at, at + bytes);
  }

  /** Goes on to the next file. @returns Whether this one is complete. */
  next(): boolean {
    this.#index++;
    if (this.#index < this.#content.entries.length) return true;
    this.data.finish();
    this.#onEnd();
    return this.#content.isLast;
  }
}

function bytesIn(rows: readonly number[]): number {
  let sum = 0;
  for (let row = 0; row < rows.length; row += EXTENT.columns) sum += rows[row + EXTENT.fileBytes]!;
  return sum;
}

function isLater(a: SourceTime, b: SourceTime): boolean {
  return a.sec > b.sec || (a.sec === b.sec && a.nsec > b.nsec);
}

/** Whether a file was read as it was before. */
function isRowOf(row: Float64Array, { mtime, ctime }: SourceStat): boolean {
  const isTime = (at: number, { sec, nsec }: SourceTime): boolean => row[at] === sec && row[at + 1] === nsec;
  return isTime(FILE.mtime, mtime) && isTime(FILE.ctime, ctime);
}

/** Whether two parts of a file were read of the same state of it. */
function sameFacts(a: InodeFacts, b: InodeFacts): boolean {
  const times = ["mtime", "ctime"] as const;
  return a.mode === b.mode && times.every((name) => a[name].sec === b[name].sec && a[name].nsec === b[name].nsec);
}
