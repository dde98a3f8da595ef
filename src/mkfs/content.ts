import { firstNonZero } from "../bytes/bytes.ts";
import type { Checksum } from "../checksum/checksum.ts";
import type { Encode } from "../codec/encoder.ts";
import { looksRandom } from "../codec/looks-random.ts";
import { PIECE_BYTES } from "../edit/pack.ts";
import { BtrfsError } from "../errors.ts";
import { COMPRESS_NONE, DEFAULT_MAX_INLINE } from "../format/file-extent.ts";
import { S_IFMT, S_IFREG } from "../format/inode.ts";
import { whereOf } from "./name-table.ts";
import type { SourceFile, SourceStat, SourceXattr, TreeSource } from "./source.ts";

/** File bytes of one job, unless it is one small file. */
export const JOB_BYTES = 4 << 20;

/** How content is stored. */
export interface ContentOptions {
  readonly sectorSize: number;
  /** Number of the algorithm, and what compresses with it; none for plain data. */
  readonly compression: number;
  readonly encode?: Encode | undefined;
  readonly checksum: Checksum;
}

/** Files to read, or a part of a large one. */
export interface ContentJob {
  readonly paths: readonly Uint8Array[];
  /** For each: size of the file, and the first and last byte that is wanted. */
  readonly ranges: Float64Array;
  /** For the data of the result, from an earlier one. */
  readonly buffer?: ArrayBuffer | undefined;
}

/** Columns of `ContentResult.files`. */
export const FILE = {
  mode: 0,
  uid: 1,
  gid: 2,
  atime: 3,
  mtime: 5,
  ctime: 7,
  otime: 9,
  /** Rows of `pieces`. */
  pieces: 11,
  /** Stored bytes of inline data; 0 where it has none. */
  inline: 12,
  inlineCompression: 13,
  columns: 14,
} as const;

/** Columns of `ContentResult.pieces`. */
export const PIECE = { fileOffset: 0, fileBytes: 1, storedBytes: 2, compression: 3, columns: 4 } as const;

/** Contents as they are stored, in the order of the job. */
export interface ContentResult {
  /** Whole sectors, one piece behind the other; `dataBytes` of them. */
  readonly data: Uint8Array<ArrayBuffer>;
  readonly dataBytes: number;
  /** Of the sectors of `data`. */
  readonly checksums: Uint8Array;
  /** What is stored in the tree, one file behind the other. */
  readonly inline: Uint8Array;
  readonly files: Float64Array;
  readonly pieces: Float64Array;
  /** By position in the job, of those that have any. */
  readonly xattrs: ReadonlyMap<number, readonly SourceXattr[]>;
}

/** Does jobs, several at a time where there are threads. */
export interface ContentRunner {
  /** Jobs under way at most. */
  readonly width: number;
  run(job: ContentJob): Promise<ContentResult>;
}

/** Bytes of a buffer that is long enough for every job. */
export function bufferBytes(sectorSize: number): number {
  return JOB_BYTES + sectorSize;
}

/** Reads files and makes of them what is stored. */
export class ContentReader implements ContentRunner {
  readonly width = 1;
  readonly #source: TreeSource;
  readonly #options: ContentOptions;
  /** What is read, where it is compressed from. */
  readonly #input: Uint8Array | undefined;
  readonly #packed: Uint8Array;
  readonly #inline = new Uint8Array(JOB_BYTES);
  #last: Promise<unknown> = Promise.resolve();

  constructor(source: TreeSource, options: ContentOptions) {
    this.#source = source;
    this.#options = options;
    this.#input = options.encode === undefined ? undefined : new Uint8Array(bufferBytes(options.sectorSize));
    this.#packed = new Uint8Array(DEFAULT_MAX_INLINE);
  }

  /** One job after the other: they share buffers. */
  run(job: ContentJob): Promise<ContentResult> {
    const result = this.#last.then(() => this.#run(job));
    this.#last = result.catch(() => {});
    return result;
  }

