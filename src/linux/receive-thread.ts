import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { BtrfsError } from "../errors.ts";
import { CommandError } from "../receive/command-error.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { Ring, SLOT_BEGIN, SLOT_END, SLOT_FORGET, SLOT_RELEASE, SLOT_STOP } from "./receive/ring.ts";
import { failureOf, type ThreadMessage, type ThreadShare, type ThreadSubvolume } from "./receive/thread-messages.ts";

// The same path seen from src/linux/, dist/linux/ and dist/cli/: a thread runs JavaScript.
const WORKER = new URL("../../dist/linux/receive/apply-worker.js", import.meta.url);

/** How long to block before the thread's own troubles may be heard. */
const PATIENCE_MS = 200;

/** Where commands of a slot come from. */
interface Span {
  readonly firstCommand: number;
  readonly firstByte: number;
  readonly streamOffset: number;
  readonly index: number;
}

/** A thread that carries out commands, in the order in which it gets them. */
export class ReceiveThread {
  readonly #ring = new Ring();
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #report: (error: unknown) => void;
  #trouble: unknown;
  #used = 0;
  #commands = 0;
  #version = 1;
  #spans: Span[] = [];
  /** By slot, until the slot comes round again. */
  readonly #spansOf: (readonly Span[])[] = [];
  #share: ThreadShare | undefined;

  /** @param report Hears of commands that failed, while something else is asked of the thread. */
  constructor(report: (error: unknown) => void) {
    this.#report = report;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#worker = new Worker(WORKER, {
      workerData: { memory: this.#ring.memory, port: port2 },
      transferList: [port2],
      // Flags of this process, such as conditions of imports, are not for the package's own files.
      execArgv: [],
    });
    this.#worker.on("error", (error) => {
      this.#trouble = error;
    });
    // A thread that waits for work is no reason to stay.
    this.#worker.unref();
    this.#port.unref();
  }

  /** It has started, and takes commands at once. */
  get isReady(): boolean {
    return this.#ring.isReady;
  }

  /** Resolves when it has started. @throws {BtrfsError} when it can't. */
  async started(): Promise<void> {
    while (!this.isReady) {
      if (this.#trouble !== undefined) throw broken(this.#trouble);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** It has enough to do for a while. */
  get isBusy(): boolean {
    return this.#ring.filled - this.#ring.emptied >= BUSY_SLOTS;
  }

  /** Number of the slot that what is added next goes to. */
  get slot(): number {
    return this.#ring.filled;
  }

  /** Slots before this one are done. */
  get slotsDone(): number {
    return this.#ring.emptied;
  }

  async begin(subvolume: ThreadSubvolume): Promise<void> {
    await this.#put(Buffer.from(JSON.stringify(subvolume)), SLOT_BEGIN);
  }

  /**
   * Takes a copy of commands `first` up to `last`, each of at most `Ring.slotBytes`.
   *
   * @param onSlot Called when some of them are in `slot`, before that is handed over.
   */
  async add(batch: CommandBatch, first: number, last: number, onSlot: () => void): Promise<void> {
    for (let i = first; i < last; ) {
      const start = batch.headerAt(i);
      let end = i;
      let bytes = 0;
      while (end < last) {
        const stop = batch.payloadAt(end) + batch.payloadLength(end) - start;
        if (this.#used + stop > Ring.slotBytes) break;
        bytes = stop;
        end++;
      }
      if (this.#version !== batch.segment.version || end === i) await this.flush(0);
      if (this.#used === 0) await this.#room();
      this.#version = batch.segment.version;
      if (end === i) continue;
      this.#spans.push({
        firstCommand: this.#commands,
        firstByte: this.#used,
        streamOffset: batch.streamOffset(i),
        index: batch.index(i),
      });
      this.#ring.slot(this.#ring.filled).set(batch.bytes.subarray(start, start + bytes), this.#used);
      this.#used += bytes;
      this.#commands += end - i;
      i = end;
      onSlot();
    }
    const isIdle = this.#ring.filled === this.#ring.emptied;
    if (isIdle || this.#used > FLUSH_BYTES || this.#commands > FLUSH_COMMANDS) await this.flush(0);
  }

  /** Hands over what has been added. */
  async flush(flags: number): Promise<void> {
    if (this.#used === 0 && flags === 0) return;
    if (this.#used === 0) await this.#room();
    const slot = this.#ring.filled;
    this.#spansOf[slot % Ring.slotCount] = this.#spans;
    this.#ring.publish(this.#used, this.#version, flags);
    this.#used = 0;
    this.#commands = 0;
    this.#spans = [];
  }

  /** What is added next can't rely on what the thread knows of the file it is at. */
  async release(): Promise<void> {
    await this.flush(SLOT_RELEASE);
  }

  /** Waits until all is done, and nothing known of files and directories is kept. */
  async settle(): Promise<void> {
    await this.flush(SLOT_FORGET);
    await this.#idle();
  }

  /** Waits until all of the subvolume is done and closed. */
  async end(): Promise<ThreadShare> {
    await this.flush(SLOT_END);
    await this.#idle();
    const share = this.#share;
    this.#share = undefined;
    return share ?? { carried: 0, decoded: [], withoutData: 0 };
  }

  async close(): Promise<void> {
    if (this.#trouble === undefined && this.isReady) {
      this.#ring.publish(0, 1, SLOT_STOP);
    }
    await this.#worker.terminate();
    this.#port.close();
  }

  async #put(bytes: Uint8Array, flags: number): Promise<void> {
    await this.flush(0);
    await this.#room();
    this.#ring.slot(this.#ring.filled).set(bytes);
    this.#used = bytes.byteLength;
    await this.flush(flags);
  }

  async #room(): Promise<void> {
    await this.#until(() => this.#ring.filled - this.#ring.emptied < Ring.slotCount);
  }

  async #idle(): Promise<void> {
    await this.#until(() => this.#ring.filled === this.#ring.emptied);
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const { emptied } = this.#ring;
      if (condition()) break;
      if (!this.#ring.waitEmptied(emptied, PATIENCE_MS)) await new Promise((resolve) => setImmediate(resolve));
      if (this.#trouble !== undefined) throw broken(this.#trouble);
    }
    this.#listen();
  }

  #listen(): void {
    for (let got = receiveMessageOnPort(this.#port); got !== undefined; got = receiveMessageOnPort(this.#port)) {
      const message = got.message as ThreadMessage;
      if ("broken" in message) {
        this.#trouble = new Error(message.broken);
        throw broken(this.#trouble);
      }
      if ("carried" in message) this.#share = message;
      else this.#report(this.#errorOf(message));
    }
  }

  #errorOf({ slot, i, at, place, failure }: Extract<ThreadMessage, { slot: number }>): CommandError {
    const span = this.#spansOf[slot % Ring.slotCount]!.findLast(({ firstCommand }) => firstCommand <= i)!;
    const streamOffset = span.streamOffset + at - span.firstByte;
    const where = { ...place.where, streamOffset, commandIndex: span.index + i - span.firstCommand };
    return new CommandError({ ...place, where }, failureOf(failure));
  }
}

const BUSY_SLOTS = 2;
const FLUSH_BYTES = 128 * 1024;
const FLUSH_COMMANDS = 256;

function broken(cause: unknown): BtrfsError {
  return new BtrfsError("io", "Cannot go on: a worker thread ended before its work was done", { cause });
}
