import { BtrfsError } from "../errors.ts";
import type { SectorChecksums } from "../volume/checksum-tree.ts";
import type { Mirror } from "../volume/mirrors.ts";
import { checksumError, type ScrubJob } from "./job.ts";

/** Data in one stripe of one chunk, with the checksums of its sectors. */
export interface DataPiece {
  readonly logical: number;
  readonly length: number;
  readonly checksums: SectorChecksums;
}

/** Why a run of sectors of one copy is bad. Sectors count from the start of the piece; `last` is exclusive. */
interface BadRun {
  readonly copy: Mirror;
  readonly first: number;
  readonly last: number;
  readonly error: BtrfsError;
}

/** Verifies every copy of the sectors that have checksums. Gives the sectors that are still bad on some copy. */
export async function scrubData(job: ScrubJob, piece: DataPiece): Promise<Set<number>> {
  const { volume, tally } = job;
  const { sectorSize } = volume;
  const copies = job.presentCopies(piece.logical, piece.length);
  const count = piece.length / sectorSize;
  const runs = sectorRuns(count, (sector) => piece.checksums.present?.[sector] !== 0);
  const checked = runs.reduce((sum, [first, last]) => sum + last - first, 0);
  tally.noChecksumBytes += (count - checked) * sectorSize;
  if (checked === 0) return new Set();
  tally.dataBytes += copies.length * checked * sectorSize;
  const bad = (await Promise.all(copies.map((copy) => badRuns(job, piece, copy, runs)))).flat();
  if (bad.length === 0 && copies.length > 0) return new Set();
  return repairData(job, piece, bad, copies.length === 0 ? runs : mergeRuns(bad, count));
}

async function badRuns(
  job: ScrubJob,
  piece: DataPiece,
  copy: Mirror,
  runs: readonly (readonly [number, number])[],
): Promise<BadRun[]> {
  const { sectorSize } = job.volume;
  const data = new Uint8Array(piece.length);
  try {
    await job.volume.readCopy(copy, data, job.signal);
  } catch (error) {
    if (!(error instanceof BtrfsError)) throw error;
    return runs.length === 1 && runs[0]![1] - runs[0]![0] === 1
      ? [{ copy, first: runs[0]![0], last: runs[0]![1], error }]
      : readSectors(job, piece, copy, runs, error);
  }
  return runs.flatMap(([first, last]) =>
    sectorRuns(last - first, (sector) => !isGood(job, piece, data, first + sector)).map(([from, to]) => ({
      copy,
      first: first + from,
      last: first + to,
      error: checksumError(job.volume, "data", partOf(copy, (first + from) * sectorSize, (to - from) * sectorSize)),
    })),
  );
}

/** One sector that can't be read must not cost its neighbours. Past the end of the device there are none to save. */
async function readSectors(
  job: ScrubJob,
  piece: DataPiece,
  copy: Mirror,
  runs: readonly (readonly [number, number])[],
  error: BtrfsError,
): Promise<BadRun[]> {
  if (error.code === "truncated") return runs.map(([first, last]) => ({ copy, first, last, error }));
  const { sectorSize } = job.volume;
  const bad: BadRun[] = [];
  const data = new Uint8Array(piece.length);
  for (const [first, last] of runs) {
    for (let sector = first; sector < last; sector++) {
      const part = partOf(copy, sector * sectorSize, sectorSize);
      const target = data.subarray(sector * sectorSize, (sector + 1) * sectorSize);
      const failure = await job.volume.readCopy(part, target, job.signal).catch((cause: unknown) => {
        if (cause instanceof BtrfsError) return cause;
        throw cause;
      });
      const problem =
        failure ?? (isGood(job, piece, data, sector) ? undefined : checksumError(job.volume, "data", part));
      if (problem !== undefined) bad.push({ copy, first: sector, last: sector + 1, error: problem });
    }
  }
  return bad;
}

function isGood({ volume }: ScrubJob, { checksums }: DataPiece, data: Uint8Array, sector: number): boolean {
  const { sectorSize, checksum } = volume;
  const bytes = data.subarray(sector * sectorSize, (sector + 1) * sectorSize);
  return checksum.verify(bytes, checksums.values, sector * checksum.byteLength);
}

/**
 * Gets the good bytes of `wanted` in every way there is, and puts them over the bad runs. A sector without any makes
 * its part of each run unrepairable.
 */
async function repairData(
  job: ScrubJob,
  piece: DataPiece,
  bad: readonly BadRun[],
  wanted: readonly (readonly [number, number])[],
): Promise<Set<number>> {
  const { volume } = job;
  const { sectorSize, checksum } = volume;
  const data = new Uint8Array(piece.length);
  const lost = new Map<number, BtrfsError>();
  for (const [first, last] of wanted) {
    const values = piece.checksums.values.subarray(first * checksum.byteLength, last * checksum.byteLength);
    await volume.readData(piece.logical + first * sectorSize, data.subarray(first * sectorSize, last * sectorSize), {
      checksums: { values, present: undefined },
      signal: job.signal,
      // Every bad copy is told here already.
      onEvent: () => {},
      onUnreadable: (at, length, error) => {
        for (let offset = 0; offset < length; offset += sectorSize) lost.set(first + (at + offset) / sectorSize, error);
      },
    });
  }
  const left = new Set<number>(lost.keys());
  for (const { copy, first, last, error } of bad) {
    for (const isLost of [false, true]) {
      for (const [from, to] of sectorRuns(last - first, (sector) => lost.has(first + sector) === isLost)) {
        const at = (first + from) * sectorSize;
        const part = partOf(copy, at, (to - from) * sectorSize);
        const good = data.subarray(at, at + part.lengthBytes);
        await job.copyIsBad("data", part, error, isLost ? undefined : () => volume.writeCopy(part, good));
        if (!job.repair) for (let sector = first + from; sector < first + to; sector++) left.add(sector);
      }
    }
  }
  if (bad.length === 0) {
    for (const [first, last] of sectorRuns(piece.length / sectorSize, (sector) => lost.has(sector))) {
      await job.isLost("data", piece.logical + first * sectorSize, (last - first) * sectorSize, lost.get(first)!);
    }
  }
  return left;
}

/** Runs of sectors below `count` that `belongs` takes. */
export function sectorRuns(count: number, belongs: (sector: number) => boolean): [first: number, last: number][] {
  const runs: [number, number][] = [];
  for (let sector = 0; sector < count; sector++) {
    if (!belongs(sector)) continue;
    const run = runs.at(-1);
    if (run?.[1] === sector) run[1] = sector + 1;
    else runs.push([sector, sector + 1]);
  }
  return runs;
}

function mergeRuns(bad: readonly BadRun[], count: number): [number, number][] {
  const sectors = new Uint8Array(count);
  for (const { first, last } of bad) sectors.fill(1, first, last);
  return sectorRuns(count, (sector) => sectors[sector] === 1);
}

function partOf(copy: Mirror, at: number, lengthBytes: number): Mirror {
  return { ...copy, logical: copy.logical + at, physical: copy.physical + at, lengthBytes };
}
