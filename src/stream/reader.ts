import { compareBytes, viewOf } from "../bytes/bytes.ts";
import { StreamError } from "../errors.ts";
import { CommandBatch, type Segment } from "./batch.ts";
import { commandWord, type StreamItem } from "./commands.ts";
import { decodeCommand } from "./decode.ts";
import { InputWindow } from "./input.ts";
import { CommandParser, type Leniency } from "./parse.ts";
import { Resynchroniser, type StreamFault } from "./recover.ts";
import type { StreamInput } from "./source.ts";
import {
  beginsLikeMagic,
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
  /**
   * On a fault, call this instead of throwing, and go on at the next sound command or stream header. What is in between is lost, and a
   * command counts once however much of it is. Reading waits for what it returns, and stops when it throws.
   */
  readonly recover?: (fault: StreamFault) => unknown;
}

/** What `maxCommandBytes` may be set to: more would not fit the columns of a batch. */
const MAX_MAX_COMMAND_BYTES = 2 ** 30;

type OpenSegment = { -readonly [K in keyof Segment]: Segment[K] };

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
  readonly #resync: Resynchroniser;
  readonly #maxCommandBytes: number;
  #segments = 0;
  /** Stream offset up to which the last fault reached. */
  #damagedUpTo = -1;

  constructor(window: InputWindow, options: StreamOptions) {
    const { maxCommandBytes = DEFAULT_MAX_COMMAND_BYTES } = options;
    if (!(maxCommandBytes >= COMMAND_HEADER_BYTES && maxCommandBytes <= MAX_MAX_COMMAND_BYTES)) {
      throw new RangeError(
        `Cannot read stream: maxCommandBytes is ${maxCommandBytes}, expected ${COMMAND_HEADER_BYTES} to ${MAX_MAX_COMMAND_BYTES}`,
      );
    }
    this.#window = window;
    this.#options = options;
    this.#maxCommandBytes = maxCommandBytes;
    this.#parser = new CommandParser(options, maxCommandBytes);
    this.#resync = new Resynchroniser(window);
  }

  async *batches(): AsyncGenerator<CommandBatch, void, void> {
    let batch: CommandBatch | undefined;
    for (let segment = await this.#begin(); segment !== undefined; segment = await this.#begin()) {
      batch ??= new CommandBatch(segment);
      let empty = true;
      while (segment.state === "open") {
        this.#options.signal?.throwIfAborted();
        batch.reset(segment, this.#window);
        const stop = this.#parser.fill(this.#window, batch);
        if (stop === "end") segment.state = "end";
        if (batch.count > 0) {
          empty = false;
          yield batch;
          this.#progress();
        }
        if (stop === "fault" && this.#parser.likelyVersion !== undefined)
          await this.#correctVersion(segment, this.#parser.fault!);
        else if (stop === "fault") await this.#skipCommand(this.#parser.fault!);
        else if (stop === "header") await this.#endWithout("another stream header", segment);
        else if (stop === "more" && !(await this.#window.more(this.#parser.wanted))) {
          if (this.#window.available === 0) await this.#endWithout("the end of the input", segment);
          else await this.#skipCommand(this.#truncatedCommand());
        }
      }
      if (empty) {
        batch.reset(segment, this.#window);
        yield batch;
      }
    }
  }

  /** The next segment. `undefined` at the end of the input. */
  async #begin(): Promise<OpenSegment | undefined> {
    const window = this.#window;
    while (window.available < STREAM_HEADER_BYTES && (await window.more(STREAM_HEADER_BYTES)));
    const { streamOffset } = window;
    if (window.available === 0 && (this.#segments > 0 || this.#damagedUpTo >= 0)) return undefined;
    const header = window.bytes.subarray(window.at, Math.min(window.at + STREAM_HEADER_BYTES, window.end));
    const version =
      header.byteLength === STREAM_HEADER_BYTES ? viewOf(header).getUint32(STREAM_MAGIC.byteLength, true) : -1;
    const error = this.#faultOfHeader(header, version);
    if (error !== undefined) {
      const guess = version <= MAX_STREAM_VERSION && looksLikeMagic(header) ? version : 1;
      await this.#recover(error, 0, version > MAX_STREAM_VERSION && error.code === "unsupported");
      if (window.available === 0 || beginsLikeMagic(window.bytes, window.at)) return this.#begin();
      // The header is lost, and commands go on. Version 1 counts the bytes of DATA, so a wrong guess shows.
      return { index: this.#segments++, version: guess, streamOffset, state: "open" };
    }
    window.at += STREAM_HEADER_BYTES;
    return { index: this.#segments++, version, streamOffset, state: "open" };
  }

  #faultOfHeader(header: Uint8Array, version: number): StreamError | undefined {
    const where = { streamOffset: this.#window.streamOffset };
    const magic = header.subarray(0, STREAM_MAGIC.byteLength);
    if (header.byteLength === 0)
      return new StreamError("truncated", "Cannot read stream: the input is empty", { where });
    if (compareBytes(magic, STREAM_MAGIC.subarray(0, magic.byteLength)) !== 0) {
      const sentence = `Cannot read stream: there is no stream header${this.#segments > 0 ? " after END" : ""}`;
      return new StreamError("corrupt", sentence, { where });
    }
    if (header.byteLength < STREAM_HEADER_BYTES) {
      const sentence = `Cannot read stream header: ${header.byteLength} bytes, the format says ${STREAM_HEADER_BYTES}`;
      return new StreamError("truncated", sentence, { where });
    }
    if (version > MAX_STREAM_VERSION) {
      const sentence = `Cannot read stream: version is ${version}, known are 1 to ${MAX_STREAM_VERSION}`;
      return new StreamError("unsupported", sentence, { where });
    }
    return undefined;
  }

  #truncatedCommand(): StreamError {
    const { available, streamOffset, bytes, at } = this.#window;
    const sentence = `Cannot read command: the input ends after ${available} of ${this.#parser.wanted} bytes`;
    const command = available >= 6 ? { command: commandWord(bytes[at + 4]! | (bytes[at + 5]! << 8)) } : {};
    const where = { streamOffset, commandIndex: this.#parser.nextIndex, ...command };
    return new StreamError("truncated", sentence, { where });
  }

  /** A segment stops between two commands. That END is lost too where the bytes before are is no news. */
  async #endWithout(found: string, segment: OpenSegment): Promise<void> {
    const { streamOffset } = this.#window;
    segment.state = "missing";
    if (this.#options.allowMissingEnd === true || this.#damagedUpTo === streamOffset) return;
    const where = { streamOffset, commandIndex: this.#parser.nextIndex };
    const error = new StreamError("truncated", `Cannot read command: found ${found}, expected END first`, { where });
    if (this.#options.recover === undefined) throw error;
    await this.#options.recover({ error, start: streamOffset, end: streamOffset, isOneCommand: false });
  }

  /** Leaves out the command at the start of the window, or throws its error. */
  async #skipCommand(error: StreamError): Promise<void> {
    const parser = this.#parser;
    if (error.code === "checksum") this.#resync.waste(parser.frameBytes);
    parser.nextIndex++;
    if (error === parser.fault && parser.frameIsSound) {
      if (this.#options.recover === undefined) throw error;
      const start = this.#window.streamOffset;
      this.#window.at += parser.frameBytes;
      await this.#report(error, start, parser.frameBytes);
    } else await this.#recover(error, error.code === "checksum" ? parser.frameBytes : 0, false);
    parser.maxCommandBytes = Math.min(this.#maxCommandBytes, this.#resync.affordable);
  }

  /** Nothing is left out: the command will be read again. */
  async #correctVersion(segment: OpenSegment, error: StreamError): Promise<void> {
    if (this.#options.recover === undefined) throw error;
    segment.version = this.#parser.likelyVersion!;
    this.#parser.likelyVersion = undefined;
    await this.#report(error, this.#window.streamOffset, 0);
  }

  async #recover(error: StreamError, frame: number, headersOnly: boolean): Promise<void> {
    if (this.#options.recover === undefined) throw error;
    const start = this.#window.streamOffset;
    await this.#resync.findNext(frame, headersOnly);
    await this.#report(error, start, frame === 0 ? -1 : frame);
  }

  async #report(error: StreamError, start: number, frame: number): Promise<void> {
    const end = this.#window.streamOffset;
    this.#damagedUpTo = end;
    await this.#options.recover!({ error, start, end, isOneCommand: end - start === frame });
  }

  #progress(): void {
    this.#options.onProgress?.({ bytes: this.#window.streamOffset, commands: this.#parser.nextIndex });
  }
}

/** Most of the magic is there: the version behind it is probably a version. */
function looksLikeMagic(header: Uint8Array): boolean {
  let same = 0;
  for (let i = 0; i < STREAM_MAGIC.byteLength; i++) if (header[i] === STREAM_MAGIC[i]) same++;
  return same >= STREAM_MAGIC.byteLength - 3;
}
