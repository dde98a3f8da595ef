import type { ByteSink } from "../stream/output.ts";
import { Chunk, type ChunkFiller } from "./chunk.ts";

/** A chunk is complete with the command that reaches this length, in bytes. */
export const CHUNK_BYTES = 512 * 1024;
/** As long as a command is at most, and room behind it. */
const BUFFER_BYTES = CHUNK_BYTES + 256 * 1024;

/** Chunks on their way: filled several at a time, given to the sink one after the other. */
export class ChunkQueue {
  readonly #filler: ChunkFiller;
  readonly #sink: ByteSink;
  readonly #free: Chunk[] = [];
  #underWay = 0;
  #last: Promise<void> = Promise.resolve();
  #error: unknown;
  #hasFailed = false;
  #wake: (() => void) | undefined;

  constructor(filler: ChunkFiller, sink: ByteSink) {
    this.#filler = filler;
    this.#sink = sink;
  }

  empty(): Chunk {
    return this.#free.pop() ?? new Chunk(new Uint8Array(BUFFER_BYTES));
  }

  /** Whether to wait with `drain` before more is pushed. */
  get isFull(): boolean {
    return this.#underWay >= this.#filler.width || this.#hasFailed;
  }

  push(chunk: Chunk): void {
    this.#underWay++;
    const before = this.#last;
    let filling: void | Promise<void>;
    try {
      filling = this.#filler.fill(chunk);
    } catch (error) {
      filling = Promise.reject(error);
    }
    // Reported in its turn; until then it is no unhandled rejection.
    filling?.catch(() => {});
    this.#last = this.#pass(chunk, before, filling);
  }

  /** Waits until there is room for one more. @throws what filling or the sink threw. */
  async drain(): Promise<void> {
    while (this.#underWay >= this.#filler.width && !this.#hasFailed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#check();
  }

  async flush(): Promise<void> {
    await this.#last;
    this.#check();
  }

  #check(): void {
    if (this.#hasFailed) throw this.#error;
  }

  async #pass(chunk: Chunk, before: Promise<void>, filling: void | Promise<void>): Promise<void> {
    try {
      await before;
      await filling;
      if (!this.#hasFailed) await this.#sink.write(chunk.bytes.subarray(0, chunk.used));
    } catch (error) {
      if (!this.#hasFailed) this.#error = error;
      this.#hasFailed = true;
    }
    this.#underWay--;
    // A buffer that had grown for one command is not kept.
    if (chunk.bytes.byteLength === BUFFER_BYTES && this.#free.length < this.#filler.width) {
      chunk.clear();
      this.#free.push(chunk);
    }
    this.#wake?.();
    this.#wake = undefined;
  }
}
