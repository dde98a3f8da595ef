import { workerData } from "node:worker_threads";
import { locateFilesystem } from "../device/partition.ts";
import type { ByteSource } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import { type Filesystem, openFilesystem } from "../fs/filesystem.ts";
import { openFileDevice } from "../node/file-device.ts";
import { plainError, serveJobs, tellPool } from "../node/worker-jobs.ts";
import type { RestoreJob, RestoreResult } from "../restore/batch.ts";
import { Restorer } from "../restore/restorer.ts";
import type { VolumeEvent } from "../volume/events.ts";
import { findLibzstd } from "./libzstd.ts";
import { restoreTargetOf } from "./restore-host.ts";
import { ABORTED, type RestoreThreadData } from "./restore-threads.ts";

const data = workerData as RestoreThreadData;
const stop = new Int32Array(data.stop);

const JOBS = { restore };
export type RestoreJobs = typeof JOBS;

let restorer: Promise<Restorer> | undefined;
let last: Promise<unknown> = Promise.resolve();

/** One job at a time: a restorer has buffers of its own. */
function restore(job: RestoreJob): Promise<RestoreResult> {
  restorer ??= open();
  const maker = restorer;
  const result = last.then(async () => (await maker).run(job));
  last = result.catch(() => {});
  return result;
}

async function open(): Promise<Restorer> {
  const filesystem = await openSameFilesystem();
  return Restorer.make(filesystem, restoreTargetOf(data.target), {
    ...data.options,
    decodeFrame: findLibzstd(),
    token: `${data.options.token}-${Atomics.add(stop, 1, 1)}`,
    stop: {
      throwIfAborted() {
        if (Atomics.load(stop, 0) !== 0) throw new BtrfsError("io", ABORTED);
      },
    },
  });
}

/** Opens the devices once more; a thread shares no objects with the others. */
async function openSameFilesystem(): Promise<Filesystem> {
  const sources: ByteSource[] = [];
  for (const [index, path] of data.devices.entries()) {
    sources.push(await locateFilesystem(await openFileDevice(path), index === 0 ? data.locate : {}));
  }
  const { degraded, rootGeneration, cacheBytes, generation } = data;
  const filesystem = await openFilesystem(sources, { degraded, rootGeneration, cacheBytes, onEvent: tell });
  if (filesystem.volume.generation !== generation) {
    const sentence = `Cannot restore: the filesystem changed while it was read, from generation ${generation} to ${filesystem.volume.generation}`;
    throw new BtrfsError("busy", sentence);
  }
  return filesystem;
}

/** Warnings are those that the main thread had when it opened the filesystem. */
function tell(event: VolumeEvent): void {
  if (event.kind === "warning") return;
  tellPool("error" in event ? { ...event, error: plainError(event.error) } : event);
}

serveJobs(JOBS);
