import type { LocateOptions } from "../device/partition.ts";
import { locateFilesystem } from "../device/partition.ts";
import type { ByteSource } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import type { OnEvent } from "../volume/events.ts";
import { openVolume } from "../volume/open.ts";
import type { Volume } from "../volume/volume.ts";
import { openFileDevice } from "./file-device.ts";

/** What a thread needs to open a filesystem that another one has open: they share no objects. */
export interface ImageOrigin {
  /** Image files and block devices; the filesystem on the first one is where `locate` says. */
  readonly devices: readonly string[];
  readonly locate: LocateOptions;
  readonly degraded: boolean | undefined;
  readonly rootGeneration: number | undefined;
  /** That of the volume that is open. */
  readonly generation: number;
}

/** @throws {BtrfsError} `busy`, when it is not what it was. */
export async function openSameImage(origin: ImageOrigin, onEvent: OnEvent): Promise<Volume> {
  const sources: ByteSource[] = [];
  for (const [index, path] of origin.devices.entries()) {
    sources.push(await locateFilesystem(await openFileDevice(path), index === 0 ? origin.locate : {}));
  }
  const { degraded, rootGeneration, generation } = origin;
  const volume = await openVolume(sources, { degraded, rootGeneration, onEvent });
  if (volume.generation !== generation) {
    const sentence = `Cannot go on: the filesystem changed while it was read, from generation ${generation} to ${volume.generation}`;
    throw new BtrfsError("busy", sentence);
  }
  return volume;
}
