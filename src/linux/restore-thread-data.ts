import type { LocateOptions } from "../device/partition.ts";
import type { RestorerOptions } from "../restore/restorer.ts";
import type { DeviceFiles } from "./device-reads.ts";
import type { RestoreHost } from "./restore-host.ts";

/** What a thread needs to open the same filesystem and the same target. */
export interface RestoreThreadData {
  /** Image files and block devices; the filesystem on the first one is where `locate` says. */
  readonly devices: readonly string[];
  readonly locate: LocateOptions;
  readonly degraded: boolean | undefined;
  readonly rootGeneration: number | undefined;
  readonly cacheBytes: number;
  /** That of the volume of the main thread. */
  readonly generation: number;
  readonly target: RestoreHost;
  readonly options: Omit<RestorerOptions, "stop" | "decodeFrame" | "readDevice" | "turn">;
  /** Where the calls for plain files are to be had. */
  readonly plainFiles: PlainFiles | undefined;
  /** Two 32-bit numbers: not 0 to stop; threads so far. */
  readonly stop: SharedArrayBuffer;
}

/** What a thread needs to write plain files. */
export interface PlainFiles {
  readonly devices: DeviceFiles;
  readonly checksumType: number;
  /** Bytes. */
  readonly sectorSize: number;
}

export const ABORTED = "Cannot go on: the restore was aborted";
