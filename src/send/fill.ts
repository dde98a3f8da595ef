import { crc32cRawRange, foldableBytes } from "#checksum";
import { type Algorithm, type Codecs, MAX_EXTENT_BYTES } from "#codec";
import { CorruptError } from "../errors.ts";
import { COMPRESS_LZO, COMPRESS_ZLIB, COMPRESS_ZSTD } from "../format/file-extent.ts";
import { commandCrc } from "../stream/crc.ts";
import { COMMAND_HEADER_BYTES } from "../stream/wire.ts";
import { type Chunk, type ChunkFiller, DECODED, INLINE, type Piece, type Pieces, PLAIN, STORED } from "./chunk.ts";
import { inFile } from "./lost-data.ts";
import type { DataSource } from "./source.ts";

/** While the sink has a chunk, the next one is made. */
const WIDTH = 1;

/** Puts `source` at the start of `target`. */
export type CopyBytes = (target: Uint8Array, source: Uint8Array) => void;

/** Fills chunks on this thread: at once where the source can be read so. */
export class DataFiller implements ChunkFiller {
  readonly width = WIDTH;
  readonly #source: DataSource;
  readonly #copy: CopyBytes;
  readonly #stored = new Uint8Array(MAX_EXTENT_BYTES);
  readonly #decoded = foldableBytes(MAX_EXTENT_BYTES);
  /** What `#decoded` holds: pieces of an extent mostly come one after the other. */
  #last: Piece | undefined;
  #codecs: Codecs | undefined;

  /** @param copy For chunks in memory that threads share. */
  constructor(source: DataSource, copy: CopyBytes = (target, bytes) => target.set(bytes)) {
    this.#source = source;
    this.#copy = copy;
  }

  /** Goes on where it was left, if it was. One chunk at a time: buffers are shared. */
  async fill(chunk: Chunk): Promise<void> {
    const { bytes, view, pieces, used } = chunk;
    while (chunk.next < used) {
      const at = chunk.next;
      const length = view.getUint32(at, true);
      const end = at + COMMAND_HEADER_BYTES + length;
      let crc: number | undefined;
      if (chunk.nextPiece < pieces.count && pieces.at(chunk.nextPiece) < end) {
        const piece = pieces.read(chunk.nextPiece);
        try {
          crc = this.#fillAtHand(chunk, at, length, piece);
          const waiting = crc === undefined ? this.#fillPiece(chunk, piece) : undefined;
          if (waiting !== undefined) await waiting;
        } catch (error) {
          throw inFile(error, piece, bytes, at);
        }
        chunk.nextPiece++;
      }
      view.setUint32(at + 6, crc ?? commandCrc(bytes, at, length), true);
      chunk.next = end;
    }
  }

  /**
   * Puts in data that can be read without waiting, and is good.
   *
   * @param at Where the command begins. @param payloadLength Of it, in bytes.
   * @returns The checksum of the command, for which the chunk need not be read again.
   */
  #fillAtHand(chunk: Chunk, at: number, payloadLength: number, piece: Piece): number | undefined {
    const { kind, hasChecksums, length } = piece;
    const source = this.#source;
    if (hasChecksums === 0 || kind === INLINE || source.verifiedAt === undefined) return undefined;
    const { bytes, pieces, nextPiece } = chunk;
    const target = bytes.subarray(piece.at, piece.at + length);
    if (kind === DECODED) {
      if (!this.#decodeAtHand(piece, pieces, nextPiece)) return undefined;
      const from = this.#take(target, piece);
      if (from + length > piece.ramBytes) return undefined;
      return crc32cRawRange(commandCrc(bytes, at, payloadLength, piece.at), this.#decoded, from, from + length);
    }
    const logical = pieces.diskStart(nextPiece);
    const stored = source.verifiedAt(logical, length, pieces, nextPiece);
    if (stored === undefined) return undefined;
    this.#copy(target, stored);
    return source.crcOf!(logical, length, commandCrc(bytes, at, payloadLength, piece.at));
  }

  /** @returns Whether `#decoded` has what the piece is a part of. */
  #decodeAtHand(piece: Piece, pieces: Pieces, index: number): boolean {
    if (this.#last !== undefined && isSameExtent(this.#last, piece)) return true;
    if (this.#codecs === undefined) return false;
    const stored = this.#source.verifiedAt!(piece.diskBytenr, piece.diskNumBytes, pieces, index);
    if (stored !== undefined) this.#decode(piece, stored, this.#codecs);
    return stored !== undefined;
  }

  #fillPiece(chunk: Chunk, piece: Piece): void | Promise<void> {
    const { kind, at, length } = piece;
    const target = chunk.bytes.subarray(at, at + length);
    if (this.#source.readPlain !== undefined && (kind === PLAIN || kind === DECODED)) {
      return this.#source.readPlain(piece, target);
    }
    if (kind === STORED) return this.#source.readStored(piece, 0, target);
    if (kind === PLAIN) return this.#fillPlain(chunk.bytes, piece);
    if (kind === DECODED) return this.#fillDecoded(target, piece);
    const inline = chunk.inline.get(at) ?? target.subarray(0, piece.diskNumBytes);
    return this.#fillInline(target, piece, inline);
  }

  #fillPlain(bytes: Uint8Array, piece: Piece): void | Promise<void> {
    const { at, length, fileOffset, itemStart, extentOffset } = piece;
    const { sectorSize } = this.#source;
    const from = extentOffset + fileOffset - itemStart;
    if (from % sectorSize !== 0) return this.#fillFromMiddle(bytes.subarray(at, at + length), piece, from);
    const over = length % sectorSize;
    if (over === 0) return this.#source.readStored(piece, from, bytes.subarray(at, at + length));
    // The last sector is read as a whole, over the head of the next command, which is put back.
    const end = at + length;
    const saved = bytes.slice(end, end + sectorSize - over);
    const waiting = this.#source.readStored(piece, from, bytes.subarray(at, end + saved.byteLength));
    if (waiting === undefined) bytes.set(saved, end);
    else return waiting.finally(() => bytes.set(saved, end));
  }

