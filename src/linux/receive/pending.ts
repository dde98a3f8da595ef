import type { Unit } from "../../receive/schedule.ts";
import type { ReceiveThread } from "../receive-thread.ts";
import { parentOf } from "./places.ts";

/** Names that are kept before the thread is waited for, so that they can be forgotten. */
const MAX_NAMES = 50_000;

/** What another thread has been given and may not have done yet, by the slot that it went with. */
export class Pending {
  readonly #thread: ReceiveThread;
  /** What units are about. */
  readonly #paths = new Map<string, number>();
  /** Directories in which names are made. */
  readonly #parents = new Map<string, number>();
  /** What gets its times set. */
  readonly #times = new Map<string, number>();
  /** The last unit about what was there before, under perhaps another name too, or that reads other files. */
  #lastOnOld = -1;

  constructor(thread: ReceiveThread) {
    this.#thread = thread;
  }

  get isEmpty(): boolean {
    return this.#paths.size === 0;
  }

  get isFull(): boolean {
    return this.#paths.size >= MAX_NAMES;
  }

  /** The unit, or the last part of it so far, goes with the slot that is being filled. */
  note({ kind, path, firstPath, readsOthers }: Unit): void {
    const { slot } = this.#thread;
    this.#paths.set(path, slot);
    if (kind === "newFile") this.#parents.set(parentOf(path), slot).set(parentOf(firstPath), slot);
    if (kind === "times") this.#times.set(path, slot);
    if (kind === "file" || readsOthers) this.#lastOnOld = slot;
  }

  isAbout(path: string): boolean {
    return this.#isUnderWay(this.#paths.get(path));
  }

  makesNamesIn(path: string): boolean {
    return this.#isUnderWay(this.#parents.get(path));
  }

  setsTimesOf(path: string): boolean {
    return this.#isUnderWay(this.#times.get(path));
  }

  /** Something may be written or read under a name that nobody here knows. */
  get isOnOld(): boolean {
    return this.#isUnderWay(this.#lastOnOld);
  }

  /** All is done. */
  clear(): void {
    this.#paths.clear();
    this.#parents.clear();
    this.#times.clear();
    this.#lastOnOld = -1;
  }

  #isUnderWay(slot: number | undefined): boolean {
    return slot !== undefined && slot >= this.#thread.slotsDone;
  }
}
