import { crc32cRawRange, foldableBytes } from "#checksum";
import { type Codecs, loadCodecs } from "#codec";
import { BtrfsError } from "../errors.ts";
import type { SectorChecksums } from "../volume/checksum-tree.ts";
import type { Volume } from "../volume/volume.ts";
import { INLINE, type Piece, type Pieces } from "./chunk.ts";
import type { DataSource } from "./source.ts";

/** Data that is read at once: it stays in the processor's second cache until it has been checksummed and copied. */
const RUN_BYTES = 256 * 1024;

/** Data of an image: verified, and mostly read together with what follows it on the disk. */
export class ImageData implements DataSource {
  readonly #volume: Volume;
  #codecs: Promise<Codecs> | undefined;
  /**
   * The run, from its start on: a whole page, where the kernel likes to write. A copy from there costs less than
   * reading to where it does not.
   */
  #run: Uint8Array | undefined;
  #start = 0;
  #end = 0;
  #checksums: Uint8Array = new Uint8Array(0);

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  get sectorSize(): number {
    return this.#volume.sectorSize;
  }

  codecs(): Promise<Codecs> {
    this.#codecs ??= loadCodecs();
    return this.#codecs;
  }

  readStored({ diskBytenr, hasChecksums }: Piece, from: number, target: Uint8Array): void | Promise<void> {
    const logical = diskBytenr + from;
    if (hasChecksums === 0) return this.#volume.readData(logical, target);
    const checksums = this.#volume.readChecksums(logical, target.byteLength);
    if (checksums instanceof Promise) return this.#readWaiting(checksums, logical, target);
    return this.#volume.readData(logical, target, { checksums });
  }

  async #readWaiting(reading: Promise<SectorChecksums>, logical: number, target: Uint8Array): Promise<void> {
    await this.#volume.readData(logical, target, { checksums: await reading });
  }

  verifiedAt(logical: number, length: number, pieces: Pieces, index: number): Uint8Array | undefined {
    if (logical % this.sectorSize !== 0 || length > RUN_BYTES) return undefined;
    if (logical < this.#start || logical + length > this.#end) {
      if (!this.#read(logical, this.#runLength(logical, length, pieces, index))) return undefined;
    }
    const at = logical - this.#start;
    return this.#run!.subarray(at, at + length);
  }

  crcOf(logical: number, length: number, seed: number): number {
    const { checksum, sectorSize } = this.#volume;
    const at = logical - this.#start;
    const { joinSectors } = checksum;
    if (joinSectors === undefined) return crc32cRawRange(seed, this.#run!, at, at + length);
    const sectors = Math.floor(length / sectorSize);
    const whole = sectors * sectorSize;
    const crc = joinSectors(seed, sectorSize, this.#checksums, (at / sectorSize) * checksum.byteLength, sectors);
    return whole === length ? crc : crc32cRawRange(crc, this.#run!, at + whole, at + length);
  }

  /** How much to read from `logical` on: what is wanted now, and what the next pieces want if it comes right behind. */
  #runLength(logical: number, length: number, pieces: Pieces, index: number): number {
    const { sectorSize } = this.#volume;
    let end = logical + this.#inSectors(length);
    for (let next = index + 1; next < pieces.count; next++) {
      if (pieces.kind(next) === INLINE) continue;
      const start = pieces.diskStart(next);
      if (start > end || start < logical || start % sectorSize !== 0 || !pieces.hasChecksums(next)) break;
      const stop = start + this.#inSectors(pieces.diskLength(next));
      if (stop - logical > RUN_BYTES) break;
      end = Math.max(end, stop);
    }
    return end - logical;
  }

  #inSectors(length: number): number {
    return Math.ceil(length / this.sectorSize) * this.sectorSize;
  }

  /** Reads a run from the first copy, without waiting. False when it is not good, or that can't be told. */
  #read(logical: number, length: number): boolean {
    this.#end = 0;
    const { checksum, sectorSize } = this.#volume;
    this.#run ??= foldableBytes(RUN_BYTES);
    const data = this.#run.subarray(0, length);
    try {
      const found = this.#volume.readChecksums(logical, length);
      if (found instanceof Promise) {
        found.catch(() => {});
        return false;
      }
      if (found.present !== undefined || !this.#readFirstCopies(logical, data)) return false;
      if (checksum.findBadSector(data, sectorSize, found.values) !== -1) return false;
      this.#checksums = found.values;
    } catch (error) {
      if (error instanceof BtrfsError) return false;
      throw error;
    }
    this.#start = logical;
    this.#end = logical + length;
    return true;
  }

  #readFirstCopies(logical: number, data: Uint8Array): boolean {
    const { devices } = this.#volume;
    for (let at = 0; at < data.byteLength; ) {
      const length = Math.min(this.#volume.contiguousAt(logical + at), data.byteLength - at);
      const copy = this.#volume.copiesOf(logical + at, length)[0];
      const source = copy?.kind === "stored" ? devices.get(copy.devid)?.source : undefined;
      if (source?.readSync === undefined) return false;
      source.readSync(copy!.physical, data.subarray(at, at + length));
      at += length;
    }
    return true;
  }
}
