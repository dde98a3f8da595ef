import { BtrfsError, type ErrorCode } from "../errors.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { COMMANDS, type Command } from "../stream/commands.ts";
import { decodeCommand } from "../stream/decode.ts";
import { checkName } from "../stream/path.ts";
import { readBatches, type StreamProgress } from "../stream/reader.ts";
import type { StreamFault } from "../stream/recover.ts";
import type { StreamInput } from "../stream/source.ts";
import { COMMAND_HEADER_BYTES } from "../stream/wire.ts";
import { CommandError } from "./command-error.ts";
import type { EncodedTally } from "./encoded-tally.ts";
import { findUnsafePath } from "./safe-paths.ts";
import { type ReceiveTarget, type SubvolumeStart, subvolumeStart } from "./target.ts";

/** What happens on the way, as it happens. */
export type ReceiveEvent =
  /** A subvolume is about to begin. */
  | { readonly kind: "begin"; readonly start: SubvolumeStart }
  | { readonly kind: "received"; readonly start: SubvolumeStart }
  /** It stays, as far as it came. */
  | { readonly kind: "unfinished"; readonly start: SubvolumeStart; readonly place: string }
  /** A failure after which receiving goes on. The one that ends it is thrown. */
  | { readonly kind: "error"; readonly error: BtrfsError };

export interface ReceiveOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch of commands. */
  readonly onProgress?: ((progress: StreamProgress) => void) | undefined;
  readonly onEvent?: ((event: ReceiveEvent) => void) | undefined;
  /** Called before each command but those that begin and end subvolumes: they are then carried out one at a time. */
  readonly onCommand?: ((command: Command) => void) | undefined;
  /** Stop at the first END; else segments follow up to the end of the input. */
  readonly onlyFirstSegment?: boolean | undefined;
  /** Give up at so many failures; 0 never. 1 unless given. A subvolume with a failure is never complete. */
  readonly maxErrors?: number | undefined;
  /** Largest whole command in bytes; 64 MiB unless given. */
  readonly maxCommandBytes?: number | undefined;
}

export interface ReceiveSummary {
  /** Those that are complete, in order. */
  readonly subvolumes: readonly SubvolumeStart[];
  readonly commands: number;
  /** Of the stream. */
  readonly bytes: number;
  readonly encoded: EncodedTally;
}

/**
 * Receives a stream into a target: all its segments, each with one or more subvolumes.
 *
 * A subvolume counts as received at END, or when the next one begins in the same segment. Whatever ends it before that
 * leaves it unfinished.
 *
 * @throws {CommandError} a command that failed; {StreamError} an unsound stream; what `input` and `signal` throw. After
 * failures that were let pass, an error that counts them.
 */
export async function receive(
  input: StreamInput,
  target: ReceiveTarget,
  options: ReceiveOptions = {},
): Promise<ReceiveSummary> {
  return await new Receiver(target, options).run(input);
}

class Receiver {
  readonly #target: ReceiveTarget;
  readonly #options: ReceiveOptions;
  readonly #maxErrors: number;
  readonly #received: SubvolumeStart[] = [];
  /** The subvolume that commands are for, and whether one of them has failed. */
  #open: { readonly start: SubvolumeStart; failed: boolean } | undefined;
  /** The subvolume could not begin: its commands are left out. */
  #skipping = false;
  #errors = 0;
  #lastError: BtrfsError | undefined;

  constructor(target: ReceiveTarget, options: ReceiveOptions) {
    this.#target = target;
    this.#options = options;
    this.#maxErrors = options.maxErrors ?? 1;
  }

