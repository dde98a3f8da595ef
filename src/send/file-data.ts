import { MAX_EXTENT_BYTES } from "#codec";
import { CorruptError } from "../errors.ts";
import { COMPRESS_NONE, FILE_EXTENT_PREALLOC } from "../format/file-extent.ts";
import { itemWhere } from "../format/node.ts";
import { DECODED, INLINE, type Piece, PLAIN, STORED } from "./chunk.ts";
import type { FileItem } from "./file-item.ts";
import { ALGORITHMS } from "./fill.ts";
import type { CommandOutput } from "./output.ts";
import type { SendSource } from "./source.ts";

const NOTHING = new Uint8Array(0);

/** Content of file extents, stored or decoded: as DATA of the command at hand. */
export class FileData {
  readonly #source: Pick<SendSource, "sectorSize" | "isData">;
  readonly #out: CommandOutput;
  /** Filled anew for each. */
  readonly #piece: Piece = {
    kind: STORED,
    at: 0,
    length: 0,
    inode: 0,
    fileOffset: 0,
    itemStart: 0,
    diskBytenr: 0,
    diskNumBytes: 0,
    ramBytes: 0,
    extentOffset: 0,
    compression: 0,
    hasChecksums: 0,
  };

  constructor(source: Pick<SendSource, "sectorSize" | "isData">, out: CommandOutput) {
    this.#source = source;
    this.#out = out;
  }

  /** The whole extent as it is stored. The item is one that `check` found good. */
  stored(item: FileItem, inode: number, hasChecksums: boolean): void {
    if (item.inline !== undefined) this.#out.data(item.inline);
    else this.#out.later(this.#describe(STORED, item, item.start, item.diskNumBytes, inode, hasChecksums));
  }

  /** `length` bytes of what the file has from `offset` on, all of it of this item. */
  plain(item: FileItem, offset: number, length: number, inode: number, hasChecksums: boolean): void {
    const { inline, type, compression } = item;
    if (type === FILE_EXTENT_PREALLOC || (inline === undefined && item.diskBytenr === 0)) {
      this.#out.data(NOTHING, length);
    } else if (inline !== undefined && compression === COMPRESS_NONE) {
      this.#out.data(inline.subarray(offset - item.start), length);
    } else if (inline !== undefined) {
      this.#checkInline(item);
      this.#out.later(this.#describe(INLINE, item, offset, length, inode, hasChecksums), inline);
    } else {
      this.check(item);
      const kind = compression === COMPRESS_NONE ? PLAIN : DECODED;
      this.#out.later(this.#describe(kind, item, offset, length, inode, hasChecksums));
    }
  }

  #describe(kind: number, item: FileItem, offset: number, length: number, inode: number, hasChecksums: boolean): Piece {
    const piece = this.#piece;
    piece.kind = kind;
    piece.length = length;
    piece.inode = inode;
    piece.fileOffset = offset;
    piece.itemStart = item.start;
    piece.diskBytenr = item.diskBytenr;
    piece.diskNumBytes = item.inline?.byteLength ?? item.diskNumBytes;
    piece.ramBytes = item.ramBytes;
    piece.extentOffset = item.offset;
    piece.compression = item.compression;
    piece.hasChecksums = hasChecksums ? 1 : 0;
    return piece;
  }

  #checkInline(item: FileItem): void {
    const { sectorSize } = this.#source;
    this.#checkCompression(item);
    if (item.ramBytes > sectorSize) {
      throw this.#problem(item, `${item.ramBytes} bytes are inline, at most ${sectorSize} can be`);
    }
  }

  /**
   * A hostile item may say anything: the used part has to be inside of the whole, and all of it data. To be called
   * before there is room made for what it says.
   *
   * @throws {CorruptError}
   */
  check(item: FileItem): void {
    const { compression, diskBytenr, diskNumBytes, ramBytes, offset, start, end } = item;
    const whole = compression === COMPRESS_NONE ? diskNumBytes : ramBytes;
    this.#checkCompression(item);
    if (offset + (end - start) > whole) {
      throw this.#problem(item, `${end - start} bytes at ${offset} of it are used, it has ${whole}`);
    }
    if (compression !== COMPRESS_NONE && (ramBytes > MAX_EXTENT_BYTES || diskNumBytes > MAX_EXTENT_BYTES)) {
      const most = `at most ${MAX_EXTENT_BYTES} are possible for each`;
      throw this.#problem(item, `${diskNumBytes} bytes decode to ${ramBytes}, ${most}`);
    }
    if (diskBytenr % this.#source.sectorSize !== 0 || diskNumBytes % this.#source.sectorSize !== 0) {
      throw this.#problem(item, `it lies at ${diskBytenr} and has ${diskNumBytes} bytes, expected whole sectors`);
    }
    if (!this.#source.isData(diskBytenr, diskNumBytes)) {
      throw this.#problem(item, `not all of its ${diskNumBytes} bytes at ${diskBytenr} are data of one chunk`);
    }
  }

  #checkCompression(item: FileItem): void {
    const { compression } = item;
    if (compression === COMPRESS_NONE || ALGORITHMS[compression] !== undefined) return;
    throw this.#problem(item, `its compression is ${compression}, known are 1 to 3`);
  }

  #problem({ leaf, slot }: FileItem, what: string): CorruptError {
    return new CorruptError(`Cannot trust file extent: ${what}`, itemWhere(leaf, slot));
  }
}
