import { PROFILES, STRIPE_BYTES } from "../format/chunk.ts";
import type { Chunk } from "./chunk-map.ts";
import { addInto, divide, doubleAndAddInto, powerOfTwo, scale } from "./galois.ts";

/** Where in a chunk's stripes a logical byte lies. */
export interface Place {
  /** First of the stripes that hold it: `copies` of them, one after the other. */
  readonly stripe: number;
  readonly copies: number;
  /** Byte offset inside of each of these stripes. */
  readonly at: number;
  /** Bytes from here on that follow each other on the device. */
  readonly contiguous: number;
  /** Row of the stripes, and column of data in it: for parity. */
  readonly row: number;
  readonly column: number;
}

/** @param logical Inside of `chunk`. */
export function placeIn(chunk: Chunk, logical: number): Place {
  const offset = logical - chunk.start;
  const left = chunk.length - offset;
  const { factor, striped, parity } = PROFILES[chunk.profile];
  if (!striped) return { stripe: 0, copies: factor, at: offset, contiguous: left, row: 0, column: 0 };
  const within = offset % STRIPE_BYTES;
  const piece = (offset - within) / STRIPE_BYTES;
  const column = piece % chunk.dataStripes;
  const row = (piece - column) / chunk.dataStripes;
  return {
    stripe: parity > 0 ? stripeOf(chunk, row, column) : column * factor,
    copies: factor,
    at: row * STRIPE_BYTES + within,
    contiguous: Math.min(STRIPE_BYTES - within, left),
    row,
    column,
  };
}

/**
 * Stripe that holds a column of a row of raid5 or raid6. Data columns are 0 to `dataStripes - 1`; P comes after them,
 * then Q. Each row begins one stripe further than the row before.
 */
export function stripeOf(chunk: Chunk, row: number, column: number): number {
  return (row + column) % chunk.stripes.length;
}

/**
 * Rebuilds one column of data from the rest of its row.
 *
 * @param columns The row: data columns, then P, then Q for raid6, all of one length in whole words and 4-aligned in
 * their buffers. What is not needed may be `undefined`, as column `lost` itself is. They are used up: their bytes change.
 * @param lost The data column that is wanted.
 * @param also Another column that is bad as well: of data, or P. Only raid6 can do without it.
 */
export function rebuildColumn(
  columns: readonly (Uint8Array | undefined)[],
  dataCount: number,
  lost: number,
  also?: number,
): Uint8Array {
  const used = (column: number): boolean => column !== lost && column !== also;
  if (also === undefined) {
    const sum = columns[dataCount]!;
    for (let column = 0; column < dataCount; column++) if (used(column)) addInto(sum, columns[column]!);
    return sum;
  }
  // What Q says about the lost columns alone: Q plus each other column times its power of two.
  const rest = new Uint8Array(columns[dataCount + 1]!.byteLength);
  for (let column = dataCount - 1; column >= 0; column--) {
    doubleAndAddInto(rest, used(column) ? columns[column]! : zerosLike(rest));
  }
  addInto(rest, columns[dataCount + 1]!);
  if (also === dataCount) {
    scale(rest, divide(1, powerOfTwo(lost)));
    return rest;
  }
  const sum = columns[dataCount]!;
  for (let column = 0; column < dataCount; column++) if (used(column)) addInto(sum, columns[column]!);
  scale(sum, powerOfTwo(also));
  addInto(rest, sum);
  scale(rest, divide(1, powerOfTwo(lost) ^ powerOfTwo(also)));
  return rest;
}

/** P and, for raid6, Q of a row of data columns. As `rebuildColumn` on lengths and alignment; `data` stays as it is. */
export function parityOf(data: readonly Uint8Array[], parity: number): Uint8Array[] {
  const length = data[0]!.byteLength;
  const p = new Uint8Array(length);
  for (const column of data) addInto(p, column);
  if (parity === 1) return [p];
  const q = new Uint8Array(length);
  for (let column = data.length - 1; column >= 0; column--) doubleAndAddInto(q, data[column]!);
  return [p, q];
}

let zeros = new Uint8Array(STRIPE_BYTES);

function zerosLike(bytes: Uint8Array): Uint8Array {
  if (zeros.byteLength < bytes.byteLength) zeros = new Uint8Array(bytes.byteLength);
  return zeros.subarray(0, bytes.byteLength);
}
