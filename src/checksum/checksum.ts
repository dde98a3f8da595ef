import { UnsupportedError } from "../errors.ts";
import type { GoodRun, JoinSectors } from "./sector-run.ts";

export type ChecksumName = "crc32c" | "xxhash64" | "sha256" | "blake2b";

/** `csum_type` of the superblock: index is the number. Sizes in bytes, as stored. */
export const CHECKSUM_TYPES: readonly { readonly name: ChecksumName; readonly byteLength: number }[] = [
  { name: "crc32c", byteLength: 4 },
  { name: "xxhash64", byteLength: 8 },
  { name: "sha256", byteLength: 32 },
  { name: "blake2b", byteLength: 32 },
];

/** One of the checksums that a btrfs can be made with, in the form in which it is stored. Ready to use: nothing waits. */
export interface Checksum {
  /** `csum_type` of the superblock. */
  readonly type: number;
  readonly name: ChecksumName;
  /** Bytes that are stored. */
  readonly byteLength: number;
  /** Writes the checksum of `data` to `target` from byte `at` on. */
  compute(data: Uint8Array, target: Uint8Array, at?: number): void;
  /** Whether `expected` has the checksum of `data` from byte `at` on. */
  verify(data: Uint8Array, expected: Uint8Array, at?: number): boolean;
  /**
   * Checksums of many sectors, one behind the other as `EXTENT_CSUM` items hold them, from byte `at` of `target` on.
   *
   * @param data A whole number of sectors.
   */
  computeSectors(data: Uint8Array, sectorSize: number, target: Uint8Array, at?: number): void;
  /**
   * Index of the first sector, from sector `from` on, that does not have its checksum in `expected`; -1 when all have.
   * The checksum of sector 0 stands at byte `at` of `expected`.
   */
  findBadSector(data: Uint8Array, sectorSize: number, expected: Uint8Array, at?: number, from?: number): number;
  /** Of CRC-32C: what `crc32cRaw` gives for sectors that have these checksums, without looking at them again. */
  readonly joinSectors?: JoinSectors | undefined;
}

/** Writes the checksum of `data[start, end)` to `target` from byte `at` on. */
export type Digest = (data: Uint8Array, start: number, end: number, target: Uint8Array, at: number) => void;

/** What can be said of many sectors at once. */
export interface SectorRuns {
  readonly goodRun: GoodRun;
  readonly joinSectors: JoinSectors;
}

/** Builds what `CHECKSUM_TYPES[type]` says over `digest`; `runs` saves looking at good sectors one by one. */
function makeChecksum(type: number, digest: Digest, runs: SectorRuns | undefined): Checksum {
  const { name, byteLength } = CHECKSUM_TYPES[type]!;
  const own = new Uint8Array(byteLength);

  function room(bytes: Uint8Array, at: number, count: number): void {
    if (!(at >= 0 && at + count * byteLength <= bytes.byteLength)) {
      throw new RangeError(
        `Cannot place ${count} ${name} checksums: from byte ${at} on they need ${count * byteLength}, there are ${bytes.byteLength}`,
      );
    }
  }

  function sectorsIn(data: Uint8Array, sectorSize: number): number {
    const count = data.byteLength / sectorSize;
    if (!(Number.isInteger(count) && sectorSize > 0)) {
      throw new RangeError(`Cannot checksum sectors: ${data.byteLength} bytes are not whole sectors of ${sectorSize}`);
    }
    return count;
  }

  function matches(data: Uint8Array, start: number, end: number, expected: Uint8Array, at: number): boolean {
    digest(data, start, end, own, 0);
    for (let byte = 0; byte < byteLength; byte++) if (own[byte] !== expected[at + byte]) return false;
    return true;
  }

  return {
    type,
    name,
    byteLength,
    joinSectors: runs?.joinSectors,
    compute(data, target, at = 0) {
      room(target, at, 1);
      digest(data, 0, data.byteLength, target, at);
    },
    verify(data, expected, at = 0) {
      room(expected, at, 1);
      return matches(data, 0, data.byteLength, expected, at);
    },
    computeSectors(data, sectorSize, target, at = 0) {
      const count = sectorsIn(data, sectorSize);
      room(target, at, count);
      for (let sector = 0; sector < count; sector++) {
        digest(data, sector * sectorSize, (sector + 1) * sectorSize, target, at + sector * byteLength);
      }
    },
    findBadSector(data, sectorSize, expected, at = 0, from = 0) {
      const count = sectorsIn(data, sectorSize);
      room(expected, at, count);
      let sector = from;
      for (let good = 1; good > 0; sector += good) {
        good = runs?.goodRun(data, sectorSize, expected, at, sector, count) ?? 0;
      }
      for (; sector < count; sector++) {
        if (!matches(data, sector * sectorSize, (sector + 1) * sectorSize, expected, at + sector * byteLength)) {
          return sector;
        }
      }
      return -1;
    },
  };
}

/** Loads each checksum once. `digests` has one loader for each entry of `CHECKSUM_TYPES`, `runs` what is quicker for many sectors. */
export function checksumLoader(
  digests: Readonly<Record<ChecksumName, () => Digest | Promise<Digest>>>,
  runs: Partial<Readonly<Record<ChecksumName, SectorRuns>>> = {},
): (type: number) => Promise<Checksum> {
  const loaded = new Map<number, Promise<Checksum>>();
  return async (type) => {
    const entry = CHECKSUM_TYPES[type];
    if (entry === undefined) {
      throw new UnsupportedError(`Cannot use checksum type ${type}: known are 0 to ${CHECKSUM_TYPES.length - 1}`);
    }
    let checksum = loaded.get(type);
    if (checksum === undefined) {
      checksum = Promise.resolve(digests[entry.name]()).then((digest) => makeChecksum(type, digest, runs[entry.name]));
      loaded.set(type, checksum);
      // A failed load (out of memory, say) is tried again by the next caller.
      checksum.catch(() => loaded.delete(type));
    }
    return checksum;
  };
}

/** A little-endian u32 of `value`, at byte `at`. */
export function putU32(target: Uint8Array, at: number, value: number): void {
  target[at] = value;
  target[at + 1] = value >>> 8;
  target[at + 2] = value >>> 16;
  target[at + 3] = value >>> 24;
}
