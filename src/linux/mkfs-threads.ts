import type { ContentJob, ContentResult, ContentRunner } from "../mkfs/content.ts";
import type { ContentHow } from "../mkfs/content-how.ts";
import { WorkerPool } from "../node/worker-pool.ts";
import type { ContentJobs, ContentThreadData } from "./mkfs-worker.ts";
import type { SourceHost } from "./source-host.ts";

// The same path seen from src/linux/ and from dist/linux/: a thread runs JavaScript.
const WORKER = new URL("../../dist/linux/mkfs-worker.js", import.meta.url);
/** One that runs, and one that waits, so that no thread does. */
const JOBS_PER_THREAD = 2;

/** Reads and compresses files on threads. Close it after use. */
export class ContentThreads implements ContentRunner {
  readonly width: number;
  readonly #pool: WorkerPool<ContentJobs>;

  constructor(count: number, host: SourceHost, how: ContentHow) {
    this.width = count * JOBS_PER_THREAD;
    this.#pool = new WorkerPool<ContentJobs>(count, { url: WORKER, data: { host, how } satisfies ContentThreadData });
  }

  run(job: ContentJob): Promise<ContentResult> {
    return this.#pool.run("read", job, job.buffer === undefined ? [] : [job.buffer]);
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}
