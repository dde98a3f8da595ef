import { foldableBytes } from "#checksum";
import { viewOf } from "../bytes/bytes.ts";

/**
 * Bytes that are asked for: the fastest source, as they arrive where they are needed.
 *
 * `read` fills the front of `target` with at least one byte, and says how many; 0 is the end of the input. One read is under way at a
 * time, while earlier bytes are being parsed. It may still be when iteration ends early.
 */
export interface PullSource {
  read(target: Uint8Array): number | Promise<number>;
}

/** A Node stream is an async iterable of bytes too. A `Uint8Array` is read in place. */
export type StreamInput =
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>
  | ReadableStream<Uint8Array>
  | Uint8Array
  | PullSource;

/** What is asked of a source at a time. Handing a read to another thread costs as much as copying some 100 KiB. */
const BLOCK_BYTES = 2 * 1024 * 1024;

/**
 * Room in front of a block for the command that the block before it left unfinished. Kernels write less than 192 KiB.
 *
 * The odd 2 KiB: large arrays begin 16 bytes into a page, and processors whose copy instruction suffers from page aliasing (AMD's
 * Zen 3 and 4) copy from the page cache to such a place at a sixth of their speed. The middle of a page is far from it.
 */
const HEADROOM_BYTES = 256 * 1024 + 2048;

/** The first read is small: so are many streams. */
const FIRST_BYTES = 128 * 1024;

/** With less room than this behind the bytes, reading goes on in the other buffer. */
const MIN_READ_BYTES = 64 * 1024;

/** Positions in a batch have 32 bits: longer arrays are read piece by piece. */
const MAX_IN_PLACE_BYTES = 2 ** 31;

/** The part of the input that is in memory, growing at the end while it is consumed at the front. */
export class InputWindow {
  bytes: Uint8Array;
  view: DataView;
  /** The first byte that is not consumed, and the end of those that are there. The reader moves `at`. */
  at = 0;
  end = 0;
  /** Where `bytes[0]` lies in the stream. */
  baseOffset = 0;

  readonly #source: PullSource | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #close: (() => unknown) | undefined;
  #spare: Uint8Array | undefined;
  #pending: { readonly into: "window" | "spare"; readonly read: Promise<number> } | undefined;
  #atEnd = false;

  constructor(input: StreamInput, signal?: AbortSignal) {
    this.#signal = signal;
    if (input instanceof Uint8Array && input.byteLength <= MAX_IN_PLACE_BYTES) {
      // Not a subclass: views of a Node `Buffer` would be `Buffer`s, whose methods differ.
      this.bytes = new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
      this.end = input.byteLength;
      this.#atEnd = true;
    } else {
      this.bytes = new Uint8Array(FIRST_BYTES);
      const { source, close } = pullSourceOf(input instanceof Uint8Array ? [input] : input);
      this.#source = source;
      this.#close = close;
    }
    this.view = viewOf(this.bytes);
  }

  get available(): number {
    return this.end - this.at;
  }

  /** Where the first byte that is not consumed lies in the stream. */
  get streamOffset(): number {
    return this.baseOffset + this.at;
  }

