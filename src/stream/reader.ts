import { compareBytes } from "../bytes/bytes.ts";
import { StreamError } from "../errors.ts";
import { CommandBatch, type Segment } from "./batch.ts";
import type { StreamItem } from "./commands.ts";
import { decodeCommand } from "./decode.ts";
import { InputWindow, type StreamInput } from "./input.ts";
import { CommandParser, type Leniency } from "./parse.ts";
import {
  COMMAND_HEADER_BYTES,
  DEFAULT_MAX_COMMAND_BYTES,
  MAX_STREAM_VERSION,
  STREAM_HEADER_BYTES,
  STREAM_MAGIC,
} from "./wire.ts";

/** How far reading has come. */
export interface StreamProgress {
  /** Bytes of the stream that have been parsed. */
  readonly bytes: number;
  /** Commands that have been parsed. */
  readonly commands: number;
}

/** Strict unless told otherwise. */
export interface StreamOptions extends Leniency {
  readonly signal?: AbortSignal;
  /** Called after each batch has been used. */
  readonly onProgress?: (progress: StreamProgress) => void;
  /** Take a segment without END (before another one, or at the end of the input) for complete; its `state` says `missing`. */
  readonly allowMissingEnd?: boolean;
}

/**
 * The commands of a send stream in batches: the fast way. Segments follow each other; `batch.segment` tells them apart.
 *
 * Each batch is lent until the next one is asked for. All sound commands before a fault are given before the error is thrown.
 *
 * @throws {StreamError} located, with one of its codes; what `input` or `options.signal` throw passes through.
 */
export async function* readBatches(
  input: StreamInput,
  options: StreamOptions = {},
): AsyncGenerator<CommandBatch, void, void> {
  const window = new InputWindow(input, options.signal);
  try {
    yield* new StreamReader(window, options).batches();
  } finally {
    await window.close();
  }
}

/**
 * The commands of a send stream one by one, each segment begun by a `segment` item: the pleasant way.
 *
 * Bytes of a command (paths, names, data) are views, valid until the next item is asked for.
 *
 * @throws {StreamError} as `readBatches`.
 */
export async function* readStream(
  input: StreamInput,
  options: StreamOptions = {},
): AsyncGenerator<StreamItem, void, void> {
  let segment: Segment | undefined;
  for await (const batch of readBatches(input, options)) {
    if (batch.segment !== segment) {
      segment = batch.segment;
      yield { name: "segment", version: segment.version };
    }
    for (let i = 0; i < batch.count; i++) yield decodeCommand(batch, i);
  }
}

class StreamReader {
  readonly #window: InputWindow;
  readonly #options: StreamOptions;
  readonly #parser: CommandParser;
  #segments = 0;

  constructor(window: InputWindow, options: StreamOptions) {
    const { maxCommandBytes = DEFAULT_MAX_COMMAND_BYTES } = options;
    if (!(maxCommandBytes >= COMMAND_HEADER_BYTES && maxCommandBytes <= 0x4000_0000)) {
      throw new RangeError(`Cannot read stream: maxCommandBytes is ${maxCommandBytes}, allowed are 10 to 1 GiB`);
    }
    this.#window = window;
    this.#options = options;
    this.#parser = new CommandParser(options, maxCommandBytes);
  }

  async *batches(): AsyncGenerator<CommandBatch, void, void> {
    let batch: CommandBatch | undefined;
    for (let segment = await this.#begin(); segment !== undefined; segment = await this.#begin()) {
      batch ??= new CommandBatch(segment);
      let given = 0;
      while (segment.state === "open") {
        const stop = this.#fill(batch, segment);
        if (stop === "end") segment.state = "end";
        if (batch.count > 0) {
          given++;
          yield batch;
          this.#progress();
        }
        if (stop === "fault") throw this.#parser.fault;
        if (stop === "header" || (stop === "more" && !(await this.#window.more(this.#parser.wanted)))) {
          this.#cutShort(segment, stop);
        }
      }
      if (given === 0) {
        batch.reset(segment, this.#window);
        yield batch;
      }
    }
  }

  #fill(batch: CommandBatch, segment: Segment) {
    batch.reset(segment, this.#window);
    return this.#parser.fill(this.#window, batch);
  }

  /** The next stream header. `undefined` at the end of the input, which must not be empty. */
  async #begin(): Promise<{ -readonly [K in keyof Segment]: Segment[K] } | undefined> {
    const window = this.#window;
    while (window.available < STREAM_HEADER_BYTES && (await window.more(STREAM_HEADER_BYTES)));
    const { streamOffset } = window;
    if (window.available === 0 && this.#segments > 0) return undefined;
    const header = window.bytes.subarray(window.at, Math.min(window.at + STREAM_HEADER_BYTES, window.end));
    const magic = header.subarray(0, STREAM_MAGIC.byteLength);
    if (compareBytes(magic, STREAM_MAGIC.subarray(0, magic.byteLength)) !== 0) {
      const sentence = `Cannot read stream: there is no stream header${this.#segments > 0 ? " after END" : ""}`;
      throw new StreamError("corrupt", sentence, { where: { streamOffset } });
    }
    if (header.byteLength < STREAM_HEADER_BYTES) {
      const sentence = `Cannot read stream header: ${header.byteLength} bytes, the format says ${STREAM_HEADER_BYTES}`;
      throw new StreamError("truncated", sentence, { where: { streamOffset } });
    }
    const version = window.view.getUint32(window.at + STREAM_MAGIC.byteLength, true);
    if (version > MAX_STREAM_VERSION) {
      const sentence = `Cannot read stream: version is ${version}, known are 1 to ${MAX_STREAM_VERSION}`;
      throw new StreamError("unsupported", sentence, { where: { streamOffset } });
    }
    window.at += STREAM_HEADER_BYTES;
    return { index: this.#segments++, version, streamOffset, state: "open" };
  }

  /** The input, or the segment, stops where a command should begin or go on. */
  #cutShort(segment: { state: Segment["state"] }, stop: "more" | "header"): void {
    const { available, streamOffset } = this.#window;
    const where = { streamOffset, commandIndex: this.#parser.nextIndex };
    if (stop === "more" && available > 0) {
      const sentence = `Cannot read command: the input ends after ${available} of ${this.#parser.wanted} bytes`;
      throw new StreamError("truncated", sentence, { where });
    }
    if (this.#options.allowMissingEnd !== true) {
      const found = stop === "header" ? "another stream header" : "the end of the input";
      throw new StreamError("truncated", `Cannot read command: found ${found}, expected END first`, { where });
    }
    segment.state = "missing";
  }

  #progress(): void {
    this.#options.onProgress?.({ bytes: this.#window.streamOffset, commands: this.#parser.nextIndex });
  }
}
