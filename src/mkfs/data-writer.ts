import { BtrfsError } from "../errors.ts";
import { COMPRESS_NONE } from "../format/file-extent.ts";
import type { ChecksumWriter } from "./checksum-writer.ts";
import { type ContentResult, PIECE } from "./content.ts";
import type { ExtentTable } from "./extent-table.ts";
import type { ImageWriter } from "./image-writer.ts";
import { EXTENT } from "./inode-writer.ts";
import type { SingleDeviceProfile } from "./layout.ts";
import type { FillingChunk, Space } from "./space.ts";

const MIB = 1_048_576;
const MOST_CHUNK_BYTES = 1024 * MIB;
const LEAST_CHUNK_BYTES = 8 * MIB;
/** An uncompressed extent is at most so long. */
const MOST_EXTENT_BYTES = 128 * MIB;

/** Where data goes: one piece behind the other, and its checksums to their tree. */
export class DataWriter {
  readonly #space: Space;
  readonly #writer: ImageWriter;
  readonly #profile: SingleDeviceProfile;
  readonly #checksums: ChecksumWriter;
  readonly #sectorSize: number;
  readonly #checksumSize: number;
  #chunk: FillingChunk | undefined;
  /** Bytes that may still come. */
  #expected: number;
  readonly buffers: ArrayBuffer[] = [];
  /** Bytes that were stored. */
  stored = 0;

  constructor(
    space: Space,
    writer: ImageWriter,
    profile: SingleDeviceProfile,
    checksums: ChecksumWriter,
    sizes: { readonly sectorSize: number; readonly checksumSize: number },
    expected: number,
  ) {
    this.#space = space;
    this.#writer = writer;
    this.#profile = profile;
    this.#checksums = checksums;
    this.#sectorSize = sizes.sectorSize;
    this.#checksumSize = sizes.checksumSize;
    this.#expected = expected;
  }

  batch(result: ContentResult): DataBatch {
    return new DataBatch(this, result);
  }

  /** Room for `bytes`, or, in parts, for the first of them. */
  take(
    bytes: number,
    inParts: boolean,
  ): { readonly chunk: FillingChunk; readonly logical: number; readonly length: number } {
    const least = inParts ? this.#sectorSize : bytes;
    if (this.#chunk === undefined || this.#chunk.length - this.#chunk.used < least) this.#chunk = this.#next(least);
    const chunk = this.#chunk;
    const length = Math.min(bytes, chunk.length - chunk.used);
    const logical = chunk.start + chunk.used;
    chunk.used += length;
    this.stored += length;
    this.#expected -= length;
    return { chunk, logical, length };
  }

  write(chunk: FillingChunk, logical: number, data: Uint8Array, checksums: Uint8Array, done: () => void): void {
    this.#checksums.add(logical, checksums);
    this.#writer.write(chunk, logical, data, done);
  }

  checksumsAt(result: ContentResult, from: number, to: number): Uint8Array {
    const size = this.#checksumSize;
    return result.checksums.subarray((from / this.#sectorSize) * size, (to / this.#sectorSize) * size);
  }

  #next(least: number): FillingChunk {
    const wanted = Math.ceil(Math.max(this.#expected, LEAST_CHUNK_BYTES) / MIB) * MIB;
    const chunk = this.#space.addData(this.#profile, Math.min(wanted, MOST_CHUNK_BYTES));
    if (chunk !== undefined && chunk.length >= least) return chunk;
    throw new BtrfsError("space", `Cannot make filesystem: ${this.#space.limit} bytes are too few for its data`);
  }
}

/** The data of one result, on its way to its places. */
export class DataBatch {
  readonly #writer: DataWriter;
  readonly #result: ContentResult;
  #at = 0;
  #piece = 0;
  /** What lies together in the result and in the image, and is not written yet. */
  #run: { readonly chunk: FillingChunk; readonly logical: number; readonly from: number; to: number } | undefined;
  /** Writes that still need the data. */
  #pending = 1;

  constructor(writer: DataWriter, result: ContentResult) {
    this.#writer = writer;
    this.#result = result;
  }

  /** Gives the next pieces their places, as rows of `EXTENT`; plain data that goes on where it ended lengthens the last row. */
  place(pieces: number, rows: number[]): void {
    const { pieces: table } = this.#result;
    for (const end = this.#piece + pieces; this.#piece < end; this.#piece++) {
      const row = this.#piece * PIECE.columns;
      const fileOffset = table[row + PIECE.fileOffset]!;
      const stored = table[row + PIECE.storedBytes]!;
      const compression = table[row + PIECE.compression]!;
      if (compression === COMPRESS_NONE) {
        for (let done = 0; done < stored; ) {
          const { chunk, logical, length } = this.#take(stored - done, true);
          // Chunks may follow each other without a gap; an extent lies in one.
          addPlain(rows, fileOffset + done, logical, length, logical > chunk.start);
          done += length;
        }
      } else {
        const { logical } = this.#take(stored, false);
        rows.push(fileOffset, table[row + PIECE.fileBytes]!, logical, stored, compression);
      }
    }
  }

  /** All pieces have their places: what is not written yet is. */
  finish(): void {
    this.#flush();
    this.#done();
  }

  #take(bytes: number, inParts: boolean): ReturnType<DataWriter["take"]> {
    const { chunk, logical, length } = this.#writer.take(bytes, inParts);
    const run = this.#run;
    if (run === undefined || run.chunk !== chunk || run.logical + run.to - run.from !== logical) {
      this.#flush();
      this.#run = { chunk, logical, from: this.#at, to: this.#at };
    }
    this.#at += length;
    this.#run!.to = this.#at;
    return { chunk, logical, length };
  }

  #flush(): void {
    const run = this.#run;
    if (run === undefined) return;
    const { chunk, logical, from, to } = run;
    this.#run = undefined;
    this.#pending++;
    const checksums = this.#writer.checksumsAt(this.#result, from, to);
    this.#writer.write(chunk, logical, this.#result.data.subarray(from, to), checksums, () => this.#done());
  }

  #done(): void {
    if (--this.#pending === 0) this.#writer.buffers.push(this.#result.data.buffer);
  }
}

function addPlain(rows: number[], fileOffset: number, logical: number, length: number, mayFollow: boolean): void {
  const last = rows.length - EXTENT.columns;
  const lengthened = last < 0 ? 0 : rows[last + EXTENT.storedBytes]! + length;
  const follows =
    mayFollow &&
    last >= 0 &&
    rows[last + EXTENT.compression] === COMPRESS_NONE &&
    rows[last + EXTENT.fileOffset]! + rows[last + EXTENT.fileBytes]! === fileOffset &&
    rows[last + EXTENT.logical]! + rows[last + EXTENT.storedBytes]! === logical;
  if (follows && lengthened <= MOST_EXTENT_BYTES) {
    rows[last + EXTENT.fileBytes] = lengthened;
    rows[last + EXTENT.storedBytes] = lengthened;
  } else {
    rows.push(fileOffset, length, logical, length, COMPRESS_NONE);
  }
}

/** Notes the extents of a file for the extent tree. */
export function noteExtents(table: ExtentTable, root: bigint, inode: number, rows: readonly number[]): number {
  const first = table.count;
  for (let row = 0; row < rows.length; row += EXTENT.columns) {
    const offset = rows[row + EXTENT.fileOffset]!;
    table.add(rows[row + EXTENT.logical]!, rows[row + EXTENT.storedBytes]!, { root, inode, offset });
  }
  return first;
}
