import { SHARE_ENV, Worker } from "node:worker_threads";
import type { Block, BlockSource } from "../stream/source.ts";
import { CHUNK_BYTES, ChunkRing, type SharedRing } from "./chunk-ring.ts";
import { hostError } from "./host-error.ts";

// The same path seen from src/node/, from dist/node/ and from dist/cli/. The bundled file: its thread reads 10 ms sooner.
const READER = new URL("../../dist/cli/chunk-reader.js", import.meta.url);

/** From this size on a thread pays for its start: until it reads, this one has read and checksummed 200 MiB. */
const THREAD_FROM = 256 * 1024 * 1024;

/** How long this thread may keep the event loop from its signals and timers. */
const BREATH_MS = 50;

/**
 * A regular file from its start, read and checked by two threads if it is large. This one does so whenever nothing is there for it to
 * parse: starting the other one holds nothing up.
 */
export class FileBlocks implements BlockSource {
  readonly #ring: ChunkRing;
  readonly #name: string;
  readonly #worker: Worker | undefined;
  #isWorking: boolean;
  #isClosed = false;
  #next = 0;
  #isLast = false;
  #breathed = Date.now();

  /**
   * @param size In bytes, as far as is known.
   * @param reader What the thread runs.
   */
  constructor(fd: number, name: string, size: number, threadFrom = THREAD_FROM, reader = READER) {
    const isLarge = size >= threadFrom;
    const shared = ChunkRing.share(fd, isLarge ? 2 : 1);
    this.#name = name;
    // First of all, as it takes a while.
    this.#worker = isLarge ? startReader(shared, reader) : undefined;
    this.#ring = new ChunkRing(shared, 0);
    this.#isWorking = this.#worker !== undefined;
    this.#worker?.on("error", () => {});
    this.#worker?.on("exit", () => {
      this.#isWorking = false;
    });
  }

  nextBlock(): Block | undefined | Promise<Block | undefined> {
    const chunk = this.#next;
    if (this.#isLast) return undefined;
    // The block before is still lent.
    this.#ring.release(Math.max(0, chunk - 1));
    if (Date.now() - this.#breathed > BREATH_MS || !this.#isThere(chunk)) return this.#slowly(chunk);
    return this.#take(chunk);
  }

  /** Stops the thread, and calls `done` when nothing reads any more. */
  close(done: () => void): void {
    this.#isClosed = true;
    this.#ring.stop();
    if (!this.#isWorking) done();
    else this.#worker!.once("exit", done);
  }

  /** Reads what nobody else does, until the chunk is there. False when it is still being read by the other thread. */
  #isThere(chunk: number): boolean {
    const ring = this.#ring;
    while (!ring.isDone(chunk)) {
      const mine = ring.claim();
      if (mine === undefined || mine < 0) {
        ring.waitFor(chunk, 2);
        return ring.isDone(chunk);
      }
      ring.read(mine);
    }
    return true;
  }

  /**
   * Lets signals and timers have their turn, before and between.
   *
   * @throws {BtrfsError} what the host refused.
   */
  async #slowly(chunk: number): Promise<Block | undefined> {
    do {
      await new Promise((resolve) => setImmediate(resolve));
      this.#breathed = Date.now();
      if (this.#isClosed) throw new Error("closed while it was being read");
      // Whatever ended the thread, what it had claimed is still to be read.
      if (!this.#isWorking && this.#ring.isClaimed(chunk) && !this.#ring.isDone(chunk)) return this.#takeAgain(chunk);
    } while (!this.#isThere(chunk));
    return this.#take(chunk);
  }

  /** @throws {BtrfsError} what the host refused when the chunk was to be read, and refuses again. */
  #take(chunk: number): Block | undefined {
    return this.#ring.hasFailed(chunk) ? this.#takeAgain(chunk) : this.#lend(chunk, this.#ring.block(chunk));
  }

  #takeAgain(chunk: number): Block | undefined {
    try {
      return this.#lend(chunk, this.#ring.readAgain(chunk));
    } catch (error) {
      throw hostError(error, "read", this.#name);
    }
  }

  #lend(chunk: number, block: Block): Block | undefined {
    const count = block.end - block.start;
    this.#isLast = count < CHUNK_BYTES;
    this.#next = chunk + 1;
    return count === 0 ? undefined : block;
  }
}

/** `undefined` where there are no threads: the file is read without. */
function startReader(shared: SharedRing, reader: URL): Worker | undefined {
  try {
    const worker = new Worker(reader, { workerData: shared, env: SHARE_ENV, execArgv: [] });
    worker.unref();
    return worker;
  } catch {
    return undefined;
  }
}
