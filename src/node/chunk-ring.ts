import { readSync } from "node:fs";

/** What is read at a time. So much of it stays in a processor's cache until it is looked at. */
export const CHUNK_BYTES = 512 * 1024;
const SLOTS = 8;

// The words that the threads share.
/** The first chunk that nobody has claimed. */
const NEXT = 0;
/** The first chunk that is still in use. */
const OLDEST = 1;
/** The first chunk that is known to lie behind the end, 0 while none is. */
const END = 2;
/** By slot: the number of the chunk that is there, plus one; then how many bytes it has, or `FAILED`. */
const DONE = 4;
const COUNT = DONE + SLOTS;
const WORDS = COUNT + SLOTS;

const FAILED = -1;

/** A thread waiting for room is woken when half of it is there: waking it costs as much as reading 100 KiB. */
const ROOM_AT_ONCE = SLOTS / 2;

/** What goes to the other thread. */
export interface SharedRing {
  readonly fd: number;
  readonly words: Int32Array;
  readonly memory: Uint8Array;
  readonly headroom: number;
}

/**
 * A file in chunks that two threads read, each the next that nobody has claimed, into slots that lie one behind the other
 * and are used in turn. A chunk that is not full is the last.
 */
export class ChunkRing {
  readonly shared: SharedRing;

  constructor(shared: SharedRing) {
    this.shared = shared;
  }

  /** @param headroom Bytes in front of the first slot that are nobody's. */
  static create(fd: number, headroom: number, room: (byteLength: number) => Uint8Array): ChunkRing {
    const words = new Int32Array(new SharedArrayBuffer(WORDS * 4));
    return new ChunkRing({ fd, words, memory: room(headroom + SLOTS * CHUNK_BYTES), headroom });
  }

  /** Where a chunk lies in `memory`. */
  startOf(chunk: number): number {
    return this.shared.headroom + (chunk % SLOTS) * CHUNK_BYTES;
  }

  /** The next chunk becomes the caller's to read: -1 where there is no room for it, `undefined` when no more is needed. */
  claim(): number | undefined {
    const { words } = this.shared;
    for (;;) {
      const chunk = Atomics.load(words, NEXT);
      const end = Atomics.load(words, END);
      if (end !== 0 && chunk >= end) return undefined;
      if (chunk >= Atomics.load(words, OLDEST) + SLOTS) return -1;
      if (Atomics.compareExchange(words, NEXT, chunk, chunk + 1) === chunk) return chunk;
    }
  }

  /** Reads a chunk that the caller has claimed. A failure is noted, for the one who needs the chunk to try again. */
  read(chunk: number): void {
    try {
      this.readOrThrow(chunk);
    } catch {
      this.#done(chunk, FAILED);
    }
  }

  /** @throws what the host refused. */
  readOrThrow(chunk: number): void {
    const { fd, memory } = this.shared;
    const start = this.startOf(chunk);
    let count = 0;
    for (let got = -1; got !== 0 && count < CHUNK_BYTES; count += got) {
      got = readSync(fd, memory, start + count, CHUNK_BYTES - count, chunk * CHUNK_BYTES + count);
    }
    if (count < CHUNK_BYTES) this.#endAt(chunk + 1);
    this.#done(chunk, count);
  }

  #done(chunk: number, count: number): void {
    const { words } = this.shared;
    Atomics.store(words, COUNT + (chunk % SLOTS), count);
    Atomics.store(words, DONE + (chunk % SLOTS), chunk + 1);
    Atomics.notify(words, DONE + (chunk % SLOTS));
  }

  isClaimed(chunk: number): boolean {
    return chunk < Atomics.load(this.shared.words, NEXT);
  }

  isDone(chunk: number): boolean {
    return Atomics.load(this.shared.words, DONE + (chunk % SLOTS)) === chunk + 1;
  }

  /** Waits until a chunk is there, or for `ms`. */
  waitFor(chunk: number, ms: number): void {
    const { words } = this.shared;
    const at = DONE + (chunk % SLOTS);
    const seen = Atomics.load(words, at);
    if (seen !== chunk + 1) Atomics.wait(words, at, seen, ms);
  }

  /** How many bytes a chunk has that is done; -1 when it could not be read. */
  count(chunk: number): number {
    return Atomics.load(this.shared.words, COUNT + (chunk % SLOTS));
  }

  /** Chunks before this one are not in use any more. */
  release(chunk: number): void {
    const { words } = this.shared;
    Atomics.store(words, OLDEST, chunk);
    if (chunk % ROOM_AT_ONCE === 0) Atomics.notify(words, OLDEST);
  }

  /** Waits until there may be room for another chunk. */
  waitForRoom(): void {
    const { words } = this.shared;
    const oldest = Atomics.load(words, OLDEST);
    // Longer than no time, as a change between the two calls of `load` goes unnoticed.
    if (Atomics.load(words, NEXT) >= oldest + SLOTS) Atomics.wait(words, OLDEST, oldest, 20);
  }

  /** No more chunks are wanted. */
  stop(): void {
    this.#endAt(1);
    Atomics.notify(this.shared.words, OLDEST);
  }

  #endAt(chunk: number): void {
    const { words } = this.shared;
    for (;;) {
      const end = Atomics.load(words, END);
      if (end !== 0 && end <= chunk) return;
      if (Atomics.compareExchange(words, END, end, chunk) === end) return;
    }
  }
}
