import { setImmediate as turn } from "node:timers/promises";
import { SHARE_ENV, Worker } from "node:worker_threads";
import { BtrfsError } from "../errors.ts";
import type { Chunk, ChunkFiller } from "../send/chunk.ts";
import type { LeavesAhead } from "../tree/source.ts";
import type { OnEvent, VolumeEvent } from "../volume/events.ts";
import { type SharedLeaves, sharedLeaves, WantedLeaves } from "./leaf-ring.ts";
import type { ImageOrigin } from "./same-image.ts";
import { SendSlots, type SharedSlots, SLOTS, sharedSlots } from "./send-slots.ts";
import type { ToldBySender } from "./send-worker.ts";
import { copyShared } from "./shared-copy.ts";
import { fromPlainError } from "./worker-jobs.ts";

// The same path seen from src/node/, from dist/node/ and from dist/cli/. A bundled file: its threads start 10 ms sooner.
const WORKER = new URL("../../dist/cli/send-worker.js", import.meta.url);

/** One item may make a few chunks more before there is a wait. */
const WIDTH = SLOTS - 8;
/** Before so many have been read, no thread has begun. */
const LEAVES_FOR_THREAD = 32;
/** After that, this thread hears of others that have ended. */
const PATIENCE_MS = 5;

/** What threads make lives briefly: less room for it costs no time, and saves some 30 MiB for each. */
const YOUNG = { maxYoungGenerationSizeMb: 12 };

/** What a thread gets as its `workerData`. */
export interface SendThreadData {
  readonly origin: ImageOrigin;
  readonly slots: SharedSlots;
  /** For one of the threads. */
  readonly leaves: SharedLeaves | undefined;
}

/**
 * Fills chunks of streams on threads, which read, verify and decode; this one does too, while it would wait. The first thread
 * also reads leaves that will be wanted. Close it after use.
 */
export class SendThreads {
  readonly #count: number;
  readonly #origin: ImageOrigin;
  readonly #onEvent: OnEvent | undefined;
  readonly #shared = sharedSlots();
  readonly #slots = new SendSlots(this.#shared);
  readonly #leaves: SharedLeaves;
  readonly #workers: Worker[] = [];
  readonly ahead: LeavesAhead;
  readonly copy = copyShared;
  /** Chunks that were offered to the threads, and those of them that are not in use any more. */
  #offered = 0;
  #released = 0;
  /** Of chunks that this thread could not fill. */
  readonly #failures = new Map<number, unknown>();
  #broken: BtrfsError | undefined;

  /**
   * @param count Beside the calling one.
   * @param nodeSize Bytes of a tree block.
   * @param onEvent Hears of bad copies that threads meet.
   */
  constructor(count: number, origin: ImageOrigin, nodeSize: number, onEvent?: OnEvent) {
    this.#count = count;
    this.#origin = origin;
    this.#onEvent = onEvent;
    this.#leaves = sharedLeaves(nodeSize);
    const wanted = new WantedLeaves(this.#leaves, () => this.#slots.call());
    this.ahead = {
      announce: (leaves) => {
        if (leaves.length >= LEAVES_FOR_THREAD) this.#start();
        if (this.#workers.length > 0) wanted.announce(leaves);
      },
      take: (logical, generation, bytes) => wanted.take(logical, generation, bytes),
    };
  }

  /** @param local Fills chunks on this thread. */
  filler(local: ChunkFiller): ChunkFiller {
    const numbers = new Map<Chunk, number>();
    return {
      width: WIDTH,
      empty: () => (this.#offered - this.#released < SLOTS ? this.#slots.chunk(this.#offered) : undefined),
      begin: (chunk) => {
        if (chunk !== this.#slots.chunk(this.#offered)) return;
        this.#start();
        numbers.set(chunk, this.#offered);
        this.#slots.offer(this.#offered++);
      },
      isFilled: (chunk) => {
        const number = numbers.get(chunk);
        return number !== undefined && this.#slots.isDone(number);
      },
      fill: (chunk) => {
        const number = numbers.get(chunk);
        if (number === undefined) return local.fill(chunk);
        return this.#slots.isDone(number) ? undefined : this.#wait(number, local);
      },
      release: (chunk) => {
        if (numbers.delete(chunk)) this.#released++;
      },
    };
  }

  /** Fills what nobody has claimed until the chunk of this number is done. */
  async #wait(number: number, local: ChunkFiller): Promise<void> {
    const slots = this.#slots;
    while (!slots.isDone(number)) {
      if (this.#broken !== undefined) throw this.#broken;
      if (slots.hasFailed(number)) {
        if (this.#failures.has(number)) throw this.#failures.get(number);
        return local.fill(slots.takeOver(number));
      }
      const own = slots.claim();
      if (own !== undefined) await this.#fillOwn(own, local);
      else {
        slots.waitFor(number, PATIENCE_MS);
        if (!slots.isDone(number)) await turn();
      }
    }
  }

  /** A failure is told when it is the chunk's turn. */
  async #fillOwn(number: number, local: ChunkFiller): Promise<void> {
    let isGood = true;
    try {
      await local.fill(this.#slots.chunk(number));
    } catch (error) {
      isGood = false;
      this.#failures.set(number, error);
    }
    this.#slots.finish(number, isGood);
  }

  /** With the first chunk, or many leaves: short sends end before a thread would have begun. */
  #start(): void {
    while (this.#workers.length < this.#count) {
      const leaves = this.#workers.length === 0 ? this.#leaves : undefined;
      const workerData: SendThreadData = { origin: this.#origin, slots: this.#shared, leaves };
      const worker = new Worker(WORKER, { workerData, env: SHARE_ENV, execArgv: [], resourceLimits: YOUNG });
      this.#workers.push(worker);
      worker.on("message", ({ event, error }: ToldBySender) => {
        if (error !== undefined) this.#fail(fromPlainError(error));
        else this.#onEvent?.(eventOf(event));
      });
      worker.on("error", (cause) => this.#fail(cause));
      worker.on("exit", (code) => this.#fail(new Error(`exit code ${code}`)));
    }
  }

  /** What the thread had claimed will not be done. */
  #fail(cause: unknown): void {
    const sentence = "Cannot go on: a worker thread ended before its work was done";
    this.#broken ??= cause instanceof BtrfsError ? cause : new BtrfsError("io", sentence, { cause });
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

function eventOf(event: VolumeEvent): VolumeEvent {
  return "error" in event ? { ...event, error: fromPlainError(event.error) as BtrfsError } : event;
}
