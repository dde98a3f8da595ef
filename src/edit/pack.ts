import type { Encode } from "../codec/encoder.ts";
import { looksRandom } from "../codec/looks-random.ts";
import { DEFAULT_MAX_INLINE } from "../format/file-extent.ts";
import type { MaybePromise } from "../transaction/editor.ts";

/** Input of one compressed extent. */
export const PIECE_BYTES = 131_072;

/** Columns of `PackJob.pieces`: where a piece begins in the data, its bytes, the most that are of use compressed, 1 for inline data. */
export const PACK = { start: 0, length: 1, room: 2, isInline: 3, columns: 4 } as const;

/** Data to compress, piece by piece. Both buffers come back with the answer. */
export interface PackJob {
  readonly data: ArrayBuffer;
  /** Room for what is compressed: as long as `data`. */
  readonly output: ArrayBuffer;
  readonly pieces: Float64Array;
}

export interface Packed {
  readonly data: ArrayBuffer;
  /** Compressed pieces, one behind the other. */
  readonly output: ArrayBuffer;
  /** Of each piece: its compressed bytes; 0 where it stays as it is. */
  readonly lengths: Float64Array;
}

/** Compresses: on threads, where there are any. */
export interface Packer {
  run(job: PackJob): Packed | Promise<Packed>;
}

/** @returns `data`, which lies at `offset` of its file, compressed to at most `room` bytes; `undefined` when that can't be. */
export type PackData = (
  data: Uint8Array,
  offset: bigint,
  room: number,
  isInline: boolean,
) => MaybePromise<Uint8Array | undefined>;

/** Compresses what a job asks for, on the calling thread. */
export function packPieces({ data, output, pieces }: PackJob, encode: Encode): Packed {
  const lengths = new Float64Array(pieces.length / PACK.columns);
  let used = 0;
  for (let row = 0; row < pieces.length; row += PACK.columns) {
    const [start, length] = [pieces[row + PACK.start]!, pieces[row + PACK.length]!];
    const isInline = pieces[row + PACK.isInline] === 1;
    const piece = new Uint8Array(data, start, length);
    const packed =
      !isInline && looksRandom(piece)
        ? 0
        : encode(piece, new Uint8Array(output, used, pieces[row + PACK.room]), isInline);
    lengths[row / PACK.columns] = packed;
    used += packed;
  }
  return { data, output, lengths };
}

/**
 * The pieces that `writeFile` will want to have compressed of data that lie together, as rows of `PACK`: all that can be known without a
 * look at the file.
 *
 * @param offset In the file, in bytes.
 * @param start Where the data begin.
 */
export function piecesOf(offset: bigint, start: number, length: number, sectorSize: number): number[] {
  const rows: number[] = [];
  if (offset === 0n && length <= sectorSize) {
    const room = Math.min(DEFAULT_MAX_INLINE, length - 1);
    return room > 0 ? [start, length, room, 1] : [];
  }
  if (offset % BigInt(sectorSize) !== 0n) return [];
  for (let from = 0; from < length; from += PIECE_BYTES) {
    const bytes = Math.min(PIECE_BYTES, length - from);
    const room = plainRoom(bytes, sectorSize);
    if (room > 0) rows.push(start + from, bytes, room, 0);
  }
  return rows;
}

/** Most compressed bytes that are of use for an extent: they have to save a sector. */
export function plainRoom(bytes: number, sectorSize: number): number {
  return Math.min(Math.ceil(bytes / sectorSize) * sectorSize - sectorSize, bytes - 1);
}
