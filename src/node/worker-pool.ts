import { setImmediate as turn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { BtrfsError } from "../errors.ts";
import type { EncodedThreads } from "../verify/encoded.ts";
import type { Jobs } from "./worker.ts";
import { fromPlainError, type JobReply, type JobTable } from "./worker-jobs.ts";

interface Waiting {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

interface Hand {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
}

export interface WorkerPoolOptions {
  /** What the threads run; they need `serveJobs`. Built-in jobs unless said. */
  readonly url?: URL;
  /** What every thread gets as its `workerData`. */
  readonly data?: unknown;
  /** Hears what threads tell while they work. */
  readonly onTold?: (told: unknown) => void;
}

// The same path seen from src/node/ and from dist/node/: a thread runs JavaScript.
const WORKER = new URL("../../dist/node/worker.js", import.meta.url);

/** What threads make lives briefly: less room for it costs no time, and saves some 30 MiB for each. */
const YOUNG = { maxYoungGenerationSizeMb: 12 };

/** Threads that do jobs. Each job goes to the thread with the fewest under way; a thread starts with its first job. */
export class WorkerPool<J extends JobTable = Jobs> {
  readonly size: number;
  readonly #options: WorkerPoolOptions;
  readonly #hands: Hand[] = [];
  #nextId = 0;

  /** @param size How many threads, at least 1. */
  constructor(size: number, options: WorkerPoolOptions = {}) {
    this.size = size;
    this.#options = options;
  }

  /** @param transfer Buffers that move to the thread; those of the result move back. */
  run<N extends keyof J & string>(
    name: N,
    argument: Parameters<J[N]>[0],
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Awaited<ReturnType<J[N]>>> {
    const hand = this.#hand();
    const id = this.#nextId++;
    const done = new Promise((resolve, reject) => hand.waiting.set(id, { resolve, reject }));
    hand.worker.postMessage({ id, name, argument }, transfer);
    return done as Promise<Awaited<ReturnType<J[N]>>>;
  }

  async close(): Promise<void> {
    await Promise.all(this.#hands.map(({ worker }) => worker.terminate()));
  }

  #hand(): Hand {
    const idle = this.#idle();
    if (idle !== undefined && (idle.waiting.size === 0 || this.#hands.length >= this.size)) return idle;
    return this.#start();
  }

  /** Starts a thread before there is anything for it to do. */
  start(): void {
    if (this.#hands.length < this.size) this.#start();
  }

  #idle(): Hand | undefined {
    return this.#hands.reduce<Hand | undefined>(
      (best, hand) => (best === undefined || hand.waiting.size < best.waiting.size ? hand : best),
      undefined,
    );
  }

  #start(): Hand {
    const { url = WORKER, data } = this.#options;
    // Flags of this process, such as conditions of imports, are not for the package's own files.
    const worker = new Worker(url, { workerData: data, resourceLimits: YOUNG, execArgv: [] });
    const hand: Hand = { worker, waiting: new Map() };
    hand.worker.on("message", (reply: JobReply) => this.#take(hand, reply));
    hand.worker.on("error", (cause) => this.#fail(hand, cause));
    hand.worker.on("exit", (code) => this.#fail(hand, new Error(`exit code ${code}`)));
    this.#hands.push(hand);
    return hand;
  }

  #take(hand: Hand, { id, result, error, told }: JobReply): void {
    if (id === undefined) {
      this.#options.onTold?.(told);
      return;
    }
    const waiting = hand.waiting.get(id);
    hand.waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(fromPlainError(error));
  }

  #fail(hand: Hand, cause: unknown): void {
    const error = new BtrfsError("io", "Cannot go on: a worker thread ended before its work was done", { cause });
    for (const waiting of hand.waiting.values()) waiting.reject(error);
    hand.waiting.clear();
    const at = this.#hands.indexOf(hand);
    if (at >= 0) this.#hands.splice(at, 1);
  }
}

/** A thread that has this many batches does not wait for the next one while the calling thread decodes or reads. */
const BATCHES_AHEAD = 3;

/** Lets the threads of the pool decode the encoded writes that verifying finds. */
export function encodedThreads(pool: WorkerPool): EncodedThreads {
  return {
    capacity: pool.size * BATCHES_AHEAD,
    check: (batch) => pool.run("checkEncoded", batch, [batch.bytes.buffer, batch.table.buffer]),
    turn: () => turn(),
  };
}
