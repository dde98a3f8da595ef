/** A CRC over `bytes[start, end)`, without inversion at either end. */
type RawRange = (seed: number, bytes: Uint8Array, start: number, end: number) => number;

/** Sectors are taken together up to so many bytes: what the folding CRC takes at a time. */
const RUN_BYTES = 128 * 1024;
/** Fewer bytes are not worth the folding. */
const LEAST_BYTES = 16 * 1024;

/** How many sectors from sector `from` on are known to be good: 0 says nothing about them. */
export type GoodRun = (
  data: Uint8Array,
  sectorSize: number,
  expected: Uint8Array,
  at: number,
  from: number,
  count: number,
) => number;

/** The raw CRC-32C, from `seed` on, of `count` sectors whose checksums stand in `checksums` from byte `at` on. */
export type JoinSectors = (
  seed: number,
  sectorSize: number,
  checksums: Uint8Array,
  at: number,
  count: number,
) => number;

/**
 * Verifies CRC-32C sectors many at a time: the CRC of a run follows from those of its sectors, and one CRC over long data is
 * several times as fast as one for each sector.
 *
 * It misses nothing that sectors one by one would show: a single wrong sector changes the CRC of the run by its own
 * difference, moved on by an invertible step, so never to nothing. Differences of several could cancel each other, as
 * seldom as a single wrong sector has the right CRC: once in 2^32.
 */
function goodRun(raw: RawRange, join: JoinSectors): GoodRun {
  return (data, sectorSize, expected, at, from, count) => {
    const sectors = Math.min(count - from, Math.floor(RUN_BYTES / sectorSize));
    if (sectors < 2 || sectors * sectorSize < LEAST_BYTES) return 0;
    const crc = join(-1, sectorSize, expected, at + from * 4, sectors);
    const start = from * sectorSize;
    return raw(-1, data, start, start + sectors * sectorSize) >>> 0 === crc ? sectors : 0;
  };
}

/** See `Checksum.joinSectors`. */
function sectorJoiner(raw: RawRange): JoinSectors {
  const shifts = new Map<number, Int32Array>();
  return (seed, sectorSize, checksums, at, count) => {
    let shift = shifts.get(sectorSize);
    if (shift === undefined) {
      shift = shiftTable(raw, sectorSize);
      shifts.set(sectorSize, shift);
    }
    // Of a CRC with inversions, as sectors have them: moved on by the length of a sector, then that sector's own.
    let crc = ~seed;
    for (let here = at; here < at + count * 4; here += 4) {
      const own =
        checksums[here]! | (checksums[here + 1]! << 8) | (checksums[here + 2]! << 16) | (checksums[here + 3]! << 24);
      crc =
        own ^
        shift[crc & 255]! ^
        shift[256 + ((crc >>> 8) & 255)]! ^
        shift[512 + ((crc >>> 16) & 255)]! ^
        shift[768 + (crc >>> 24)]!;
    }
    return ~crc >>> 0;
  };
}

export function sectorRuns(raw: RawRange): { readonly goodRun: GoodRun; readonly joinSectors: JoinSectors } {
  const joinSectors = sectorJoiner(raw);
  return { goodRun: goodRun(raw, joinSectors), joinSectors };
}

/** Four tables, one for each byte of a CRC: what becomes of it behind `length` bytes of zeros. */
function shiftTable(raw: RawRange, length: number): Int32Array {
  const zeros = new Uint8Array(length);
  const table = new Int32Array(4 * 256);
  for (let bit = 0; bit < 32; bit++) {
    const moved = raw(2 ** bit, zeros, 0, length);
    const [first, step] = [(bit >> 3) * 256, 1 << (bit & 7)];
    for (let below = 0; below < step; below++) table[first + step + below] = table[first + below]! ^ moved;
  }
  return table;
}
