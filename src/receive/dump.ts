import type { BtrfsError } from "../errors.ts";
import { attributeField } from "../stream/attributes.ts";
import { CommandBatch, type Segment } from "../stream/batch.ts";
import { InputWindow } from "../stream/input.ts";
import { CommandParser } from "../stream/parse.ts";
import type { StreamProgress } from "../stream/reader.ts";
import type { StreamInput } from "../stream/source.ts";
import {
  COMMAND_HEADER_BYTES,
  DEFAULT_MAX_COMMAND_BYTES,
  MAX_STREAM_VERSION,
  STREAM_HEADER_BYTES,
  STREAM_MAGIC,
} from "../stream/wire.ts";
import { type DumpFault, DumpFormatter, fault, MAX_LINE_BYTES } from "./dump-format.ts";
import { LineBuffer } from "./line-buffer.ts";
import { type TimeZone, UTC } from "./local-time.ts";

export interface DumpOptions {
  readonly signal?: AbortSignal;
  /** For the times of UTIMES; UTC unless given. */
  readonly zone?: TimeZone;
  /** Go on with the segment after END; `btrfs receive --dump` stops there. */
  readonly allSegments?: boolean;
  /** Stop at so many errors; 0 never. 1 unless given. */
  readonly maxErrors?: number;
  /** Called for each error with the sentence of `btrfs receive`, which may hold the bytes of a path. */
  readonly onError?: (sentence: Uint8Array) => void;
  readonly onProgress?: (progress: StreamProgress) => void;
}

const CHUNK_BYTES = 256 * 1024;
const FLUSH_AFTER_MS = 100;
const INVALID = "Invalid argument";

/**
 * Prints a stream as `btrfs receive --dump` of btrfs-progs 6.2 does, byte for byte, its errors included: a bad command
 * is skipped by the length in its header while `maxErrors` allows.
 *
 * @param print Takes the text in large pieces, each lent until it resolves.
 * @returns The reason to fail with, in the words of `strerror`; `undefined` when all was well.
 * @throws what `input`, `print` and `options.signal` throw.
 */
export async function dumpStream(
  input: StreamInput,
  print: (text: Uint8Array) => Promise<void>,
  options: DumpOptions = {},
): Promise<string | undefined> {
  const window = new InputWindow(input, options.signal);
  try {
    return await new Dump(window, print, options).run();
  } finally {
    await window.close();
  }
}

/** Ends the dump. */
class GiveUp extends Error {}

class Dump {
  readonly #window: InputWindow;
  readonly #print: (text: Uint8Array) => Promise<void>;
  readonly #options: DumpOptions;
  readonly #parser: CommandParser;
  readonly #out = new LineBuffer(CHUNK_BYTES + MAX_LINE_BYTES);
  readonly #formatter: DumpFormatter;
  #flushed = 0;
  #errors = 0;
  #reason: string | undefined;

  constructor(window: InputWindow, print: (text: Uint8Array) => Promise<void>, options: DumpOptions) {
    this.#window = window;
    this.#print = print;
    this.#options = options;
    const leniency = { allowUnknownCommands: true, uncheckedAttributes: true };
    this.#parser = new CommandParser(leniency, DEFAULT_MAX_COMMAND_BYTES);
    this.#formatter = new DumpFormatter(this.#out, options.zone ?? UTC);
  }