  async #fillFromMiddle(target: Uint8Array, piece: Piece, from: number): Promise<void> {
    const { sectorSize } = this.#source;
    const head = from % sectorSize;
    const sectors = new Uint8Array(Math.ceil((head + target.byteLength) / sectorSize) * sectorSize);
    await this.#source.readStored(piece, from - head, sectors);
    target.set(sectors.subarray(head, head + target.byteLength));
  }

  #fillDecoded(target: Uint8Array, piece: Piece): void | Promise<void> {
    if (this.#last !== undefined && isSameExtent(this.#last, piece)) return void this.#take(target, piece);
    this.#last = undefined;
    const stored = this.#stored.subarray(0, piece.diskNumBytes);
    const waiting = this.#source.readStored(piece, 0, stored);
    if (waiting === undefined && this.#codecs !== undefined) {
      this.#decode(piece, stored, this.#codecs);
      return void this.#take(target, piece);
    }
    return this.#fillWaiting(target, piece, stored, waiting);
  }

  async #fillWaiting(
    target: Uint8Array,
    piece: Piece,
    stored: Uint8Array,
    waiting: void | Promise<void>,
  ): Promise<void> {
    await waiting;
    this.#codecs ??= await this.#source.codecs();
    this.#decode(piece, stored, this.#codecs);
    this.#take(target, piece);
  }

  #decode(piece: Piece, stored: Uint8Array, codecs: Codecs): void {
    this.#last = undefined;
    const { compression, diskBytenr, ramBytes, inode, fileOffset } = piece;
    const whole = this.#decoded.subarray(0, ramBytes);
    const { sectorSize } = this.#source;
    const where = { inode: BigInt(inode), fileOffset: BigInt(fileOffset), logical: diskBytenr };
    // The last sector of a file is stored up to the file's end: the rest of it is zeros.
    whole.fill(
      0,
      located(where, () => codecs.decode(ALGORITHMS[compression]!, stored, whole, { sectorSize })),
    );
    this.#last = piece;
  }

  /** @returns Where in `#decoded` it was. */
  #take(target: Uint8Array, { fileOffset, itemStart, extentOffset, ramBytes }: Piece): number {
    const from = fileOffset - itemStart + extentOffset;
    const part = this.#decoded.subarray(from, Math.min(from + target.byteLength, ramBytes));
    this.#copy(target, part);
    target.fill(0, part.byteLength);
    return from;
  }

  #fillInline(target: Uint8Array, piece: Piece, inline: Uint8Array): void | Promise<void> {
    const codecs = this.#codecs;
    if (codecs === undefined) return this.#loadAndFillInline(target, piece, inline);
    const { compression, ramBytes, inode, fileOffset } = piece;
    const stored = this.#stored.subarray(0, inline.byteLength);
    stored.set(inline);
    this.#last = undefined;
    const whole = this.#decoded.subarray(0, ramBytes);
    const where = { inode: BigInt(inode), fileOffset: BigInt(fileOffset) };
    const options = { sectorSize: this.#source.sectorSize, inline: true };
    whole.fill(
      0,
      located(where, () => codecs.decode(ALGORITHMS[compression]!, stored, whole, options)),
    );
    this.#take(target, piece);
  }

  async #loadAndFillInline(target: Uint8Array, piece: Piece, inline: Uint8Array): Promise<void> {
    this.#codecs = await this.#source.codecs();
    await this.#fillInline(target, piece, inline);
  }
}

function isSameExtent(a: Piece, b: Piece): boolean {
  return (
    a.diskBytenr === b.diskBytenr &&
    a.diskNumBytes === b.diskNumBytes &&
    a.ramBytes === b.ramBytes &&
    a.compression === b.compression
  );
}

/** Adds to what a codec says where that data is. */
function located<T>(where: CorruptError["where"], decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    const code = error.code === "truncated" ? "truncated" : "corrupt";
    throw new CorruptError(error.sentence, { ...where, ...error.where }, { code, cause: error });
  }
}

/** By number in the extent item. */
export const ALGORITHMS: readonly (Algorithm | undefined)[] = Object.assign([], {
  [COMPRESS_ZLIB]: "zlib",
  [COMPRESS_LZO]: "lzo",
  [COMPRESS_ZSTD]: "zstd",
});
