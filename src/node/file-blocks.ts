import { SHARE_ENV, Worker } from "node:worker_threads";
import { foldableBytes } from "#checksum";
import { type Block, type BlockSource, HEADROOM_BYTES } from "../stream/source.ts";
import { CHUNK_BYTES, ChunkRing } from "./chunk-ring.ts";
import { hostError } from "./host-error.ts";

// The same path seen from src/node/, from dist/node/ and from dist/cli/. The bundled file: its thread reads 10 ms sooner.
const READER = new URL("../../dist/cli/chunk-reader.js", import.meta.url);

/** From this size on a thread pays for its start: until it reads, this one has read and checksummed 200 MiB. */
const THREAD_FROM = 256 * 1024 * 1024;

/** How long this thread may keep the event loop from its signals and timers. */
const BREATH_MS = 50;

/**
 * A regular file from its start, read by a second thread if it is large, and by this one whenever that one is behind: neither waits
 * for the other, and starting the thread holds nothing up.
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
    const use = size >= threadFrom ? "shared" : "alone";
    this.#name = name;
    this.#ring = ChunkRing.create(fd, HEADROOM_BYTES, (byteLength) => foldableBytes(byteLength, use));
    this.#worker = use === "shared" ? startReader(this.#ring, reader) : undefined;
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

  /** Lets signals and timers have their turn, before and between. */
  async #slowly(chunk: number): Promise<Block | undefined> {
    do {
      await new Promise((resolve) => setImmediate(resolve));
      this.#breathed = Date.now();
      if (this.#isClosed) throw new Error("closed while it was being read");
      // Whatever ended the thread, what it had claimed is still to be read.
      if (!this.#isWorking && this.#ring.isClaimed(chunk) && !this.#ring.isDone(chunk)) this.#ring.read(chunk);
    } while (!this.#isThere(chunk));
    return this.#take(chunk);
  }

  /** @throws {BtrfsError} what the host refused when the chunk was to be read, and refuses again. */
  #take(chunk: number): Block | undefined {
    const ring = this.#ring;
    if (ring.count(chunk) < 0) {
      try {
        ring.readOrThrow(chunk);
      } catch (error) {
        throw hostError(error, "read", this.#name);
      }
    }
    const count = ring.count(chunk);
    this.#isLast = count < CHUNK_BYTES;
    this.#next = chunk + 1;
    const start = ring.startOf(chunk);
    return count === 0 ? undefined : { bytes: ring.shared.memory, start, end: start + count };
  }
}

/** `undefined` where there are no threads: the file is read without. */
function startReader(ring: ChunkRing, reader: URL): Worker | undefined {
  try {
    const worker = new Worker(reader, { workerData: ring.shared, env: SHARE_ENV, execArgv: [] });
    worker.unref();
    return worker;
  } catch {
    return undefined;
  }
}
