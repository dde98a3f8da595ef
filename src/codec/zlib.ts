import { firstNonZero } from "../bytes/bytes.ts";
import { adler32 } from "./adler32.ts";
import { inflateRaw } from "./inflate.ts";
import { corrupt, type DecodeOptions, odd } from "./options.ts";

const HEADER_BYTES = 2;
const TRAILER_BYTES = 4;

/**
 * Decodes the one zlib stream (RFC 1950) at the start of `input`, up to its end or until `output` is full. As in the
 * kernel, a wrong or missing adler32 and bytes behind the stream do no harm, but they are reported.
 */
export function decodeZlib(input: Uint8Array, output: Uint8Array, options: DecodeOptions): number {
  checkHeader(input);
  const { produced, end } = inflateRaw(input, HEADER_BYTES, output);
  if (end < 0) odd("zlib", options, `the stream decodes to more than ${output.byteLength} bytes`);
  else checkTrailer(input, output, produced, end, options);
  return produced;
}

/** @throws {CorruptError} unless the kernel would take the two bytes for a header. */
function checkHeader(input: Uint8Array): void {
  if (input.byteLength < HEADER_BYTES) throw corrupt("zlib", `${input.byteLength} bytes hold no header`, "truncated");
  const method = input[0]!;
  const flags = input[1]!;
  if ((method & 15) !== 8 || method >>> 4 > 7 || (method * 256 + flags) % 31 !== 0) {
    throw corrupt("zlib", `${method.toString(16)} ${flags.toString(16)} is no header of a zlib stream`);
  }
  if (flags & 32) throw corrupt("zlib", "the stream needs a preset dictionary");
}

function checkTrailer(
  input: Uint8Array,
  output: Uint8Array,
  produced: number,
  end: number,
  options: DecodeOptions,
): void {
  // An adler32 costs as much as a tenth of the decoding: only for who listens.
  if (options.strict !== true && options.warn === undefined) return;
  if (input.byteLength - end < TRAILER_BYTES) {
    odd("zlib", options, "the stream ends without its adler32");
    return;
  }
  const stored = ((input[end]! << 24) | (input[end + 1]! << 16) | (input[end + 2]! << 8) | input[end + 3]!) >>> 0;
  const actual = adler32(output, produced);
  if (stored !== actual) odd("zlib", options, `adler32 is ${actual}, the stream says ${stored}`);
  checkPadding("zlib", input, end + TRAILER_BYTES, options);
}

/** What follows the end of the data is padding, which should be zero; the kernel ignores it. */
export function checkPadding(algorithm: "zlib" | "zstd", input: Uint8Array, end: number, options: DecodeOptions): void {
  const at = firstNonZero(input, end);
  if (at >= 0) odd(algorithm, options, `bytes that are not zero follow the end of the data, at ${at}`);
}
