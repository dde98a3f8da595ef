/**
 * Room in front of a block for the command that the block before it left unfinished. Kernels write less than 192 KiB.
 *
 * The odd 2 KiB: large arrays begin 16 bytes into a page, and processors whose copy instruction suffers from page aliasing (AMD's
 * Zen 3 and 4) copy from the page cache to such a place at a sixth of their speed. The middle of a page is far from it.
 */
export const HEADROOM_BYTES = 256 * 1024 + 2048;

/**
 * Bytes that are asked for: the fastest source, as they arrive where they are needed.
 *
 * `read` fills the front of `target` with at least one byte, and says how many; 0 is the end of the input. One read is under way at a
 * time, while earlier bytes are being parsed. It may still be when iteration ends early.
 */
export interface PullSource {
  read(target: Uint8Array): number | Promise<number>;
}

/**
 * `bytes[start, end)` come next. In front of them are the bytes of the block before, or `HEADROOM_BYTES` at least that the reader may
 * overwrite.
 */
export interface Block {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /**
   * Where the source has checked commands: from a header at `soundFrom` on they lie one behind the other up to `soundTo`, each with
   * the right checksum. The reader believes it, of a command that it finds to begin there. The two are equal where there are none.
   */
  readonly soundFrom?: number;
  readonly soundTo?: number;
  /** Up to where the encoded writes among them were found to decode as well, read as those of version 2 and later. */
  readonly decodedTo?: number;
}

/**
 * Bytes in memory of the source's own, read ahead of their use.
 *
 * `nextBlock` gives at least one byte, or `undefined` at the end of the input. A block is lent until the second call after its own, and has
 * `HEADROOM_BYTES` at least, unless it is the last.
 */
export interface BlockSource {
  nextBlock(): Block | undefined | Promise<Block | undefined>;
}

/** A Node stream is an async iterable of bytes too. A `Uint8Array` is read in place. */
export type StreamInput =
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>
  | ReadableStream<Uint8Array>
  | Uint8Array
  | PullSource
  | BlockSource;

export function isBlockSource(input: StreamInput): input is BlockSource {
  return typeof (input as Partial<BlockSource>).nextBlock === "function";
}

/** What reads any other kind of input, and what ends it early. */
export function pullSourceOf(input: Exclude<StreamInput, Uint8Array | BlockSource>): {
  source: PullSource;
  close?: () => unknown;
} {
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
