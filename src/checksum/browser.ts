import { checksumLoader, putU32 } from "./checksum.ts";
import { rawRange } from "./crc32c.ts";
import { areFoldable, FOLD_FROM, foldedRange } from "./crc32c-fold.ts";
import { loadBlake2b, loadSha256 } from "./hash-wasm.ts";
import type { ChecksumSide } from "./interface.ts";
import { checkRange } from "./range.ts";
import { sectorRuns } from "./sector-run.ts";
import { loadXxhash64 } from "./xxhash64.ts";

export { CHECKSUM_TYPES, type Checksum, type ChecksumName } from "./checksum.ts";
export { crc32cRawCombine } from "./crc32c.ts";
export { foldableBytes, foldableIn } from "./crc32c-fold.ts";

/** From this length on, the call into WebAssembly costs less than the plain loop. */
const TABLES_FROM = 64;

function raw(seed: number, bytes: Uint8Array, start: number, end: number): number {
  const mayFold = end - start >= (areFoldable(bytes) ? TABLES_FROM : FOLD_FROM);
  return mayFold ? foldedRange(seed, bytes, start, end, rawRange) : rawRange(seed, bytes, start, end);
}

export const crc32c: ChecksumSide["crc32c"] = (data, previous = 0) => ~raw(~previous, data, 0, data.byteLength) >>> 0;

export const crc32cRaw: ChecksumSide["crc32cRaw"] = (seed, data) => raw(seed, data, 0, data.byteLength);

export const crc32cRawRange: ChecksumSide["crc32cRawRange"] = (seed, bytes, start, end) => {
  checkRange(bytes, start, end);
  return raw(seed, bytes, start, end);
};

export const loadChecksum: ChecksumSide["loadChecksum"] = checksumLoader(
  {
    crc32c: () => (data, start, end, target, at) => putU32(target, at, ~raw(-1, data, start, end)),
    xxhash64: loadXxhash64,
    sha256: loadSha256,
    blake2b: loadBlake2b,
  },
  { crc32c: sectorRuns(raw) },
);