  /**
   * Brings at least one more byte, and keeps those that are not consumed; all others are gone. False at the end of the input.
   *
   * @param wanted How many bytes the caller hopes to have in one piece, counted from `at`. Memory grows with those that really come.
   * @throws the reason of the abort, or what the source throws.
   */
  async more(wanted = 0): Promise<boolean> {
    this.#signal?.throwIfAborted();
    if (this.#atEnd) return false;
    this.#readAhead();
    const { into, read } = this.#pending!;
    const count = await unlessAborted(read, this.#signal);
    this.#pending = undefined;
    if (count === 0) {
      this.#atEnd = true;
      return false;
    }
    if (into === "window") this.end += count;
    else this.#takeSpare(count, wanted);
    this.#readAhead();
    return true;
  }

  /** Lets go of the source. Bytes that were lent stay as they are. */
  async close(): Promise<void> {
    const closed = this.#close?.();
    // An iterator that still has to answer would keep us waiting for as long as it pleases.
    if (this.#pending === undefined) await closed;
    else Promise.resolve(closed).catch(() => {});
  }

  /** Starts the next read, unless one is under way, into bytes that nobody looks at. */
  #readAhead(): void {
    if (this.#pending !== undefined || this.#atEnd) return;
    const room = this.bytes.byteLength - this.end;
    const into = room >= MIN_READ_BYTES ? "window" : "spare";
    if (into === "spare") this.#spare ??= foldableBytes(HEADROOM_BYTES + BLOCK_BYTES);
    const target =
      into === "window"
        ? this.bytes.subarray(this.end, this.end + Math.min(room, BLOCK_BYTES))
        : this.#spare!.subarray(HEADROOM_BYTES);
    const read = readFrom(this.#source!, target);
    // Judged by whoever awaits it; until then a failure is no unhandled rejection.
    read.catch(() => {});
    this.#pending = { into, read };
  }

  /** Goes on in the other buffer: the unfinished command moves in front of the `count` bytes that were read there. */
  #takeSpare(count: number, wanted: number): void {
    const spare = this.#spare!;
    const rest = this.available;
    const streamOffset = this.streamOffset;
    const unfinished = this.bytes.subarray(this.at, this.end);
    if (rest <= HEADROOM_BYTES) {
      spare.set(unfinished, HEADROOM_BYTES - rest);
      // A buffer that had grown for one command is not kept.
      this.#spare = this.bytes.byteLength === spare.byteLength ? this.bytes : undefined;
      this.#adopt(spare, HEADROOM_BYTES - rest, HEADROOM_BYTES + count, streamOffset);
      return;
    }
    // Twice what has really come: a large command is moved a bounded number of times, whatever length it claims.
    const larger = new Uint8Array(Math.max(rest + count, Math.min(2 * rest, wanted)) + BLOCK_BYTES);
    larger.set(unfinished);
    larger.set(spare.subarray(HEADROOM_BYTES, HEADROOM_BYTES + count), rest);
    this.#adopt(larger, 0, rest + count, streamOffset);
  }

  #adopt(bytes: Uint8Array, at: number, end: number, streamOffset: number): void {
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.at = at;
    this.end = end;
    this.baseOffset = streamOffset - at;
  }
}

async function readFrom(source: PullSource, target: Uint8Array): Promise<number> {
  const count = await source.read(target);
  if (!(count >= 0 && count <= target.byteLength)) {
    throw new RangeError(`Cannot read input: source gave ${count} bytes, asked were 0 to ${target.byteLength}`);
  }
  return count;
}

function pullSourceOf(input: Exclude<StreamInput, Uint8Array>): { source: PullSource; close?: () => unknown } {
  if (Symbol.asyncIterator in input) return pullFrom(input[Symbol.asyncIterator]());
  if (Symbol.iterator in input) return pullFrom(input[Symbol.iterator]());
  if (isWebStream(input)) {
    // A browser whose ReadableStream can't be iterated yet.
    const reader = input.getReader();
    return pullFrom({
      next: async () => {
        const { done, value } = await reader.read();
        return done ? { done, value: undefined } : { done: false, value };
      },
      return: async () => {
        await reader.cancel();
        return { done: true, value: undefined };
      },
    });
  }
  if (typeof (input as Partial<PullSource>).read === "function") return { source: input };
  throw new TypeError("Cannot read input: it is neither bytes, nor iterable, nor has it a read method");
}

function pullFrom(iterator: Iterator<Uint8Array> | AsyncIterator<Uint8Array>): {
  source: PullSource;
  close: () => unknown;
} {
  let chunk = new Uint8Array(0);
  let done = false;
  async function read(target: Uint8Array): Promise<number> {
    while (chunk.byteLength === 0) {
      const next = await iterator.next();
      if (next.done === true) {
        done = true;
        return 0;
      }
      if (!(next.value instanceof Uint8Array)) throw new TypeError("Cannot read input: a chunk is not a Uint8Array");
      chunk = next.value as Uint8Array<ArrayBuffer>;
    }
    const count = Math.min(chunk.byteLength, target.byteLength);
    target.set(chunk.subarray(0, count));
    chunk = chunk.subarray(count);
    return count;
  }
  return { source: { read }, close: () => (done ? undefined : iterator.return?.()) };
}

function isWebStream(input: object): input is ReadableStream<Uint8Array> {
  return typeof (input as Partial<ReadableStream>).getReader === "function";
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", stop!);
  }
}