  async #run({ paths, ranges, buffer }: ContentJob): Promise<ContentResult> {
    const { sectorSize, checksum } = this.#options;
    const data = new Uint8Array(buffer ?? new ArrayBuffer(bufferBytes(sectorSize)));
    const state: JobState = { data, used: 0, inlineUsed: 0, pieces: [] };
    const files = new Float64Array(paths.length * FILE.columns);
    const xattrs = new Map<number, readonly SourceXattr[]>();
    for (const [index, path] of paths.entries()) {
      const file = await this.#source.open(path);
      try {
        const row = files.subarray(index * FILE.columns, (index + 1) * FILE.columns);
        const [size, start, end] = [ranges[index * 3]!, ranges[index * 3 + 1]!, ranges[index * 3 + 2]!];
        const own = await this.#readFile(state, row, path, file, size, start, end);
        if (start === 0 && own.length > 0) xattrs.set(index, own);
      } finally {
        await file.close();
      }
    }
    const checksums = new Uint8Array((state.used / sectorSize) * checksum.byteLength);
    checksum.computeSectors(data.subarray(0, state.used), sectorSize, checksums);
    return {
      data,
      dataBytes: state.used,
      checksums,
      inline: this.#inline.slice(0, state.inlineUsed),
      files,
      pieces: Float64Array.from(state.pieces),
      xattrs,
    };
  }

  async #readFile(
    state: JobState,
    row: Float64Array,
    path: Uint8Array,
    file: SourceFile,
    size: number,
    start: number,
    end: number,
  ): Promise<readonly SourceXattr[]> {
    const before = await file.stat();
    if ((before.mode & S_IFMT) !== S_IFREG || before.size !== size) throw changed(path);
    noteStat(row, before);
    const bytes = end - start;
    const input = this.#input ?? state.data.subarray(state.used);
    for (let done = 0; done < bytes; ) {
      const count = await file.read(start + done, input.subarray(done, bytes));
      if (count === 0) throw changed(path);
      done += count;
    }
    const xattrs = start === 0 ? await file.xattrs() : [];
    const after = await file.stat();
    if (!isSame(before, after)) throw changed(path);
    const rows = state.pieces.length;
    if (bytes > 0 && !(start === 0 && end === size && this.#storeInline(state, row, input.subarray(0, bytes)))) {
      this.#storePieces(state, input, start, bytes);
    }
    row[FILE.pieces] = (state.pieces.length - rows) / PIECE.columns;
    return xattrs;
  }

  /** A small file as it lies in the tree. @returns Whether it is small enough. */
  #storeInline(state: JobState, row: Float64Array, content: Uint8Array): boolean {
    const { sectorSize, encode, compression } = this.#options;
    if (content.byteLength > sectorSize) return false;
    const room = Math.min(DEFAULT_MAX_INLINE, content.byteLength - 1);
    const packed = encode === undefined || room === 0 ? 0 : encode(content, this.#packed.subarray(0, room), true);
    if (packed === 0 && content.byteLength > DEFAULT_MAX_INLINE) return false;
    const stored = packed === 0 ? content : this.#packed.subarray(0, packed);
    this.#inline.set(stored, state.inlineUsed);
    state.inlineUsed += stored.byteLength;
    row[FILE.inline] = stored.byteLength;
    row[FILE.inlineCompression] = packed === 0 ? COMPRESS_NONE : compression;
    return true;
  }

  /** Sectors of zeros become holes, the others extents; compressed ones do not reach over 128 KiB of the file. */
  #storePieces(state: JobState, input: Uint8Array, start: number, bytes: number): void {
    const { sectorSize, encode } = this.#options;
    const end = Math.ceil(bytes / sectorSize) * sectorSize;
    input.fill(0, bytes, end);
    for (let at = nextData(input, 0, end, sectorSize); at < end; ) {
      const border = encode === undefined ? end : at + PIECE_BYTES - ((start + at) % PIECE_BYTES);
      const last = nextHole(input, at, Math.min(border, end), sectorSize);
      if (encode === undefined || !this.#storeCompressed(state, input, start, at, last, bytes)) {
        const isThere =
          input.buffer === state.data.buffer && input.byteOffset + at === state.data.byteOffset + state.used;
        if (!isThere) state.data.set(input.subarray(at, last), state.used);
        notePiece(state, start + at, last - at, last - at, COMPRESS_NONE);
      }
      at = nextData(input, last, end, sectorSize);
    }
  }

  #storeCompressed(
    state: JobState,
    input: Uint8Array,
    start: number,
    at: number,
    last: number,
    bytes: number,
  ): boolean {
    const { sectorSize, encode, compression } = this.#options;
    const content = input.subarray(at, Math.min(last, bytes));
    const room = last - at - sectorSize;
    if (room <= 0 || looksRandom(content)) return false;
    const packed = encode!(content, state.data.subarray(state.used, state.used + room), false);
    if (packed === 0) return false;
    const stored = Math.ceil(packed / sectorSize) * sectorSize;
    state.data.fill(0, state.used + packed, state.used + stored);
    notePiece(state, start + at, last - at, stored, compression);
    return true;
  }
}

interface JobState {
  readonly data: Uint8Array<ArrayBuffer>;
  used: number;
  inlineUsed: number;
  readonly pieces: number[];
}

function notePiece(state: JobState, fileOffset: number, fileBytes: number, stored: number, compression: number): void {
  state.pieces.push(fileOffset, fileBytes, stored, compression);
  state.used += stored;
}

/** First sector from `at` on that is not all zeros. */
function nextData(bytes: Uint8Array, at: number, end: number, sectorSize: number): number {
  if (at >= end) return end;
  const found = bytes[at] !== 0 ? at : firstNonZero(bytes.subarray(0, end), at);
  return found < 0 ? end : Math.floor(found / sectorSize) * sectorSize;
}

/** First sector behind `at` that is all zeros. */
function nextHole(bytes: Uint8Array, at: number, end: number, sectorSize: number): number {
  let sector = at + sectorSize;
  while (sector < end) {
    if (bytes[sector] === 0) {
      const found = firstNonZero(bytes.subarray(0, sector + sectorSize), sector);
      if (found < 0) return sector;
    }
    sector += sectorSize;
  }
  return Math.min(sector, end);
}

function noteStat(row: Float64Array, stat: SourceStat): void {
  row[FILE.mode] = stat.mode;
  row[FILE.uid] = stat.uid;
  row[FILE.gid] = stat.gid;
  for (const name of ["atime", "mtime", "ctime"] as const) {
    row[FILE[name]] = stat[name].sec;
    row[FILE[name] + 1] = stat[name].nsec;
  }
  const otime = stat.otime ?? stat.ctime;
  row[FILE.otime] = otime.sec;
  row[FILE.otime + 1] = otime.nsec;
}

/** The same content, as far as times and sizes tell. */
export function isSame(a: SourceStat, b: SourceStat): boolean {
  const isEqual = (x: { sec: number; nsec: number }, y: { sec: number; nsec: number }): boolean =>
    x.sec === y.sec && x.nsec === y.nsec;
  return a.size === b.size && a.mode === b.mode && isEqual(a.mtime, b.mtime) && isEqual(a.ctime, b.ctime);
}

export function changed(path: Uint8Array): BtrfsError {
  return new BtrfsError("busy", "Cannot take file: it changed while it was read", whereOf(path));
}
