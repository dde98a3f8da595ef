import type { BtrfsError } from "../errors.ts";
import { fromPlainError } from "../node/worker-jobs.ts";
import { WorkerPool } from "../node/worker-pool.ts";
import type { RestoreJob } from "../restore/batch.ts";
import type { RestoreRunner } from "../restore/jobs.ts";
import type { OnEvent, VolumeEvent } from "../volume/events.ts";
import type { RestoreThreadData } from "./restore-thread-data.ts";
import type { RestoreJobs } from "./restore-worker.ts";

export interface RestoreThreadsOptions {
  readonly signal?: AbortSignal | undefined;
  /** Hears of bad copies that threads meet. */
  readonly onEvent?: OnEvent | undefined;
}

// The same path seen from src/linux/, from dist/linux/ and from dist/cli/. A bundled file: its thread is ready much sooner.
const WORKER = new URL("../../dist/cli/restore-worker.js", import.meta.url);

/** Jobs under way for each thread: one that runs, and some that wait, so that no thread does while the main one has a job. */
const JOBS_PER_THREAD = 4;

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

  /** Starts a thread before there is anything for it to do. */
  start(): void {
    this.#pool.start();
  }

  async run(job: Parameters<RestoreRunner["run"]>[0]): ReturnType<RestoreRunner["run"]> {
    try {
      // The job is used up here: packed names move to the thread.
      return await this.#pool.run("restore", job, movedWith(job));
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

function movedWith(job: RestoreJob): ArrayBuffer[] {
  if (job.job === "files") return [job.numbers.buffer, job.bytes.buffer];
  return job.job === "names" ? [job.numbers, job.bytes.buffer] : [];
}

function eventOf(told: unknown): VolumeEvent {
  const event = told as VolumeEvent;
  return "error" in event ? { ...event, error: fromPlainError(event.error) as BtrfsError } : event;
}