  async run(): Promise<string | undefined> {
    try {
      let segment = await this.#begin(0);
      while (segment !== undefined) {
        await this.#segment(segment);
        segment = this.#options.allSegments === true ? await this.#begin(segment.index + 1) : undefined;
      }
    } catch (error) {
      if (!(error instanceof GiveUp)) throw error;
    } finally {
      // What was read before a failure is shown, but a failure to show it doesn't hide the other.
      if (this.#options.signal?.aborted !== true) await this.#flush();
    }
    return this.#reason;
  }

  /** The next stream header; `undefined` at the end of the input after a segment. */
  async #begin(index: number): Promise<Segment | undefined> {
    const window = this.#window;
    while (window.available < STREAM_HEADER_BYTES && (await this.#more(STREAM_HEADER_BYTES)));
    const { available, at, streamOffset } = window;
    if (available === 0) {
      if (index === 0) this.#reason = "No data available";
      return undefined;
    }
    if (available < STREAM_HEADER_BYTES) return this.#giveUp(shortRead(STREAM_HEADER_BYTES, available));
    for (let i = 0; i < STREAM_MAGIC.byteLength; i++) {
      if (window.bytes[at + i] !== STREAM_MAGIC[i]) return this.#giveUp(fault("unexpected header", INVALID));
    }
    const version = window.view.getUint32(at + STREAM_MAGIC.byteLength, true);
    if (version > MAX_STREAM_VERSION) {
      const sentence = `stream version ${version | 0} not supported, please use newer version`;
      return this.#giveUp(fault(sentence, INVALID));
    }
    window.at += STREAM_HEADER_BYTES;
    return { index, version, streamOffset, state: "open" };
  }

  async #segment(segment: Segment): Promise<void> {
    const batch = new CommandBatch(segment);
    for (;;) {
      batch.reset(segment, this.#window);
      const stop = this.#parser.fill(this.#window, batch);
      await this.#show(batch);
      this.#options.onProgress?.({ bytes: this.#window.streamOffset, commands: this.#parser.nextIndex });
      if (stop === "end") return;
      if (stop === "fault") this.#skip(this.#parser.fault!);
      if (stop === "header") this.#giveUp(fault("unexpected header in stream, expected END first", INVALID));
      if (stop === "more" && !(await this.#more(this.#parser.wanted))) this.#cutShort();
    }
  }

  async #show(batch: CommandBatch): Promise<void> {
    for (let i = 0; i < batch.count; i++) {
      const bad = this.#formatter.put(batch, i);
      if (bad !== undefined) this.#note(bad);
      if (this.#out.at >= CHUNK_BYTES) await this.#flush();
    }
  }

  /** The command at the window's front is unsound; its length is believed, as `btrfs receive` does. */
  #skip(unsound: BtrfsError): void {
    const window = this.#window;
    if (unsound.code === "limit") this.#giveUp(fault(unsound.sentence, INVALID));
    this.#note(fault(this.#sentence(unsound), INVALID));
    window.at += COMMAND_HEADER_BYTES + window.view.getUint32(window.at, true);
  }

  #sentence({ code }: BtrfsError): string {
    if (code === "checksum") return "crc32 mismatch in command";
    const attribute = this.#parser.faultyAttribute;
    const isUnknown = attribute !== undefined && attributeField(attribute) === undefined;
    return isUnknown ? `invalid tlv in cmd tlv_type = ${attribute}` : "send stream is truncated";
  }

  /** The input ends inside of a segment: said once, whatever `maxErrors` is, as nothing can follow. */
  #cutShort(): never {
    const { available } = this.#window;
    if (available === 0 || available === COMMAND_HEADER_BYTES) {
      return this.#giveUp(fault("unexpected EOF in stream", INVALID));
    }
    if (available < COMMAND_HEADER_BYTES) return this.#giveUp(shortRead(COMMAND_HEADER_BYTES, available));
    return this.#giveUp(shortRead(this.#parser.wanted - COMMAND_HEADER_BYTES, available - COMMAND_HEADER_BYTES));
  }

  #note({ sentence, reason }: DumpFault): void {
    this.#options.onError?.(sentence);
    if (reason === "") return;
    this.#errors++;
    this.#reason = reason;
    if (this.#errors === (this.#options.maxErrors ?? 1)) throw new GiveUp();
  }

  #giveUp(bad: DumpFault): never {
    this.#reason = bad.reason;
    this.#options.onError?.(bad.sentence);
    throw new GiveUp();
  }

  /** Waiting for a slow input, what is ready is shown. */
  async #more(wanted: number): Promise<boolean> {
    if (this.#out.at > 0 && Date.now() - this.#flushed > FLUSH_AFTER_MS) await this.#flush();
    return this.#window.more(wanted);
  }

  async #flush(): Promise<void> {
    const { at, bytes } = this.#out;
    this.#flushed = Date.now();
    if (at === 0) return;
    this.#out.clear();
    await this.#print(bytes.subarray(0, at));
  }
}

function shortRead(expected: number, got: number): DumpFault {
  return fault(`short read from stream: expected ${expected} read ${got}`, "Input/output error");
}
