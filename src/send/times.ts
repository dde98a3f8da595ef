import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import { keyOf } from "./path-bytes.ts";
import type { Paths } from "./paths.ts";
import type { SendState } from "./state.ts";
import { whenRead } from "./unread.ts";

/** Of a `btrfs_timespec`; and where each is among the times of an inode. */
const TIMESPEC_BYTES = 12;
const ATIME_AT = 0;
const CTIME_AT = 12;
const MTIME_AT = 24;
const OTIME_AT = 36;

/** Directories that wait for UTIMES, beyond which the one touched longest ago gets it. */
const MAX_WAITING = 64;

interface Touched {
  readonly ino: number;
  readonly generation: number;
}

/** Times: of files at once, of directories when they have not been touched for a while, for every change inside sets them anew. */
export class TimesQueue {
  readonly #state: SendState;
  readonly #paths: Paths;
  /** In the order of their last touch. */
  readonly #waiting = new Map<string, Touched>();
  #newest: Touched | undefined;

  constructor(state: SendState, paths: Paths) {
    this.#state = state;
    this.#paths = paths;
  }

  touch(ino: number, generation: number): void {
    if (this.#newest?.ino === ino && this.#newest.generation === generation) return;
    const key = keyOf(ino, generation);
    const known = this.#waiting.get(key);
    if (known !== undefined) this.#waiting.delete(key);
    this.#newest = known ?? { ino, generation };
    this.#waiting.set(key, this.#newest);
  }

  get isFull(): boolean {
    return this.#waiting.size > MAX_WAITING;
  }

  /** Sends those that are too many, the one touched longest ago first. A promise only where something has to be read. */
  trim(): void | Promise<void> {
    return whenRead(() => {
      while (this.isFull) {
        const [key, { ino, generation }] = this.#waiting.entries().next().value!;
        this.#send(ino, generation);
        this.#waiting.delete(key);
      }
    });
  }

  /** Sends all, the one touched last first. */
  sendAll(): void | Promise<void> {
    const all = [...this.#waiting.values()].reverse();
    let sent = 0;
    return whenRead(() => {
      for (; sent < all.length; sent++) this.#send(all[sent]!.ino, all[sent]!.generation);
      this.#waiting.clear();
      this.#newest = undefined;
    });
  }

  send(ino: number, generation: number): void | Promise<void> {
    return whenRead(() => this.#send(ino, generation));
  }

  #send(ino: number, generation: number): void {
    const path = this.#paths.of(ino, generation);
    this.put(path, this.#state.left.getInode(ino).times);
  }

  put(path: Uint8Array, times: Uint8Array): void {
    const { out } = this.#state;
    out.begin(COMMANDS.utimes);
    out.path(ATTRIBUTES.path, path);
    out.copy(ATTRIBUTES.atime, times, ATIME_AT, TIMESPEC_BYTES);
    out.copy(ATTRIBUTES.mtime, times, MTIME_AT, TIMESPEC_BYTES);
    out.copy(ATTRIBUTES.ctime, times, CTIME_AT, TIMESPEC_BYTES);
    if (out.version >= 2) out.copy(ATTRIBUTES.otime, times, OTIME_AT, TIMESPEC_BYTES);
    out.end();
  }
}
