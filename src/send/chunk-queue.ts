import type { ByteSink } from "../stream/output.ts";
import { Chunk, type ChunkFiller } from "./chunk.ts";

/** A chunk is complete with the command that reaches this length, in bytes. */
export const CHUNK_BYTES = 512 * 1024;
/** As long as a command is at most, and room behind it. */
export const BUFFER_BYTES = CHUNK_BYTES + 256 * 1024;

/** Chunks on their way: filled several at a time, given to the sink one after the other. */
export class ChunkQueue {
  readonly #filler: ChunkFiller;
  readonly #sink: ByteSink;
  readonly #free: Chunk[] = [];
  /** Complete, in the order of the stream. */
  readonly #waiting: Chunk[] = [];
  /** The sink has the one before. */
  #writing: Promise<void> | undefined;

  constructor(filler: ChunkFiller, sink: ByteSink) {
    this.#filler = filler;
    this.#sink = sink;
  }

  empty(): Chunk {
    return this.#filler.empty?.() ?? this.#free.pop() ?? new Chunk(new Uint8Array(BUFFER_BYTES));
  }

  /** Whether `drain` is due before more is pushed. */
  get isFull(): boolean {
    const first = this.#waiting[0];
    if (first === undefined) return false;
    return this.#waiting.length >= this.#filler.width || this.#filler.isFilled?.(first) === true;
  }

  push(chunk: Chunk): void {
    this.#waiting.push(chunk);
    this.#filler.begin?.(chunk);
  }

  /** Makes room, and gives what is ready to the sink. @throws what filling or the sink threw. */
  async drain(): Promise<void> {
    while (this.isFull) await this.#passFirst();
  }

  async flush(): Promise<void> {
    while (this.#waiting.length > 0) await this.#passFirst();
    await this.#writing;
  }

  async #passFirst(): Promise<void> {
    const chunk = this.#waiting[0]!;
    const filling = this.#filler.fill(chunk);
    if (filling !== undefined) await filling;
    if (this.#writing !== undefined) await this.#writing;
    this.#waiting.shift();
    const writing = this.#sink.write(chunk.bytes.subarray(0, chunk.used));
    this.#writing = writing?.then(() => this.#recycle(chunk));
    if (writing === undefined) this.#recycle(chunk);
    // Reported when the next one is passed; until then it is no unhandled rejection.
    this.#writing?.catch(() => {});
  }

  #recycle(chunk: Chunk): void {
    chunk.clear();
    if (this.#filler.release !== undefined) this.#filler.release(chunk);
    else this.#free.push(chunk);
  }
}
