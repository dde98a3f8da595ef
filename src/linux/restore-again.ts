import { locateFilesystem } from "../device/partition.ts";
import type { ByteSource } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import { type Filesystem, openFilesystem } from "../fs/filesystem.ts";
import { openFileDevice } from "../node/file-device.ts";
import { plainError, tellPool } from "../node/worker-jobs.ts";
import { Restorer, type RestorerOptions } from "../restore/restorer.ts";
import type { VolumeEvent } from "../volume/events.ts";
import { restoreTargetOf } from "./restore-host.ts";
import type { RestoreThreadData } from "./restore-thread-data.ts";

/** A restorer on another thread, which shares no objects with the others: it opens everything once more. */
export async function openSameRestorer(data: RestoreThreadData, options: RestorerOptions): Promise<Restorer> {
  return Restorer.make(await openSameFilesystem(data), restoreTargetOf(data.target), options);
}

async function openSameFilesystem(data: RestoreThreadData): Promise<Filesystem> {
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
