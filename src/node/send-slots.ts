import { Chunk, Pieces, TABLE_BYTES } from "../send/chunk.ts";
import { BUFFER_BYTES } from "../send/chunk-queue.ts";

/** Chunks in memory that threads share: one is made, one is with the sink, the others wait or are being filled. */
export const SLOTS = 20;

// The words that the threads share. Chunks are numbered in the order of the stream.
/** Chunks so far. */
const COUNT = 0;
/** The first one that nobody has claimed. */
const NEXT = 1;
/** Grows with each thing that there is to do. */
const CALLS = 2;
/** Threads that wait for that. */
const WAITING = 3;
const COMMON_WORDS = 4;

// Of each slot, from there on.
/** The number of its chunk plus one, once it is filled; its negative when that did not go well, or is not for every thread. */
const DONE = 0;
const USED = 1;
const PIECES = 2;
/** See `Chunk`: where filling begins, or where it ended when it did not go well. */
const AT = 3;
const AT_PIECE = 4;
const ROW_WORDS = 5;

/** What each thread is given. */
export interface SharedSlots {
  readonly words: Int32Array;
  readonly bytes: SharedArrayBuffer;
  readonly tables: SharedArrayBuffer;
}

export function sharedSlots(): SharedSlots {
  return {
    words: new Int32Array(new SharedArrayBuffer((COMMON_WORDS + SLOTS * ROW_WORDS) * 4)),
    bytes: new SharedArrayBuffer(SLOTS * BUFFER_BYTES),
    tables: new SharedArrayBuffer(SLOTS * TABLE_BYTES),
  };
}

/** Chunks that threads fill, each the next that nobody has claimed. Chunk `n` is in slot `n % SLOTS`. */
export class SendSlots {
  readonly #words: Int32Array;
  readonly #chunks: readonly Chunk[];

  constructor({ words, bytes, tables }: SharedSlots) {
    this.#words = words;
    this.#chunks = Array.from({ length: SLOTS }, (_, slot) => {
      const pieces = new Pieces(new Float64Array(tables, slot * TABLE_BYTES, TABLE_BYTES / 8));
      return new Chunk(new Uint8Array(bytes, slot * BUFFER_BYTES, BUFFER_BYTES), pieces);
    });
  }

  /** The chunk in the slot of this number. */
  chunk(number: number): Chunk {
    return this.#chunks[number % SLOTS]!;
  }

  #row(number: number): number {
    return COMMON_WORDS + (number % SLOTS) * ROW_WORDS;
  }

  /** Lets the threads have the next chunk, which is in its slot. */
  offer(number: number): void {
    const words = this.#words;
    const chunk = this.chunk(number);
    const row = this.#row(number);
    words[row + USED] = chunk.used;
    words[row + PIECES] = chunk.pieces.count;
    words[row + AT] = chunk.next;
    words[row + AT_PIECE] = chunk.nextPiece;
    if (!chunk.isPlain) Atomics.store(words, row + DONE, -(number + 1));
    Atomics.store(words, COUNT, number + 1);
    this.call();
  }

  /** Wakes one that waits for something to do. */
  call(): void {
    Atomics.add(this.#words, CALLS, 1);
    if (Atomics.load(this.#words, WAITING) > 0) Atomics.notify(this.#words, CALLS, 1);
  }

  get calls(): number {
    return Atomics.load(this.#words, CALLS);
  }

  /** The next chunk becomes the caller's to fill: `undefined` when there is none for now. */
  claim(): number | undefined {
    const words = this.#words;
    for (;;) {
      const number = Atomics.load(words, NEXT);
      if (number >= Atomics.load(words, COUNT)) return undefined;
      if (Atomics.compareExchange(words, NEXT, number, number + 1) !== number) continue;
      // One that is not plain is left to the thread that made it.
      if (!this.hasFailed(number)) return number;
    }
  }

  /** The chunk as it was offered, for another thread than the one that made it. */
  offered(number: number): Chunk {
    const words = this.#words;
    const row = this.#row(number);
    const chunk = this.chunk(number);
    chunk.used = words[row + USED]!;
    chunk.pieces.count = words[row + PIECES]!;
    chunk.next = words[row + AT]!;
    chunk.nextPiece = words[row + AT_PIECE]!;
    return chunk;
  }

  /** @param isGood If not, what is left of it is for the thread that made it. */
  finish(number: number, isGood: boolean): void {
    const words = this.#words;
    const row = this.#row(number);
    const { next, nextPiece } = this.chunk(number);
    words[row + AT] = next;
    words[row + AT_PIECE] = nextPiece;
    Atomics.store(words, row + DONE, isGood ? number + 1 : -(number + 1));
    Atomics.notify(words, row + DONE);
  }

  /** Takes over what another thread left of a chunk. */
  takeOver(number: number): Chunk {
    const row = this.#row(number);
    const chunk = this.chunk(number);
    chunk.next = this.#words[row + AT]!;
    chunk.nextPiece = this.#words[row + AT_PIECE]!;
    return chunk;
  }

  isDone(number: number): boolean {
    return Atomics.load(this.#words, this.#row(number) + DONE) === number + 1;
  }

  hasFailed(number: number): boolean {
    return Atomics.load(this.#words, this.#row(number) + DONE) === -(number + 1);
  }

  /** Waits until a chunk is done or has failed, or for `ms`. */
  waitFor(number: number, ms: number): void {
    const at = this.#row(number) + DONE;
    const seen = Atomics.load(this.#words, at);
    if (Math.abs(seen) !== number + 1) Atomics.wait(this.#words, at, seen, ms);
  }

  /** Waits for a call after the first `calls` ones. */
  waitForCall(calls: number): void {
    Atomics.add(this.#words, WAITING, 1);
    Atomics.wait(this.#words, CALLS, calls);
    Atomics.sub(this.#words, WAITING, 1);
  }
}
