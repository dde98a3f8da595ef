import type { Block, BlockSource } from "../stream/source.ts";
import { ChunkRing, type Decode } from "./chunk-ring.ts";
import type { ChunkThreads } from "./chunk-threads.ts";
import { hostError } from "./host-error.ts";
import { CHUNK_BYTES } from "./shared-ring.ts";

/** How long this thread may keep the event loop from its signals and timers. */
const BREATH_MS = 50;

/**
 * A regular file from its start, read and checked by a few threads. This one does so whenever nothing is there for it to parse:
 * starting the others holds nothing up.
 */
export class FileBlocks implements BlockSource {
  readonly #ring: ChunkRing;
  readonly #name: string;
  readonly #threads: ChunkThreads;
  #isClosed = false;
  #next = 0;
  #isLast = false;
  #breathed = Date.now();

  constructor(threads: ChunkThreads, name: string, decode?: Decode) {
    this.#threads = threads;
    this.#name = name;
    this.#ring = new ChunkRing(threads.ring, 0, decode);
  }

  nextBlock(): Block | undefined | Promise<Block | undefined> {
    const chunk = this.#next;
    if (this.#isLast) return undefined;
    // The block before is still lent.
    this.#ring.release(Math.max(0, chunk - 1));
    if (Date.now() - this.#breathed > BREATH_MS || !this.#isThere(chunk)) return this.#slowly(chunk);
    return this.#take(chunk);
  }

  /** Stops the threads, and calls `done` when nothing reads any more. */
  close(done: () => void): void {
    this.#isClosed = true;
    this.#ring.stop();
    this.#threads.whenEnded(done);
  }

  /** Reads what nobody else does, until the chunk is there. False when it is still being read by another thread. */
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
      // Whatever ended a thread, what it had claimed is still to be read.
      if (!this.#threads.areWhole && this.#ring.isClaimed(chunk) && !this.#ring.isDone(chunk))
        return this.#takeAgain(chunk);
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
