import { rawRange } from "./crc32c.ts";
import { areFoldable, FOLD_FROM, foldedRange } from "./crc32c-fold.ts";
import { loadSha256 } from "./hash-wasm.ts";
import { checksumSide } from "./side.ts";

export { CHECKSUM_TYPES, type Checksum, type ChecksumName } from "./checksum.ts";
export { crc32cRawCombine } from "./crc32c.ts";
export { foldableBytes, foldableIn } from "./crc32c-fold.ts";

/** From this length on, the call into WebAssembly costs less than the plain loop. */
const TABLES_FROM = 64;

function raw(seed: number, bytes: Uint8Array, start: number, end: number): number {
  const mayFold = end - start >= (areFoldable(bytes) ? TABLES_FROM : FOLD_FROM);
  return mayFold ? foldedRange(seed, bytes, start, end, rawRange) : rawRange(seed, bytes, start, end);
}

export const { crc32c, crc32cRaw, crc32cRawRange, loadChecksum } = checksumSide(raw, loadSha256);
