import { BtrfsError, CorruptError } from "../errors.ts";
import { PROFILES, STRIPE_BYTES } from "../format/chunk.ts";
import type { Chunk } from "../volume/chunk-map.ts";
import type { Mirror } from "../volume/mirrors.ts";
import { parityOf, placeIn, stripeOf } from "../volume/raid.ts";
import { sectorRuns } from "./data.ts";
import type { ScrubJob } from "./job.ts";

/** What the sectors at one height of a row's columns are, all together. */
export const VERIFIED = 1;
/** Allocated, and nothing verifies it. */
export const UNVERIFIED = 2;
/** Damaged, and not repaired. */
export const DAMAGED = 4;

const WORDS = ["P", "Q"];

/**
 * Compares the parity of one row of raid5 or raid6 with its data, at the heights where a column has verified bytes and
 * none has damage. Parity at other heights may never have been written.
 *
 * @param marks For each sector of a column.
 */
export async function scrubParity(job: ScrubJob, chunk: Chunk, row: number, marks: Uint8Array): Promise<void> {
  const { volume } = job;
  const { sectorSize } = volume;
  const isChecked = (sector: number): boolean => (marks[sector]! & (VERIFIED | DAMAGED)) === VERIFIED;
  const runs = sectorRuns(marks.length, isChecked);
  if (runs.length === 0) return;
  const { parity } = PROFILES[chunk.profile];
  const columns = Array.from({ length: chunk.dataStripes + parity }, (_, column) => columnOf(chunk, row, column));
  if (columns.some(({ devid }) => volume.devices.get(devid)?.source === undefined)) return;
  const data = columns.map(() => new Uint8Array(STRIPE_BYTES));
  const failed = new Map<number, BtrfsError>();
  await Promise.all(
    columns.map(async (column, index) => {
      try {
        await volume.readCopy(column, data[index]!, job.signal);
      } catch (error) {
        if (!(error instanceof BtrfsError)) throw error;
        failed.set(index, error);
      }
    }),
  );
  // Data that could be verified could be read; its unused neighbours are no reason to give up, but leave nothing to compare.
  if ([...failed.keys()].some((index) => index < chunk.dataStripes)) return;
  const expected = parityOf(data.slice(0, chunk.dataStripes), parity);
  for (const [index, right] of expected.entries()) {
    const column = chunk.dataStripes + index;
    const stored = data[column]!;
    const differs = (sector: number): boolean =>
      isChecked(sector) && (failed.has(column) || !sameSector(right, stored, sector, sectorSize));
    job.tally.parityBytes += runs.reduce((sum, [first, last]) => sum + (last - first) * sectorSize, 0);
    for (const isCertain of [true, false]) {
      const bad = sectorRuns(marks.length, (s) => differs(s) && ((marks[s]! & UNVERIFIED) === 0) === isCertain);
      for (const [first, last] of bad) {
        const part = partOf(columns[column]!, first * sectorSize, (last - first) * sectorSize);
        const error = failed.get(column) ?? parityError(part, WORDS[index]!, isCertain);
        const good = right.subarray(first * sectorSize, last * sectorSize);
        await job.copyIsBad("parity", part, error, isCertain ? () => volume.writeCopy(part, good) : undefined);
      }
    }
  }
}

function parityError({ devid, physical, logical }: Mirror, word: string, isCertain: boolean): CorruptError {
  const doubt = isCertain ? "" : ", some of which has no checksum: either may be wrong";
  return new CorruptError(`Cannot trust parity: ${word} does not match the data of its row${doubt}`, {
    device: devid,
    physical,
    logical,
  });
}

/** A whole column of a row, as if it were a copy. Its logical address is that of the row. */
function columnOf(chunk: Chunk, row: number, column: number): Mirror {
  const { devid, physical } = chunk.stripes[stripeOf(chunk, row, column)]!;
  const logical = chunk.start + row * chunk.dataStripes * STRIPE_BYTES;
  const at = row * STRIPE_BYTES;
  const place = placeIn(chunk, logical);
  return { kind: "stored", logical, lengthBytes: STRIPE_BYTES, devid, physical: physical + at, chunk, place };
}

function partOf(column: Mirror, at: number, lengthBytes: number): Mirror {
  return { ...column, physical: column.physical + at, lengthBytes };
}

function sameSector(a: Uint8Array, b: Uint8Array, sector: number, size: number): boolean {
  for (let at = sector * size; at < (sector + 1) * size; at++) if (a[at] !== b[at]) return false;
  return true;
}
