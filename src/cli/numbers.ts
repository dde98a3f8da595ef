import { BtrfsError } from "../errors.ts";
import { UsageError } from "./options.ts";

const MAX_U64 = 2n ** 64n - 1n;

/**
 * A count as btrfs-progs reads it: decimal, `0x` hexadecimal, or octal after a `0`.
 *
 * @throws {BtrfsError} with the sentence of btrfs-progs.
 */
export function parseCount(text: string): number {
  const found = /^\s*\+?(0[xX][0-9a-fA-F]+|[0-9]+)$/.exec(text);
  if (/^\s*-/.test(text)) throw new BtrfsError("limit", `${text}: negative value is invalid`);
  const digits = found?.[1];
  if (digits === undefined || /^0[0-7]*[89]/.test(digits)) {
    throw new BtrfsError("limit", `${text} is not a valid numeric value`);
  }
  const value = BigInt(/^0[0-7]/.test(digits) ? `0o${digits}` : digits);
  if (value >= MAX_U64) throw new BtrfsError("limit", `${text} is too large`);
  return Number(value);
}

const SUFFIXES = ["", "k", "m", "g", "t"];

/** A file offset of an option, as `parseBytes`, up to 2^64 - 1. @throws {UsageError} */
export function parseOffset(option: string, text: string): bigint {
  const found = /^(\d+)([KMGT]?)(?:i?B)?$/i.exec(text);
  const bytes = found === null ? -1n : BigInt(found[1]!) << BigInt(10 * SUFFIXES.indexOf(found[2]!.toLowerCase()));
  if (bytes >= 0n && bytes <= MAX_U64) return bytes;
  throw new UsageError(`option '${option}' can't be '${text}', expected a number of bytes`);
}

/** Bytes of an option: digits, and K, M, G or T for powers of 1024. @throws {UsageError} */
export function parseBytes(option: string, text: string): number {
  const bytes = Number(parseOffset(option, text));
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new UsageError(`option '${option}' can't be '${text}', expected a number of bytes`);
}

/** A whole number of an option, from 0. @throws {UsageError} */
export function parseWhole(option: string, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new UsageError(`option '${option}' can't be '${text}', expected a whole number`);
}
