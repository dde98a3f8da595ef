import { foldableBytes } from "#checksum";
import { viewOf } from "../bytes/bytes.ts";
import {
  type BlockSource,
  HEADROOM_BYTES,
  isBlockSource,
  type PullSource,
  pullSourceOf,
  type StreamInput,
} from "./source.ts";

/** What is asked of a source at a time. Handing a read to another thread costs as much as copying some 100 KiB. */
const BLOCK_BYTES = 2 * 1024 * 1024;

/** The first read is small: so are many streams. */
const FIRST_BYTES = 128 * 1024;

/** With less room than this behind the bytes, reading goes on in the other buffer. */
const MIN_READ_BYTES = 64 * 1024;

/** Positions in a batch have 32 bits: longer arrays are read piece by piece. */
const MAX_IN_PLACE_BYTES = 2 ** 31;

const NOTHING = new Uint8Array(0);

/** The part of the input that is in memory, growing at the end while it is consumed at the front. */
export class InputWindow {
  bytes: Uint8Array;
  view: DataView;
  /** The first byte that is not consumed, and the end of those that are there. The reader moves `at`. */
  at = 0;
  end = 0;
  /** Where `bytes[0]` lies in the stream. */
  baseOffset = 0;
  /** The first command that was checked already, and the end of those that were: see `Block`. The reader moves `soundFrom`. */
  soundFrom = 0;
  soundTo = 0;
  decodedTo = 0;

  readonly #source: PullSource | undefined;
  readonly #blocks: BlockSource | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #close: (() => unknown) | undefined;
  #spare: Uint8Array | undefined;
  /** Made for a command that is longer than the headroom. */
  #grown: Uint8Array | undefined;
  #pending: { readonly into: "window" | "spare"; readonly read: Promise<number> } | undefined;
  #atEnd = false;

  constructor(input: StreamInput, signal?: AbortSignal) {
    this.#signal = signal;
    if (input instanceof Uint8Array && input.byteLength <= MAX_IN_PLACE_BYTES) {
      // Not a subclass: views of a Node `Buffer` would be `Buffer`s, whose methods differ.
      this.bytes = new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
      this.end = input.byteLength;
      this.#atEnd = true;
    } else if (isBlockSource(input)) {
      this.bytes = new Uint8Array(0);
      this.#blocks = input;
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
    if (this.#blocks !== undefined) return this.#moreOf(this.#blocks, wanted);
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

  async #moreOf(source: BlockSource, wanted: number): Promise<boolean> {
    // It may begin in the block before the last, which is given back now.
    if (this.available > HEADROOM_BYTES && this.bytes !== this.#grown) this.#goOn(NOTHING, 0, 0, wanted);
    const given = source.nextBlock();
    const block = given instanceof Promise ? await unlessAborted(given, this.#signal) : given;
    if (block === undefined) {
      this.#atEnd = true;
      return false;
    }
    const { bytes, start, end, soundFrom = 0, soundTo = 0, decodedTo = 0 } = block;
    if (bytes === this.bytes && start === this.end && this.available <= HEADROOM_BYTES) this.end = end;
    else if (!this.#appendToGrown(bytes.subarray(start, end))) this.#goOn(bytes, start, end, wanted);
    // Elsewhere the places are others.
    const isInPlace = this.bytes === bytes;
    this.soundFrom = isInPlace ? soundFrom : 0;
    this.soundTo = isInPlace ? soundTo : 0;
    this.decodedTo = isInPlace ? decodedTo : 0;
    return true;
  }

  /** While a long command goes on, as far as there is room. */
  #appendToGrown(bytes: Uint8Array): boolean {
    if (this.bytes !== this.#grown || this.available <= HEADROOM_BYTES) return false;
    if (this.bytes.byteLength - this.end < bytes.byteLength) return false;
    this.bytes.set(bytes, this.end);
    this.end += bytes.byteLength;
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

  /** Goes on in the other buffer, where `count` bytes were read. */
  #takeSpare(count: number, wanted: number): void {
    const spare = this.#spare!;
    const before = this.bytes;
    if (!this.#goOn(spare, HEADROOM_BYTES, HEADROOM_BYTES + count, wanted)) return;
    // A buffer that had grown for one command is not kept.
    this.#spare = before.byteLength === spare.byteLength ? before : undefined;
  }

  /**
   * Goes on with `bytes[start, end)`: the unfinished command moves in front of them. False when it is too long for that, and both
   * are in a larger buffer now.
   */
  #goOn(bytes: Uint8Array, start: number, end: number, wanted: number): boolean {
    const rest = this.available;
    const streamOffset = this.streamOffset;
    const unfinished = this.bytes.subarray(this.at, this.end);
    if (rest <= HEADROOM_BYTES) {
      bytes.set(unfinished, start - rest);
      this.#grown = undefined;
      this.#adopt(bytes, start - rest, end, streamOffset);
      return true;
    }
    const count = end - start;
    // Twice what has really come: a large command is moved a bounded number of times, whatever length it claims.
    const larger = new Uint8Array(Math.max(rest + count, Math.min(2 * rest, wanted)) + BLOCK_BYTES);
    larger.set(unfinished);
    larger.set(bytes.subarray(start, end), rest);
    this.#grown = larger;
    this.#adopt(larger, 0, rest + count, streamOffset);
    return false;
  }

  #adopt(bytes: Uint8Array, at: number, end: number, streamOffset: number): void {
    if (this.bytes !== bytes) this.view = viewOf(bytes);
    this.bytes = bytes;
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
