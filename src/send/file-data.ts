import type { Algorithm } from "#codec";
import { MAX_EXTENT_BYTES } from "#codec";
import { CorruptError } from "../errors.ts";
import {
  COMPRESS_LZO,
  COMPRESS_NONE,
  COMPRESS_ZLIB,
  COMPRESS_ZSTD,
  FILE_EXTENT_PREALLOC,
} from "../format/file-extent.ts";
import { itemWhere } from "../format/node.ts";
import type { FileItem } from "./file-item.ts";
import type { SendSource } from "./source.ts";

/** Content of file extents, stored or decoded. */
export class FileData {
  readonly #source: SendSource;
  /** The extent decoded last: its pieces are mostly wanted one after the other. */
  #decoded: { readonly key: string; readonly bytes: Uint8Array } | undefined;
  #stored = new Uint8Array(0);
  #plain = new Uint8Array(0);

  constructor(source: SendSource) {
    this.#source = source;
  }

  /** Bytes that `readPlain` may write behind what was asked for. */
  get slack(): number {
    return this.#source.sectorSize;
  }

  /** Fills `target` with the whole extent as it is stored. */
  async readStored(item: FileItem, target: Uint8Array, hasChecksums: boolean): Promise<void> {
    this.check(item);
    await this.#source.readStored(item.diskBytenr, target, hasChecksums);
  }

  /**
   * Fills the first `length` bytes of `target` with what the file has from `offset` on, all of it of this item. The
   * `slack` bytes behind them are scrap afterwards.
   */
  async readPlain(
    item: FileItem,
    offset: number,
    length: number,
    target: Uint8Array,
    hasChecksums: boolean,
  ): Promise<void> {
    const wanted = target.subarray(0, length);
    if (item.type === FILE_EXTENT_PREALLOC || (item.inline === undefined && item.diskBytenr === 0)) {
      wanted.fill(0);
      return;
    }
    if (item.inline !== undefined || item.compression !== COMPRESS_NONE) {
      const plain = item.compression === COMPRESS_NONE ? item.inline! : await this.#decode(item, hasChecksums);
      const from = offset - item.start + item.offset;
      const part = plain.subarray(from, from + length);
      wanted.set(part);
      wanted.fill(0, part.byteLength);
      return;
    }
    this.check(item);
    const { sectorSize } = this.#source;
    const logical = item.diskBytenr + item.offset + (offset - item.start);
    const head = logical % sectorSize;
    const whole = Math.ceil((head + length) / sectorSize) * sectorSize;
    if (head === 0 && whole <= target.byteLength) {
      await this.#source.readStored(logical, target.subarray(0, whole), hasChecksums);
      return;
    }
    if (this.#plain.byteLength < whole) this.#plain = new Uint8Array(whole);
    const sectors = this.#plain.subarray(0, whole);
    await this.#source.readStored(logical - head, sectors, hasChecksums);
    wanted.set(sectors.subarray(head, head + length));
  }

  async #decode(item: FileItem, hasChecksums: boolean): Promise<Uint8Array> {
    const { compression, diskBytenr, diskNumBytes, ramBytes, inline } = item;
    const algorithm = ALGORITHMS[compression];
    if (algorithm === undefined) throw this.#problem(item, `its compression is ${compression}, known are 1 to 3`);
    const { sectorSize } = this.#source;
    if (inline !== undefined) {
      if (ramBytes > sectorSize)
        throw this.#problem(item, `${ramBytes} bytes are inline, at most ${sectorSize} can be`);
      const bytes = new Uint8Array(ramBytes);
      const codecs = await this.#source.codecs();
      bytes.fill(0, codecs.decode(algorithm, inline, bytes, { sectorSize, inline: true }));
      return bytes;
    }
    const key = `${diskBytenr} ${diskNumBytes} ${ramBytes} ${compression}`;
    if (this.#decoded?.key === key) return this.#decoded.bytes;
    this.check(item);
    if (this.#stored.byteLength < diskNumBytes) this.#stored = new Uint8Array(MAX_EXTENT_BYTES);
    const stored = this.#stored.subarray(0, diskNumBytes);
    await this.#source.readStored(diskBytenr, stored, hasChecksums);
    const bytes = this.#decoded?.bytes.byteLength === ramBytes ? this.#decoded.bytes : new Uint8Array(ramBytes);
    this.#decoded = undefined;
    const codecs = await this.#source.codecs();
    // The last sector of a file is stored up to the file's end: the rest of it is zeros.
    bytes.fill(0, codecs.decode(algorithm, stored, bytes, { sectorSize }));
    this.#decoded = { key, bytes };
    return bytes;
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

  #problem({ leaf, slot }: FileItem, what: string): CorruptError {
    return new CorruptError(`Cannot trust file extent: ${what}`, itemWhere(leaf, slot));
  }
}

const ALGORITHMS: readonly (Algorithm | undefined)[] = [];
(ALGORITHMS as (Algorithm | undefined)[])[COMPRESS_ZLIB] = "zlib";
(ALGORITHMS as (Algorithm | undefined)[])[COMPRESS_LZO] = "lzo";
(ALGORITHMS as (Algorithm | undefined)[])[COMPRESS_ZSTD] = "zstd";
