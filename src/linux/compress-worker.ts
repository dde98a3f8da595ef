import { workerData } from "node:worker_threads";
import type { Compress, Encode } from "../codec/encoder.ts";
import { type Packed, type PackJob, packPieces } from "../edit/pack.ts";
import type { ContentJob, ContentReader, ContentResult } from "../mkfs/content.ts";
import { type ContentHow, makeContentReader } from "../mkfs/content-how.ts";
import { serveJobs } from "../node/worker-jobs.ts";
import { hostEncoder } from "./encoder.ts";
import { type SourceHost, treeSourceOf } from "./source-host.ts";

/** What a thread needs to read the same files, and to compress what it reads. */
export interface ContentThreadData {
  readonly host: SourceHost;
  readonly how: ContentHow;
}

/** What a thread needs to compress what it is given. */
export interface PackThreadData {
  readonly compress: Compress;
  readonly sectorSize: number;
}

const JOBS = { read, pack };
export type CompressJobs = typeof JOBS;

let reader: Promise<ContentReader> | undefined;
let encoder: Promise<Encode> | undefined;

async function read(job: ContentJob): Promise<ContentResult> {
  reader ??= makeReader(workerData as ContentThreadData);
  return (await reader).run(job);
}

/** Codecs that need not give the same bytes everywhere are the quickest of the host. */
async function makeReader({ host, how }: ContentThreadData): Promise<ContentReader> {
  const { compress, sectorSize, isPortable } = how;
  const encode = compress === undefined || isPortable ? undefined : await hostEncoder(compress, sectorSize);
  return makeContentReader(treeSourceOf(host), how, encode);
}

async function pack(job: PackJob): Promise<Packed> {
  const { compress, sectorSize } = workerData as PackThreadData;
  encoder ??= hostEncoder(compress, sectorSize);
  return packPieces(job, await encoder);
}

serveJobs(JOBS, (result) => {
  if ("lengths" in (result as object)) return [(result as Packed).data, (result as Packed).output];
  const { data, checksums, inline, files, pieces } = result as ContentResult;
  return [data, checksums, inline, files, pieces].map(({ buffer }) => buffer as ArrayBuffer);
});
