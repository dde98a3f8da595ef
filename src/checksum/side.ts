import { checksumLoader, type Digest, putU32 } from "./checksum.ts";
import { loadBlake2b } from "./hash-wasm.ts";
import type { ChecksumSide } from "./interface.ts";
import { checkRange } from "./range.ts";
import { sectorRuns } from "./sector-run.ts";
import { loadXxhash64 } from "./xxhash64.ts";

type RawCrc32c = (seed: number, bytes: Uint8Array, start: number, end: number) => number;

/** All that a platform's quickest CRC-32C and SHA-256 make; the other algorithms are the same everywhere. */
export function checksumSide(
  raw: RawCrc32c,
  sha256: () => Digest | Promise<Digest>,
): Pick<ChecksumSide, "crc32c" | "crc32cRaw" | "crc32cRawRange" | "loadChecksum"> {
  return {
    crc32c: (data, previous = 0) => ~raw(~previous, data, 0, data.byteLength) >>> 0,
    crc32cRaw: (seed, data) => raw(seed, data, 0, data.byteLength),
    crc32cRawRange: (seed, bytes, start, end) => {
      checkRange(bytes, start, end);
      return raw(seed, bytes, start, end);
    },
    loadChecksum: checksumLoader(
      {
        crc32c: () => (data, start, end, target, at) => putU32(target, at, ~raw(-1, data, start, end)),
        xxhash64: loadXxhash64,
        sha256,
        blake2b: loadBlake2b,
      },
      { crc32c: sectorRuns(raw) },
    ),
  };
}
