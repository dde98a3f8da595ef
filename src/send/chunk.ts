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
/** A chunk is complete, too, when it has so many pieces. */
const MAX_PIECES = 2048;
export const TABLE_BYTES = MAX_PIECES * FIELDS * 8;

/** Pieces as plain numbers, in the order of their places: another thread can read them. */
export class Pieces {
  readonly #table: Float64Array;
  count = 0;

  constructor(table: Float64Array = new Float64Array(MAX_PIECES * FIELDS)) {
    this.#table = table;
  }

  get isFull(): boolean {
    return this.count >= MAX_PIECES;
  }

  add(piece: Piece): void {
    const start = this.count++ * FIELDS;
    const table = this.#table;
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

  kind(index: number): number {
    return this.#table[index * FIELDS]!;
  }

  at(index: number): number {
    return this.#table[index * FIELDS + 1]!;
  }

  hasChecksums(index: number): boolean {
    return this.#table[index * FIELDS + 11] === 1;
  }

  /** Logical address of the first byte that has to be read for it. */
  diskStart(index: number): number {
    const start = index * FIELDS;
    const table = this.#table;
    const skipped = table[start] === PLAIN ? table[start + 9]! + table[start + 4]! - table[start + 5]! : 0;
    return table[start + 6]! + skipped;
  }

  /** Bytes from there on. */
  diskLength(index: number): number {
    const start = index * FIELDS;
    return this.#table[start + (this.#table[start] === PLAIN ? 2 : 7)]!;
  }

  read(index: number): Piece {
    const table = this.#table;
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
  /** The first command that lacks its data or its checksum. The stream header comes before the first one. */
  next = 0;
  /** The first piece that is not put in. */
  nextPiece = 0;
  readonly pieces: Pieces;
  /** Stored bytes of inline extents that their room is too short for, by where that begins. */
  readonly inline = new Map<number, Uint8Array>();
  /** What `bytes` are as long as no command needs more. */
  readonly #own: Uint8Array;
  readonly #ownView: DataView;

  constructor(bytes: Uint8Array, pieces = new Pieces()) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.#own = bytes;
    this.#ownView = this.view;
    this.pieces = pieces;
  }

  /** Whether all that it consists of is in the bytes and pieces that it was made with. */
  get isPlain(): boolean {
    return this.bytes === this.#own && this.inline.size === 0;
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
    // One that had grown for one command is not kept.
    this.bytes = this.#own;
    this.view = this.#ownView;
    this.used = 0;
    this.next = 0;
    this.nextPiece = 0;
    this.pieces.count = 0;
    this.inline.clear();
  }
}

/** Puts data and checksums into chunks, which are given to it in the order of the stream. */
export interface ChunkFiller {
  /** Chunks that are best given to it before the first one is asked for. */
  readonly width: number;
  /** For a chunk to be made; `undefined` where any will do. */
  empty?(): Chunk | undefined;
  /** A chunk is complete, and may be filled from now on. */
  begin?(chunk: Chunk): void;
  /** Whether a chunk has been filled in the meantime. */
  isFilled?(chunk: Chunk): boolean;
  /** Fills a chunk, the first of those that were not asked for so far, or waits until that is done. */
  fill(chunk: Chunk): void | Promise<void>;
  /** A chunk that `empty` gave is not in use any more. */
  release?(chunk: Chunk): void;
}
