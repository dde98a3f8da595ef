import { isAboutOne, type Unit, unitAt } from "../../receive/schedule.ts";
import type { Report } from "../../receive/target.ts";
import type { CommandBatch } from "../../stream/batch.ts";
import type { ReceiveThread } from "../receive-thread.ts";
import { Ring } from "./ring.ts";
import type { ThreadSubvolume } from "./thread-messages.ts";
import type { SubvolumeWriter } from "./writer.ts";

/** Paths that are noted before the thread is waited for. */
const MAX_PENDING = 50_000;

/**
 * Shares the commands for one subvolume between this thread and another one.
 *
 * Names, and whatever may see or change the effect of others, are this thread's, one after the other. Regular files are the other
 * thread's, in order; while that has enough to do, new files are made here as well. A command that could see what
 * the other thread still has to do waits for it.
 */
export class SharedWork {
  readonly #writer: SubvolumeWriter;
  readonly #thread: ReceiveThread;
  readonly #subvolume: ThreadSubvolume;
  readonly #report: Report;
  /** What the other thread has been given since it was last waited for. */
  readonly #pending = new Set<string>();
  #hasBegun = false;
  /** The object of the last unit, and whose it is. */
  #last: { readonly path: string; readonly isHere: boolean } | undefined;

  constructor(writer: SubvolumeWriter, thread: ReceiveThread, subvolume: ThreadSubvolume, report: Report) {
    this.#writer = writer;
    this.#thread = thread;
    this.#subvolume = subvolume;
    this.#report = report;
  }

  async apply(batch: CommandBatch, first: number, last: number): Promise<void> {
    if (!this.#thread.isReady) return this.#writer.apply(batch, first, last, this.#report);
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      this.#writer.release();
      await this.#thread.begin(this.#subvolume);
    }
    for (let i = first; i < last; ) {
      const unit = unitAt(batch, i, last);
      await this.#take(batch, i, unit);
      i = unit.end;
    }
    await this.#thread.flush(0);
  }

  /** Waits for the other thread, and adds what it did to `writer` and its tally. */
  async end(): Promise<void> {
    if (!this.#hasBegun) return;
    this.#hasBegun = false;
    this.#pending.clear();
    this.#writer.addShare(await this.#thread.end());
  }

  async #take(batch: CommandBatch, i: number, unit: Unit): Promise<void> {
    const { kind, end, path } = unit;
    const isNew = kind === "newFile" || kind === "newName";
    if (!isNew && this.#last?.path === path && isAboutOne(batch.type(i)) && fits(batch, i, end)) {
      return this.#last.isHere ? this.#writer.apply(batch, i, end, this.#report) : this.#give(batch, i, unit);
    }
    if (kind === "alone" || !fits(batch, i, end)) {
      this.#last = undefined;
      await this.#settle();
      return this.#writer.apply(batch, i, end, this.#report);
    }
    const isHere = kind === "newName" || (kind === "newFile" && this.#thread.isBusy && !unit.readsOthers);
    if (!isHere || (kind === "newFile" && this.#pending.has(path))) return this.#give(batch, i, unit);
    this.#last = { path, isHere: true };
    if (this.#pending.has(path)) await this.#settle();
    if (this.#writer.createInPlace(batch, i, end)) return this.#writer.apply(batch, i + 2, end, this.#report);
    // To be made elsewhere and renamed: that may be in the way of what is under way.
    await this.#settle();
    return this.#writer.apply(batch, i, end, this.#report);
  }

  async #give(batch: CommandBatch, i: number, { end, path }: Unit): Promise<void> {
    this.#last = { path, isHere: false };
    if (this.#pending.size >= MAX_PENDING) await this.#settle();
    this.#pending.add(path);
    this.#writer.releaseAt(path);
    await this.#thread.add(batch, i, end);
  }

  async #settle(): Promise<void> {
    if (this.#pending.size === 0) return;
    this.#pending.clear();
    await this.#thread.settle();
  }
}

/** Whether each command fits into a slot. */
function fits(batch: CommandBatch, first: number, end: number): boolean {
  for (let i = first; i < end; i++) if (batch.payloadLength(i) > Ring.slotBytes - 64) return false;
  return true;
}
