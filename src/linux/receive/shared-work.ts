import { isAboutOne, type Unit, unitAt } from "../../receive/schedule.ts";
import type { Report } from "../../receive/target.ts";
import type { CommandBatch } from "../../stream/batch.ts";
import type { ReceiveThread } from "../receive-thread.ts";
import { bytesOf } from "./command-values.ts";
import { Pending } from "./pending.ts";
import { parentOf } from "./places.ts";
import { Ring } from "./ring.ts";
import type { ThreadSubvolume } from "./thread-messages.ts";
import type { SubvolumeWriter } from "./writer.ts";

/** From this size on, data are written by the thread that has read them: handing them over would copy them. */
const LARGE_BYTES = 64 * 1024;

/**
 * Shares the commands for one subvolume between this thread and another one.
 *
 * Names, and whatever may see or change the effect of others, are this thread's, one after the other. Small regular files are the
 * other thread's, in order; while that has enough to do, new ones are made here as well. Large ones are written here. A
 * command that could see what the other thread still has to do goes there too, or waits for it.
 */
export class SharedWork {
  readonly #writer: SubvolumeWriter;
  readonly #thread: ReceiveThread;
  readonly #subvolume: ThreadSubvolume;
  readonly #report: Report;
  readonly #pending: Pending;
  #hasBegun = false;
  /** The object of the last unit, and whose it is. */
  #last: { readonly path: string; readonly isHere: boolean } | undefined;

  /** A file that was there before has been changed here since the other thread was given anything. */
  #changedOldHere = false;

  constructor(writer: SubvolumeWriter, thread: ReceiveThread, subvolume: ThreadSubvolume, report: Report) {
    this.#writer = writer;
    this.#thread = thread;
    this.#subvolume = subvolume;
    this.#report = report;
    this.#pending = new Pending(thread);
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
    const canGo = fits(batch, i, end);
    if (!isNew && this.#last?.path === path && isAboutOne(batch.type(i)) && canGo) return this.#goOn(batch, i, unit);
    if (kind === "alone" || !canGo) return this.#waitAndDo(batch, i, end);
    if (kind === "times") return this.#setTimes(batch, i, unit);
    if (kind === "newName") return this.#makeHere(batch, i, unit);
    const isLarge = bytesOf(batch, i, end) >= LARGE_BYTES;
    if (kind === "file") {
      if (!isLarge || unit.readsOthers || this.#pending.isOnOld || this.#pending.isAbout(path)) {
        return this.#give(batch, i, unit);
      }
      this.#last = { path, isHere: true };
      this.#changedOldHere = true;
      return this.#writer.apply(batch, i, end, this.#report);
    }
    const isHere = (isLarge || this.#thread.isBusy) && !unit.readsOthers;
    if (!isHere || this.#pending.isAbout(path) || this.#pending.setsTimesOf(parentOf(path))) {
      return this.#give(batch, i, unit);
    }
    return this.#makeHere(batch, i, unit);
  }

  /** More about the object of the last unit. */
  async #goOn(batch: CommandBatch, i: number, unit: Unit): Promise<void> {
    if (!this.#last!.isHere && bytesOf(batch, i, unit.end) >= LARGE_BYTES) {
      await this.#settle();
      this.#last = { path: unit.path, isHere: true };
    }
    if (!this.#last!.isHere) return this.#give(batch, i, unit);
    return this.#writer.apply(batch, i, unit.end, this.#report);
  }

  async #waitAndDo(batch: CommandBatch, i: number, end: number): Promise<void> {
    this.#last = undefined;
    await this.#settle();
    return this.#writer.apply(batch, i, end, this.#report);
  }

  /** Of directories mostly, long after what was made in them: nobody has to wait for that. */
  async #setTimes(batch: CommandBatch, i: number, unit: Unit): Promise<void> {
    const { path, end } = unit;
    if (this.#pending.isAbout(path) || this.#pending.makesNamesIn(path)) return this.#give(batch, i, unit);
    // A file may be under way under another name.
    if (!this.#writer.isDirectory(path)) return this.#waitAndDo(batch, i, end);
    this.#last = undefined;
    return this.#writer.apply(batch, i, end, this.#report);
  }

  async #makeHere(batch: CommandBatch, i: number, { path, end }: Unit): Promise<void> {
    this.#last = { path, isHere: true };
    if (this.#pending.isAbout(path) || this.#pending.setsTimesOf(parentOf(path))) await this.#settle();
    if (this.#writer.createInPlace(batch, i, end)) return this.#writer.apply(batch, i + 2, end, this.#report);
    // To be made elsewhere and renamed: that may be in the way of what is under way.
    await this.#settle();
    return this.#writer.apply(batch, i, end, this.#report);
  }

  async #give(batch: CommandBatch, i: number, unit: Unit): Promise<void> {
    const { path, end } = unit;
    this.#last = { path, isHere: false };
    if (this.#pending.isFull) await this.#settle();
    // It may be the same file that either is at, under another name too: its mode and owner are to be set anew.
    this.#writer.release();
    if (this.#changedOldHere) await this.#thread.release();
    this.#changedOldHere = false;
    await this.#thread.add(batch, i, end, () => this.#pending.note(unit));
  }

  async #settle(): Promise<void> {
    if (this.#pending.isEmpty) return;
    this.#pending.clear();
    await this.#thread.settle();
  }
}

/** Whether each command fits into a slot. */
function fits(batch: CommandBatch, first: number, end: number): boolean {
  for (let i = first; i < end; i++) if (batch.payloadLength(i) > Ring.slotBytes - 64) return false;
  return true;
}
