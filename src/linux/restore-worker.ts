import { workerData } from "node:worker_threads";
import { loadChecksum } from "#checksum";
import { loadCodecs } from "#codec";
import { BtrfsError } from "../errors.ts";
import { serveJobs } from "../node/worker-jobs.ts";
import type { RestoreJob, RestoreResult } from "../restore/batch.ts";
import { FileWriter } from "../restore/file-writer.ts";
import type { Restorer } from "../restore/restorer.ts";
import { loadDeviceReads } from "./device-reads.ts";
import { loadFileCalls } from "./file-calls.ts";
import { findLibzstd } from "./libzstd.ts";
import { ABORTED, type PlainFiles, type RestoreThreadData } from "./restore-thread-data.ts";

const data = workerData as RestoreThreadData;
const flags = new Int32Array(data.stop);

const JOBS = { restore };
export type RestoreJobs = typeof JOBS;

const common = {
  ...data.options,
  decodeFrame: findLibzstd(),
  token: `${data.options.token}-${Atomics.add(flags, 1, 1)}`,
  stop: {
    throwIfAborted() {
      if (Atomics.load(flags, 0) !== 0) throw new BtrfsError("io", ABORTED);
    },
  },
};

let restorer: Promise<Restorer> | undefined;
// At once: it is what the first job will need.
const files = data.plainFiles && openFiles(data.plainFiles);
files?.catch(() => {});
let last: Promise<unknown> = Promise.resolve();

/** One job at a time: whoever does it has buffers of its own. */
function restore(job: RestoreJob): Promise<RestoreResult> {
  const result = last.then(() => run(job));
  last = result.catch(() => {});
  return result;
}

async function run(job: RestoreJob): Promise<RestoreResult> {
  if (job.job === "files" && files !== undefined) return (await files).run(job);
  restorer ??= openRestorer();
  return (await restorer).run(job);
}

async function openFiles({ checksumType, sectorSize, devices }: PlainFiles): Promise<FileWriter> {
  const [checksum, codecs] = await Promise.all([loadChecksum(checksumType), loadCodecs()]);
  const calls = loadFileCalls();
  return new FileWriter({ ...common, calls, read: loadDeviceReads(devices), checksum, sectorSize, codecs });
}

/** For what is no plain file: most threads never load it. */
async function openRestorer(): Promise<Restorer> {
  const { openSameRestorer } = await import("./restore-again.ts");
  return openSameRestorer(data, common);
}

serveJobs(JOBS, (result) => {
  const { memory } = result as RestoreResult;
  return memory === undefined ? [] : [memory.numbers.buffer, memory.bytes.buffer];
});
