import { viewOf } from "../bytes/bytes.ts";
import type { BtrfsError } from "../errors.ts";
import type { Chunk, ChunkFiller } from "../send/chunk.ts";
import type { OnEvent, VolumeEvent } from "../volume/events.ts";
import type { ImageOrigin } from "./same-image.ts";
import type { SendJobs } from "./send-worker.ts";
import { fromPlainError } from "./worker-jobs.ts";
import { WorkerPool } from "./worker-pool.ts";

// The same path seen from src/node/ and from dist/node/: a thread runs JavaScript.
const WORKER = new URL("../../dist/node/send-worker.js", import.meta.url);

/**
 * Short sends end before a thread has begun. In an increment, looking at both trees takes longer than the data of some
 * hundred chunks: threads would take more from that than they give.
 */
const CHUNKS_BEFORE_THREADS = 6;
const CHUNKS_OF_INCREMENT = 192;
/** Chunks under way for each thread: one that is filled, two that wait. */
const CHUNKS_PER_THREAD = 3;

/** Fills chunks of streams on threads, which read, verify and decode. Close it after use. */
export class SendThreads {
  readonly #pool: WorkerPool<SendJobs>;
  readonly #width: number;

  /** @param onEvent Hears of bad copies that threads meet. */
  constructor(count: number, origin: ImageOrigin, onEvent?: OnEvent) {
    this.#width = count * CHUNKS_PER_THREAD;
    this.#pool = new WorkerPool<SendJobs>(count, {
      url: WORKER,
      data: origin,
      onTold: (told) => onEvent?.(eventOf(told)),
    });
  }

  /** A filler that begins with `local` and goes on with threads. */
  filler(local: ChunkFiller, isIncrement: boolean): ChunkFiller {
    const alone = isIncrement ? CHUNKS_OF_INCREMENT : CHUNKS_BEFORE_THREADS;
    let count = 0;
    return {
      width: this.#width,
      fill: (chunk) => (count++ < alone ? local.fill(chunk) : this.#fill(chunk)),
    };
  }

  async #fill(chunk: Chunk): Promise<void> {
    const { used, firstCommand, pieces, inline } = chunk;
    const bytes = chunk.bytes as Uint8Array<ArrayBuffer>;
    const table = pieces.used();
    const job = { bytes, used, firstCommand, table, inline };
    const filled = await this.#pool.run("fill", job, [bytes.buffer, table.buffer]);
    chunk.bytes = filled.bytes;
    chunk.view = viewOf(filled.bytes);
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}

function eventOf(told: unknown): VolumeEvent {
  const event = told as VolumeEvent;
  return "error" in event ? { ...event, error: fromPlainError(event.error) as BtrfsError } : event;
}
