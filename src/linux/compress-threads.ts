import type { Compress } from "../codec/encoder.ts";
import { type Packed, type Packer, type PackJob, packPieces } from "../edit/pack.ts";
import type { ContentJob, ContentResult, ContentRunner } from "../mkfs/content.ts";
import type { ContentHow } from "../mkfs/content-how.ts";
import { WorkerPool } from "../node/worker-pool.ts";
import type { CompressJobs, ContentThreadData, PackThreadData } from "./compress-worker.ts";
import { hostEncoder } from "./encoder.ts";
import type { SourceHost } from "./source-host.ts";

// The same path seen from src/linux/, from dist/linux/ and from dist/cli/. Bundled, it is ready sooner.
const WORKER = new URL("../../dist/cli/compress-worker.js", import.meta.url);
/** One that runs, and one that waits, so that no thread does. */
const JOBS_PER_THREAD = 2;

/** Reads and compresses files on threads. Close it after use. */
export class ContentThreads implements ContentRunner {
  readonly width: number;
  readonly #pool: WorkerPool<CompressJobs>;

  constructor(count: number, host: SourceHost, how: ContentHow) {
    this.width = count * JOBS_PER_THREAD;
    this.#pool = new WorkerPool<CompressJobs>(count, { url: WORKER, data: { host, how } satisfies ContentThreadData });
  }

  run(job: ContentJob): Promise<ContentResult> {
    return this.#pool.run("read", job, job.buffer === undefined ? [] : [job.buffer]);
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}

/** Compresses on threads, or on the calling one where it is to be the only one: either gives the same. Close it after use. */
export async function openPacker(
  threads: number,
  compress: Compress,
  sectorSize: number,
): Promise<Packer & { close(): Promise<void> }> {
  if (threads > 1) {
    const pool = new WorkerPool<CompressJobs>(threads, {
      url: WORKER,
      data: { compress, sectorSize } satisfies PackThreadData,
    });
    return {
      run: (job: PackJob): Promise<Packed> => pool.run("pack", job, [job.data, job.output]),
      close: () => pool.close(),
    };
  }
  const encode = await hostEncoder(compress, sectorSize);
  return { run: (job) => packPieces(job, encode), close: async () => {} };
}
