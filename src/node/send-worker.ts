import { workerData } from "node:worker_threads";
import { Chunk, type ChunkFiller, Pieces } from "../send/chunk.ts";
import { ImageSource } from "../send/image-source.ts";
import type { VolumeEvent } from "../volume/events.ts";
import { type ImageOrigin, openSameImage } from "./same-image.ts";
import { plainError, serveJobs, tellPool } from "./worker-jobs.ts";

/** A chunk, as far as another thread needs to know it. */
export interface ChunkJob {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly used: number;
  readonly firstCommand: number;
  readonly table: Float64Array<ArrayBuffer>;
  readonly inline: Map<number, Uint8Array>;
}

const JOBS = { fill };
export type SendJobs = typeof JOBS;

let filler: Promise<ChunkFiller> | undefined;

async function fill({ bytes, used, firstCommand, table, inline }: ChunkJob): Promise<Pick<ChunkJob, "bytes">> {
  filler ??= openFiller();
  const chunk = new Chunk(bytes, Pieces.from(table), inline);
  chunk.used = used;
  chunk.firstCommand = firstCommand;
  await (await filler).fill(chunk);
  return { bytes };
}

async function openFiller(): Promise<ChunkFiller> {
  return new ImageSource(await openSameImage(workerData as ImageOrigin, tell)).filler();
}

/** Warnings are those that the main thread had when it opened the filesystem. */
function tell(event: VolumeEvent): void {
  if (event.kind === "warning") return;
  tellPool("error" in event ? { ...event, error: plainError(event.error) } : event);
}

serveJobs(JOBS, (result) => [(result as Pick<ChunkJob, "bytes">).bytes.buffer]);
