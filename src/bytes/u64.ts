import { BtrfsError } from "../errors.ts";

const TWO_32 = 0x1_0000_0000;
const SAFE_HIGH = 0x20_0000;

/**
 * The u64 at byte `at` as a number, without a bigint on the way.
 *
 * @throws {BtrfsError} `limit`, above 2^53 - 1.
 */
export function readSafe(view: DataView, at: number, what = "value"): number {
  const high = view.getUint32(at + 4, true);
  if (high >= SAFE_HIGH) throw tooLarge(view.getBigUint64(at, true), what);
  return high * TWO_32 + view.getUint32(at, true);
}

/**
 * `value` as a number.
 *
 * @throws {BtrfsError} `limit`, above 2^53 - 1 or below 0.
 */
export function toSafe(value: bigint, what = "value"): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < 0n) throw tooLarge(value, what);
  return Number(value);
}

/** Writes a number of at most 2^53 - 1 as a u64. */
export function writeSafe(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, value < TWO_32 ? 0 : Math.floor(value / TWO_32), true);
}

/** Orders two u64 fields in place: negative, zero or positive, as `sort` wants it. */
export function compareU64(a: DataView, aAt: number, b: DataView, bAt: number): number {
  const high = a.getUint32(aAt + 4, true) - b.getUint32(bAt + 4, true);
  return high !== 0 ? high : a.getUint32(aAt, true) - b.getUint32(bAt, true);
}

function tooLarge(value: bigint, what: string): BtrfsError {
  return new BtrfsError("limit", `Cannot use ${what}: ${value} is outside of 0 to ${Number.MAX_SAFE_INTEGER}`);
}
