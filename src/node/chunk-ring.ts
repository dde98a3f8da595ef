import { readSync } from "node:fs";
import { foldableIn } from "#checksum";
import { viewOf } from "../bytes/bytes.ts";
import { frameBytes, nextFrame, soundUpTo } from "../stream/frames.ts";
import { type Block, HEADROOM_BYTES } from "../stream/source.ts";
import { COMMAND_HEADER_BYTES } from "../stream/wire.ts";
import { CHUNK_BYTES, COMMON_WORDS, ROW_WORDS, type SharedRing, SLOT_BYTES, SLOTS } from "./shared-ring.ts";

/** Up to where the encoded writes of `bytes[from, to)` decode. */
export type Decode = (bytes: Uint8Array, view: DataView, from: number, to: number) => number;

// The words that the threads share.
/** The first chunk that nobody has claimed. */
const NEXT = 0;
/** The first chunk that is still in use. */
const OLDEST = 1;
/** The first chunk that is known to lie behind the end, 0 while none is. */
const END = 2;

// Of each chunk that is in use, from there on.
/** Its number plus one, once it is known where the first command begins that goes on behind it. */
const WALKED = 0;
/** The same, once it is there. */
const DONE = 1;
/** How many bytes it has, or `FAILED`. */
const COUNT = 2;
const THREAD = 3;
const SLOT = 4;
/** See `Block`; they count from the start of the chunk. */
const SOUND_FROM = 5;
const SOUND_TO = 6;
const DECODED_TO = 7;

const FAILED = -1;

/** A thread waiting for room is woken when so much of it is there: waking it costs as much as reading 100 KiB. */
const ROOM_AT_ONCE = SLOTS / 2;

/** How long a thread waits to be told where its first command begins; then nobody is told any more. */
const PATIENCE_MS = 200;
const SPINS = 2000;

/**
 * A file in chunks that a few threads read, each the next that nobody has claimed; and they check the commands in them. A chunk that
 * is not full is the last.
 */
export class ChunkRing {
  readonly shared: SharedRing;
  readonly #thread: number;
  readonly #chunksInUse: number;
  /** By thread, where it is looked at. */
  readonly #memories: (Uint8Array | undefined)[] = [];
  readonly #view: DataView;
  readonly #memory: Uint8Array;
  /** Which chunk each slot of this thread was used for last. */
  readonly #slots = new Int32Array(SLOTS).fill(-1);

  readonly #decode: Decode | undefined;

  /** @param thread Which of the threads the caller is: 0 is the one that looks at the chunks. */
  constructor(shared: SharedRing, thread: number, decode?: Decode) {
    this.shared = shared;
    this.#decode = decode;
    this.#thread = thread;
    this.#chunksInUse = shared.memories.length * SLOTS;
    this.#memory = foldableIn(shared.memories[thread]!, 0);
    this.#memories[thread] = this.#memory;
    this.#view = viewOf(this.#memory);
  }

  /** Where the words of a chunk begin. */
  #row(chunk: number): number {
    return COMMON_WORDS + (chunk % this.#chunksInUse) * ROW_WORDS;
  }

  /** The next chunk becomes the caller's to read: -1 where there is no room for it, `undefined` when no more is needed. */
  claim(): number | undefined {
    const { words } = this.shared;
    const oldest = Atomics.load(words, OLDEST);
    const slot = this.#slots.findIndex((chunk) => chunk < oldest);
    for (;;) {
      const chunk = Atomics.load(words, NEXT);
      const end = Atomics.load(words, END);
      if (end !== 0 && chunk >= end) return undefined;
      if (slot < 0) return -1;
      if (Atomics.compareExchange(words, NEXT, chunk, chunk + 1) !== chunk) continue;
      this.#slots[slot] = chunk;
      return chunk;
    }
  }

  /** Reads and checks a chunk that the caller has claimed. A failure is noted, for the one who needs the chunk to try again. */
  read(chunk: number): void {
    const { words } = this.shared;
    const row = this.#row(chunk);
    const slot = this.#slots.indexOf(chunk);
    const start = slot * SLOT_BYTES + HEADROOM_BYTES;
    words[row + THREAD] = this.#thread;
    words[row + SLOT] = slot;
    let count: number;
    try {
      count = this.#fill(this.#memory, start, chunk);
    } catch {
      count = FAILED;
    }
    words[row + COUNT] = count;
    if (count >= 0 && count < CHUNK_BYTES) this.#endAt(chunk + 1);
    this.#check(chunk, start, Math.max(count, 0));
    Atomics.store(words, row + DONE, chunk + 1);
    Atomics.notify(words, row + DONE);
  }

