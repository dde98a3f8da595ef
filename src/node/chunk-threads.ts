import { SHARE_ENV, Worker } from "node:worker_threads";
import { type SharedRing, sharedRing } from "./shared-ring.ts";

// The same path seen from src/node/, from dist/node/ and from dist/cli/. Bundled files: their threads read 10 ms sooner.
export const CHECKING = new URL("../../dist/cli/chunk-reader.js", import.meta.url);
export const DECODING = new URL("../../dist/cli/chunk-decoder.js", import.meta.url);

/** What a thread gets as its `workerData`. */
export interface ChunkThreadData {
  readonly ring: SharedRing;
  readonly thread: number;
}

/** The threads of a `ChunkRing` beside the calling one. They begin at once, while the rest of the program is being loaded. */
export class ChunkThreads {
  readonly ring: SharedRing;
  readonly count: number;
  readonly #alive = new Set<Worker>();

  /**
   * @param count At least 0.
   * @param script What they run.
   */
  constructor(fd: number, count: number, script: URL = CHECKING) {
    this.count = count;
    this.ring = sharedRing(fd, count + 1);
    for (let thread = 1; thread <= count; thread++) this.#start({ ring: this.ring, thread }, script);
  }

  /** Whether none has ended. */
  get areWhole(): boolean {
    return this.#alive.size === this.count;
  }

  /** Calls `done` when the last one has ended. */
  whenEnded(done: () => void): void {
    if (this.#alive.size === 0) done();
    for (const worker of this.#alive) {
      worker.once("exit", () => {
        if (this.#alive.size === 0) done();
      });
    }
  }

  /** Where there are no threads, the file is read without. */
  #start(workerData: ChunkThreadData, script: URL): void {
    try {
      const worker = new Worker(script, { workerData, env: SHARE_ENV, execArgv: [] });
      this.#alive.add(worker);
      worker.unref();
      worker.on("error", () => {});
      worker.on("exit", () => this.#alive.delete(worker));
    } catch {}
  }
}
