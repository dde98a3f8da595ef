import { workerData } from "node:worker_threads";
import type { ContentJob, ContentReader, ContentResult } from "../mkfs/content.ts";
import { type ContentHow, makeContentReader } from "../mkfs/content-how.ts";
import { serveJobs } from "../node/worker-jobs.ts";
import { findZstdEncoder } from "./libzstd.ts";
import { type SourceHost, treeSourceOf } from "./source-host.ts";

/** What a thread needs to read the same files. */
export interface ContentThreadData {
  readonly host: SourceHost;
  readonly how: ContentHow;
}

const { host, how } = workerData as ContentThreadData;
const JOBS = { read };
export type ContentJobs = typeof JOBS;

let reader: Promise<ContentReader> | undefined;

async function read(job: ContentJob): Promise<ContentResult> {
  reader ??= makeContentReader(treeSourceOf(host), how, encoderOf(how));
  return (await reader).run(job);
}

/** The library of the system where it is quicker, and need not give the same bytes everywhere. */
function encoderOf({ compress, isPortable }: ContentHow): ReturnType<typeof findZstdEncoder> {
  return compress?.algorithm === "zstd" && !isPortable ? findZstdEncoder(compress.level ?? 3) : undefined;
}

serveJobs(JOBS, (result) => {
  const { data, checksums, inline, files, pieces } = result as ContentResult;
  return [data, checksums, inline, files, pieces].map(({ buffer }) => buffer as ArrayBuffer);
});