  /** @throws what the host refused. */
  #fill(bytes: Uint8Array, start: number, chunk: number): number {
    let count = 0;
    for (let got = -1; got !== 0 && count < CHUNK_BYTES; count += got) {
      got = readSync(this.shared.fd, bytes, start + count, CHUNK_BYTES - count, chunk * CHUNK_BYTES + count);
    }
    return count;
  }

  /** First tells the next thread where to begin, as that takes no time; then takes the checksums. */
  #check(chunk: number, start: number, count: number): void {
    const { words, following } = this.shared;
    const row = this.#row(chunk);
    const bytes = this.#memory;
    const before = start - chunk * CHUNK_BYTES;
    const end = start + count;
    let first = this.#firstFrame(chunk) + before;
    if (first < start) first = this.#behindCutHeader(first - before) + before;
    following[chunk % this.#chunksInUse] = nextFrame(bytes, this.#view, first, end) - before;
    Atomics.store(words, row + WALKED, chunk + 1);
    Atomics.notify(words, row + WALKED);
    if (chunk === 0 && end - first >= COMMAND_HEADER_BYTES) first += frameBytes(bytes, this.#view, first);
    const from = first < end ? first : start;
    const to = first < end ? soundUpTo(bytes, this.#view, first, end) : start;
    words[row + SOUND_FROM] = from - start;
    words[row + SOUND_TO] = to - start;
    words[row + DECODED_TO] = (this.#decode?.(bytes, this.#view, from, to) ?? from) - start;
  }

  /** Where in the file the first command begins that no chunk before this one has told of: there, or before it, or behind it. */
  #firstFrame(chunk: number): number {
    if (chunk === 0) return 0;
    const { words, following } = this.shared;
    const at = this.#row(chunk - 1) + WALKED;
    for (let spin = 0; spin < SPINS; spin++) {
      if (Atomics.load(words, at) === chunk) return following[(chunk - 1) % this.#chunksInUse]!;
    }
    const seen = Atomics.load(words, at);
    if (seen !== chunk) Atomics.wait(words, at, seen, PATIENCE_MS);
    if (Atomics.load(words, at) !== chunk) return Number.NaN;
    return following[(chunk - 1) % this.#chunksInUse]!;
  }

  /** Of a command whose header lies in two chunks, where the next one begins. */
  #behindCutHeader(at: number): number {
    const header = new Uint8Array(COMMAND_HEADER_BYTES);
    try {
      if (readSync(this.shared.fd, header, 0, COMMAND_HEADER_BYTES, at) < COMMAND_HEADER_BYTES) return Number.NaN;
    } catch {
      return Number.NaN;
    }
    return at + frameBytes(header, viewOf(header), 0);
  }

  /** A chunk that is done, and could be read. */
  block(chunk: number): Block {
    const { words } = this.shared;
    const row = this.#row(chunk);
    const thread = words[row + THREAD]!;
    const { memories } = this.shared;
    this.#memories[thread] ??= foldableIn(memories[thread]!, 1);
    const start = words[row + SLOT]! * SLOT_BYTES + HEADROOM_BYTES;
    return {
      bytes: this.#memories[thread],
      start,
      end: start + words[row + COUNT]!,
      soundFrom: start + words[row + SOUND_FROM]!,
      soundTo: start + words[row + SOUND_TO]!,
      decodedTo: start + words[row + DECODED_TO]!,
    };
  }

  /**
   * Reads a chunk for which nobody has done so, to memory of its own.
   *
   * @throws what the host refused.
   */
  readAgain(chunk: number): Block {
    const bytes = new Uint8Array(SLOT_BYTES);
    return { bytes, start: HEADROOM_BYTES, end: HEADROOM_BYTES + this.#fill(bytes, HEADROOM_BYTES, chunk) };
  }

  isClaimed(chunk: number): boolean {
    return chunk < Atomics.load(this.shared.words, NEXT);
  }

  isDone(chunk: number): boolean {
    return Atomics.load(this.shared.words, this.#row(chunk) + DONE) === chunk + 1;
  }

  /** Waits until a chunk is there, or for `ms`. */
  waitFor(chunk: number, ms: number): void {
    const { words } = this.shared;
    const at = this.#row(chunk) + DONE;
    const seen = Atomics.load(words, at);
    if (seen !== chunk + 1) Atomics.wait(words, at, seen, ms);
  }

  /** Whether a chunk that is done could not be read. */
  hasFailed(chunk: number): boolean {
    return this.shared.words[this.#row(chunk) + COUNT] === FAILED;
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
    // Not for ever, as a change between the two calls of `load` goes unnoticed.
    if (this.#slots.every((chunk) => chunk >= oldest)) Atomics.wait(words, OLDEST, oldest, 20);
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

/** Reads what nobody else does, up to the end of the file. */
export function readChunks(ring: ChunkRing): void {
  for (let chunk = ring.claim(); chunk !== undefined; chunk = ring.claim()) {
    if (chunk < 0) ring.waitForRoom();
    else ring.read(chunk);
  }
}