  async run(input: StreamInput): Promise<ReceiveSummary> {
    const { signal, maxCommandBytes, onlyFirstSegment, onProgress } = this.#options;
    const reading = {
      ...(signal === undefined ? {} : { signal }),
      ...(maxCommandBytes === undefined ? {} : { maxCommandBytes }),
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(this.#maxErrors === 1 ? {} : { recover: ({ error }: StreamFault) => this.#report(error) }),
    };
    let progress: StreamProgress = { bytes: 0, commands: 0 };
    try {
      for await (const batch of readBatches(input, reading)) {
        await this.#take(batch);
        if (batch.count > 0) progress = progressAfter(batch);
        if (onlyFirstSegment === true && batch.segment.state === "end") break;
      }
      await this.#end();
    } finally {
      await this.#abandon();
    }
    if (this.#errors > 0) throw manyFailed(this.#errors, this.#lastError!);
    return { subvolumes: this.#received, ...progress, encoded: this.#target.encoded };
  }

  async #take(batch: CommandBatch): Promise<void> {
    for (let i = 0; i < batch.count; ) {
      const type = batch.type(i);
      if (type === SUBVOL || type === SNAPSHOT) {
        await this.#end();
        await this.#begin(batch, i++);
      } else if (type === END) {
        await this.#end();
        this.#skipping = false;
        i++;
      } else if (this.#open === undefined) {
        if (!this.#skipping) this.#report(CommandError.of(batch, i, new BtrfsError("corrupt", NOT_BEGUN)));
        i++;
      } else {
        const last = this.#lastSound(batch, i);
        if (last > i) await this.#apply(batch, i, last);
        i = last;
        if (i < batch.count && !isBoundary(batch.type(i))) {
          this.#report(CommandError.of(batch, i, findUnsafePath(batch, i)!));
          i++;
        }
      }
    }
  }

  async #apply(batch: CommandBatch, first: number, last: number): Promise<void> {
    const { onCommand } = this.#options;
    if (onCommand === undefined) return await this.#target.apply(batch, first, last);
    for (let i = first; i < last; i++) {
      onCommand(decodeCommand(batch, i));
      await this.#target.apply(batch, i, i + 1);
    }
  }

  /** Where the commands from `i` on that can be handed over end: before a boundary, or before an unsafe path. */
  #lastSound(batch: CommandBatch, i: number): number {
    let last = i;
    while (last < batch.count && !isBoundary(batch.type(last)) && findUnsafePath(batch, last) === undefined) last++;
    return last;
  }

  async #begin(batch: CommandBatch, i: number): Promise<void> {
    this.#skipping = true;
    const start = subvolumeStart(batch, i);
    try {
      checkName(start.name);
      this.#options.onEvent?.({ kind: "begin", start });
      await this.#target.begin(start, (error) => this.#report(error));
    } catch (error) {
      this.#report(CommandError.of(batch, i, error));
      return;
    }
    this.#skipping = false;
    this.#open = { start, failed: false };
  }

  /** The subvolume has all its commands: complete, unless one failed. */
  async #end(): Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    await this.#target.drain();
    if (!open.failed) {
      try {
        await this.#target.complete();
      } catch (error) {
        this.#report(error);
      }
    }
    if (open.failed) return this.#abandon();
    this.#open = undefined;
    this.#received.push(open.start);
    this.#options.onEvent?.({ kind: "received", start: open.start });
  }

  async #abandon(): Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const left = await this.#target.abandon();
    if (left !== undefined) this.#options.onEvent?.({ kind: "unfinished", start: open.start, place: left.place });
  }

  #report(error: unknown): void {
    if (this.#open !== undefined) this.#open.failed = true;
    if (!(error instanceof BtrfsError)) throw error;
    this.#errors++;
    this.#lastError = error;
    if (this.#errors === this.#maxErrors) throw error;
    this.#options.onEvent?.({ kind: "error", error });
  }
}

const SUBVOL = COMMANDS.subvol.number;
const SNAPSHOT = COMMANDS.snapshot.number;
const END = COMMANDS.end.number;
const NOT_BEGUN = "Cannot use command: no subvolume has begun, SUBVOL or SNAPSHOT was expected first";

function progressAfter(batch: CommandBatch): StreamProgress {
  const last = batch.count - 1;
  const bytes = batch.streamOffset(last) + COMMAND_HEADER_BYTES + batch.payloadLength(last);
  return { bytes, commands: batch.index(last) + 1 };
}

function isBoundary(type: number): boolean {
  return type === SUBVOL || type === SNAPSHOT || type === END;
}

function manyFailed(count: number, cause: BtrfsError): BtrfsError {
  const code: ErrorCode = cause.code;
  const sentence = `Cannot receive all: ${count === 1 ? "1 failure" : `${count} failures`}, the subvolumes concerned are unfinished`;
  return new BtrfsError(code, sentence, { cause });
}
