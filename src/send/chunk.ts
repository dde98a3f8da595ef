import { viewOf } from "../bytes/bytes.ts";

/** Room behind the last command of a chunk: data is read in whole sectors. */
const SLACK_BYTES = 65_536;

/** What fills the room of a piece. */
export const STORED = 0;
/** A part of an extent that is stored as it is. */
export const PLAIN = 1;
/** A part of what an extent decodes to. */
export const DECODED = 2;
/** A part of what an inline extent decodes to, whose stored bytes stand at the start of the room. */
export const INLINE = 3;

/** Data that a chunk lacks. All but `kind`, `compression` and `hasChecksums` in bytes. */
export interface Piece {
  kind: number;
  /** Where in the chunk. */
  at: number;
  length: number;
  inode: number;
  /** Of the first byte. */
  fileOffset: number;
  /** File offset at which the item begins. */
  itemStart: number;
  /** Logical address of the extent. */
  diskBytenr: number;
  diskNumBytes: number;
  /** Decoded length of the whole extent. */
  ramBytes: number;
  /** Where the item begins in the decoded extent. */
  extentOffset: number;
  compression: number;
  /** 1 or 0. */
  hasChecksums: number;
}

const FIELDS = 12;

/** Pieces as plain numbers, in the order of their places: they go to another thread as they are. */
export class Pieces {
  table: Float64Array<ArrayBuffer>;
  count: number;

  constructor(table: Float64Array<ArrayBuffer> = new Float64Array(64 * FIELDS), count = 0) {
    this.table = table;
    this.count = count;
  }

  /** @param table What `used` gave. */
  static from(table: Float64Array<ArrayBuffer>): Pieces {
    return new Pieces(table, table.length / FIELDS);
  }

  /** The part of the table that is in use, as a copy. */
  used(): Float64Array<ArrayBuffer> {
    return this.table.slice(0, this.count * FIELDS);
  }

  add(piece: Piece): void {
    const start = this.count++ * FIELDS;
    if (start + FIELDS > this.table.length) {
      const larger = new Float64Array(2 * this.table.length);
      larger.set(this.table);
      this.table = larger;
    }
    const { table } = this;
    table[start] = piece.kind;
    table[start + 1] = piece.at;
    table[start + 2] = piece.length;
    table[start + 3] = piece.inode;
    table[start + 4] = piece.fileOffset;
    table[start + 5] = piece.itemStart;
    table[start + 6] = piece.diskBytenr;
    table[start + 7] = piece.diskNumBytes;
    table[start + 8] = piece.ramBytes;
    table[start + 9] = piece.extentOffset;
    table[start + 10] = piece.compression;
    table[start + 11] = piece.hasChecksums;
  }

  at(index: number): number {
    return this.table[index * FIELDS + 1]!;
  }

  read(index: number): Piece {
    const { table } = this;
    const start = index * FIELDS;
    return {
      kind: table[start]!,
      at: table[start + 1]!,
      length: table[start + 2]!,
      inode: table[start + 3]!,
      fileOffset: table[start + 4]!,
      itemStart: table[start + 5]!,
      diskBytenr: table[start + 6]!,
      diskNumBytes: table[start + 7]!,
      ramBytes: table[start + 8]!,
      extentOffset: table[start + 9]!,
      compression: table[start + 10]!,
      hasChecksums: table[start + 11]!,
    };
  }
}

/** Whole commands of a stream. Their data and checksums are put in when the chunk is complete. */
export class Chunk {
  bytes: Uint8Array;
  view: DataView;
  used = 0;
  /** Where the commands begin: behind the stream header, in the first chunk. */
  firstCommand = 0;
  readonly pieces: Pieces;
  /** Stored bytes of inline extents that their room is too short for, by where that begins. */
  readonly inline: Map<number, Uint8Array>;

  constructor(bytes: Uint8Array, pieces = new Pieces(), inline = new Map<number, Uint8Array>()) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.pieces = pieces;
    this.inline = inline;
  }

  /** Makes room for `length` bytes behind `used`. `bytes` and `view` may become others. */
  reserve(length: number): void {
    if (this.used + length + SLACK_BYTES <= this.bytes.byteLength) return;
    const larger = new Uint8Array(Math.max(2 * this.bytes.byteLength, this.used + length + SLACK_BYTES));
    larger.set(this.bytes.subarray(0, this.used));
    this.bytes = larger;
    this.view = viewOf(larger);
  }

  clear(): void {
    this.used = 0;
    this.firstCommand = 0;
    this.pieces.count = 0;
    this.inline.clear();
  }
}

/** Puts data and checksums into a chunk. */
export interface ChunkFiller {
  /** Chunks that may be given to it at once. */
  readonly width: number;
  fill(chunk: Chunk): void | Promise<void>;
}
