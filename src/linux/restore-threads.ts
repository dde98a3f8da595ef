import type { LocateOptions } from "../device/partition.ts";
import type { BtrfsError } from "../errors.ts";
import { fromPlainError } from "../node/worker-jobs.ts";
import { WorkerPool } from "../node/worker-pool.ts";
import type { RestoreRunner } from "../restore/jobs.ts";
import type { RestorerOptions } from "../restore/restorer.ts";
import type { OnEvent, VolumeEvent } from "../volume/events.ts";
import type { RestoreHost } from "./restore-host.ts";
import type { RestoreJobs } from "./restore-worker.ts";

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
  readonly options: Omit<RestorerOptions, "stop" | "decodeFrame" | "turn">;
  /** Two 32-bit numbers: not 0 to stop; threads so far. */
  readonly stop: SharedArrayBuffer;
}

export interface RestoreThreadsOptions {
  readonly signal?: AbortSignal | undefined;
  /** Hears of bad copies that threads meet. */
  readonly onEvent?: OnEvent | undefined;
}

// The same path seen from src/linux/, from dist/linux/ and from dist/cli/. A bundled file: its thread is ready much sooner.
const WORKER = new URL("../../dist/cli/restore-worker.js", import.meta.url);

export const ABORTED = "Cannot go on: the restore was aborted";

/** Jobs under way for each thread: one that runs, one that waits, so that no thread does. */
const JOBS_PER_THREAD = 2;

/** Runs jobs of a restore on threads. Close it after use. */
export class RestoreThreads implements RestoreRunner {
  readonly width: number;
  readonly #pool: WorkerPool<RestoreJobs>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;

  constructor(count: number, data: Omit<RestoreThreadData, "stop">, { signal, onEvent }: RestoreThreadsOptions = {}) {
    const stop = new SharedArrayBuffer(8);
    this.width = count * JOBS_PER_THREAD;
    this.#pool = new WorkerPool<RestoreJobs>(count, {
      url: WORKER,
      data: { ...data, stop } satisfies RestoreThreadData,
      onTold: (told) => onEvent?.(eventOf(told)),
    });
    this.#signal = signal;
    this.#onAbort = () => Atomics.store(new Int32Array(stop), 0, 1);
    signal?.addEventListener("abort", this.#onAbort);
  }

  async run(job: Parameters<RestoreRunner["run"]>[0]): ReturnType<RestoreRunner["run"]> {
    try {
      // The job is used up here: packed names move to the thread.
      const moved = job.job === "names" ? [job.numbers, job.bytes.buffer] : [];
      return await this.#pool.run("restore", job, moved);
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    await this.#pool.close();
  }
}

function eventOf(told: unknown): VolumeEvent {
  const event = told as VolumeEvent;
  return "error" in event ? { ...event, error: fromPlainError(event.error) as BtrfsError } : event;
}
