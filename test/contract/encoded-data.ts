import { createHash } from "node:crypto";
import { deflateSync } from "node:zlib";
import type { EncodedIo } from "../../src/format/encoded-io.ts";

// Inputs of the encoded I/O vectors. The zstd frames are the kernel's own kind: single segment, content size, no checksum.

const LINE = new TextEncoder().encode("The quick brown fox jumps over the lazy dog 0123456789\n");

/** 131072 bytes of a repeated line. */
export const D = Uint8Array.from({ length: 131072 }, (_, index) => LINE[index % LINE.length]!);
if (
  createHash("sha256").update(D).digest("hex") !== "9c86a1fe75e8cec74929bf67bcc8daa71f7928f9348b6df64be67a56dc82caa8"
) {
  throw new Error("the test's own data is not what the vectors were made with");
}

const fromHex = (digits: string) => new Uint8Array(Buffer.from(digits, "hex"));
const LINE_ONCE =
  "54686520717569636b2062726f776e20666f78206a756d7073206f76657220746865206c617a7920646f6720303132333435363738390a";

/** zstd of `D`, 77 bytes. */
export const Z = fromHex(`28b52ffda0000002000d02007403${LINE_ONCE}010067fcaf730505`);
/** zstd of the first 4096 bytes of `D`, 74 bytes. */
export const Z4 = fromHex(`28b52ffd60000f0502007403${LINE_ONCE}0100677ced2b28`);
/** zstd of the first 3000, 74 bytes. */
export const Z3 = fromHex(`28b52ffd60b80a0502007403${LINE_ONCE}0100e737ed2b28`);
/** zstd of the first 100001, 77 bytes. */
export const ZU = fromHex(`28b52ffda0a18601000d02007403${LINE_ONCE}01007766a8730505`);
/** One LZO segment of the first 4096, 109 bytes. */
export const L4 = fromHex(
  `6d00000065000000002a${LINE_ONCE}546865207120000000000000000000000000000000a2d8000d62726f776e20666f78206a756d707320110000`,
);

/** zlib of the first `length` bytes of `D`. */
export const zlibOf = (length: number) => new Uint8Array(deflateSync(D.subarray(0, length), { level: 6 }));

/** `data` with zeros behind it. */
export function padded(data: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(data);
  return result;
}

/** Bytes that do not compress, and that occur nowhere else for another `seed`. */
export function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  for (let at = 0; at < length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state;
  }
  return bytes;
}

export const ZLIB = 1;
export const ZSTD = 2;
export const LZO = 3;

/** The nouns of an encoded write of a whole extent, with what is said otherwise. */
export function encodedIo(parts: {
  at?: bigint | number;
  length?: bigint | number;
  unencodedLength?: bigint | number;
  unencodedOffset?: bigint | number;
  compression?: number;
  encryption?: number;
}): EncodedIo {
  const { at = 0, length = 131072, unencodedLength = 131072, unencodedOffset = 0 } = parts;
  return {
    offset: BigInt(at),
    length: BigInt(length),
    unencodedLength: BigInt(unencodedLength),
    unencodedOffset: BigInt(unencodedOffset),
    compression: parts.compression ?? ZSTD,
    encryption: parts.encryption ?? 0,
  };
}
