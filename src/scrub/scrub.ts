import { BtrfsError } from "../errors.ts";
import { PROFILES, STRIPE_BYTES } from "../format/chunk.ts";
import type { NodeExpectation } from "../tree/source.ts";
import type { Chunk } from "../volume/chunk-map.ts";
import { placeIn } from "../volume/raid.ts";
import type { Volume } from "../volume/volume.ts";
import { type Allocated, allocatedExtents } from "./allocated.ts";
import { type DataPiece, scrubData } from "./data.ts";
import { ScrubJob, type ScrubOptions } from "./job.ts";
import { scrubBlock } from "./metadata.ts";
import { DAMAGED, scrubParity, UNVERIFIED, VERIFIED } from "./parity.ts";
import type { ScrubReport } from "./report.ts";
import { scrubSuperblocks } from "./superblocks.ts";

/** Data that is read as one, in bytes. */
const PIECE_BYTES = 1024 * 1024;
/** Pieces, or rows of parity, that are on their way at a time. */
const IN_FLIGHT = 6;

type Piece = ({ readonly kind: "data" } & DataPiece) | MetadataPiece;

interface MetadataPiece {
  readonly kind: "metadata";
  readonly logical: number;
  readonly length: number;
  readonly expect: NodeExpectation;
}

/**
 * Verifies every copy of everything: superblocks, tree blocks, data that has checksums, and parity. With `repair`, good
 * bytes are written over bad ones, and are durable when it resolves.
 *
 * Needs the extent tree: what a lost block of it lists can't be verified, and is told as damage. A log tree is not
 * looked at.
 *
 * @throws {BtrfsError} when the extent tree or the checksum tree can't be opened, or a write fails.
 */
export async function scrub(volume: Volume, options: ScrubOptions = {}): Promise<ScrubReport> {
  const job = new ScrubJob(volume, options);
  await scrubSuperblocks(job);
  const work = new Work();
  const faults: BtrfsError[] = [];
  const total = Number(volume.superblock.bytesUsed);
  let done = 0;
  let row: Row | undefined;
  try {
    for await (const extents of allocatedExtents(volume, (fault) => faults.push(fault), options.signal)) {
      for (const run of runsOf(extents)) {
        for await (const piece of piecesOf(job, run)) {
          const chunk = volume.chunks.get(piece.logical);
          if (PROFILES[chunk.profile].parity === 0) {
            await work.start(() => scrubPiece(job, piece).then(() => {}));
            continue;
          }
          const { row: number } = placeIn(chunk, piece.logical);
          if (row !== undefined && (row.chunk !== chunk || row.number !== number)) {
            const full = row;
            await work.start(() => scrubRow(job, full));
            row = undefined;
          }
          row ??= { chunk, number, pieces: [] };
          row.pieces.push(piece);
        }
        done += run.length;
        options.onProgress?.(Math.min(done, total), total);
      }
      for (const fault of faults.splice(0)) await job.isUnlisted(fault);
    }
    if (row !== undefined) {
      const last = row;
      await work.start(() => scrubRow(job, last));
    }
  } finally {
    // Nothing is left on its way when the caller closes the devices.
    await work.settle();
    if (job.repair && job.tally.repaired > 0) await volume.flush();
  }
  for (const fault of faults) await job.isUnlisted(fault);
  work.check();
  return job.tally;
}

/** Joins data extents that follow each other: most are small. */
function runsOf(extents: readonly Allocated[]): Allocated[] {
  const runs: Allocated[] = [];
  for (const extent of extents) {
    const last = runs.at(-1);
    const joins = last?.kind === "data" && extent.kind === "data" && last.logical + last.length === extent.logical;
    if (joins) runs[runs.length - 1] = { ...last, length: last.length + extent.length };
    else runs.push(extent);
  }
  return runs;
}

/** Pieces that lie within one stripe. Data whose checksums can't be read is told, and left out. */
async function* piecesOf(job: ScrubJob, run: Allocated): AsyncGenerator<Piece> {
  if (run.kind === "metadata") {
    yield run;
    return;
  }
  const { volume } = job;
  for (let at = 0; at < run.length; ) {
    const logical = run.logical + at;
    const length = Math.min(run.length - at, volume.contiguousAt(logical), PIECE_BYTES);
    at += length;
    try {
      const checksums = volume.readChecksums(logical, length);
      yield { kind: "data", logical, length, checksums: checksums instanceof Promise ? await checksums : checksums };
    } catch (error) {
      if (!(error instanceof BtrfsError)) throw error;
      await job.isLost("data", logical, length, error);
    }
  }
}

/** Gives the sectors of the piece that are still bad on some copy. */
async function scrubPiece(job: ScrubJob, piece: Piece): Promise<ReadonlySet<number>> {
  job.signal?.throwIfAborted();
  if (piece.kind === "data") return scrubData(job, piece);
  const isGood = await scrubBlock(job, piece.logical, piece.expect);
  const sectors = piece.length / job.volume.sectorSize;
  return new Set(isGood ? [] : Array.from({ length: sectors }, (_, sector) => sector));
}

/** A row of raid5 or raid6, and what of it is allocated. */
interface Row {
  readonly chunk: Chunk;
  readonly number: number;
  readonly pieces: Piece[];
}

async function scrubRow(job: ScrubJob, { chunk, number, pieces }: Row): Promise<void> {
  const { sectorSize } = job.volume;
  const marks = new Uint8Array(STRIPE_BYTES / sectorSize);
  await Promise.all(
    pieces.map(async (piece) => {
      const bad = await scrubPiece(job, piece);
      const height = (placeIn(chunk, piece.logical).at % STRIPE_BYTES) / sectorSize;
      for (let sector = 0; sector < piece.length / sectorSize; sector++) {
        const isVerified = piece.kind === "metadata" || piece.checksums.present?.[sector] !== 0;
        marks[height + sector]! |= isVerified ? VERIFIED : UNVERIFIED;
        if (bad.has(sector)) marks[height + sector]! |= DAMAGED;
      }
    }),
  );
  await scrubParity(job, chunk, number, marks);
}

/** Tasks, a few at a time; the first failure ends it all. */
class Work {
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** Resolves when there is room for the next. */
  async start(task: () => Promise<void>): Promise<void> {
    this.check();
    const running = task()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
    if (this.#running.size >= IN_FLIGHT) await Promise.race(this.#running);
  }

  async settle(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** @throws what a task threw. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
