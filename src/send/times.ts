import { InodeItem } from "../format/inode.ts";
import { keyOf, type Paths } from "./paths.ts";
import type { SendState } from "./state.ts";

const { atime, mtime, ctime, otime } = InodeItem.offsets;
const TIMESPEC_BYTES = 12;

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

  /** Sends those that are too many, the one touched longest ago first. */
  async trim(): Promise<void> {
    while (this.isFull) {
      const [key, { ino, generation }] = this.#waiting.entries().next().value!;
      await this.send(ino, generation);
      this.#waiting.delete(key);
    }
  }

  /** As `trim`, in a full send. @returns False when the rest has to be waited for. */
  trimNow(): boolean {
    while (this.isFull) {
      const [key, { ino, generation }] = this.#waiting.entries().next().value!;
      if (!this.sendNow(ino, generation)) return false;
      this.#waiting.delete(key);
    }
    return true;
  }

  /** Sends all, the one touched last first. */
  async sendAll(): Promise<void> {
    for (const { ino, generation } of [...this.#waiting.values()].reverse()) await this.send(ino, generation);
    this.#waiting.clear();
    this.#newest = undefined;
  }

  /** As `send`, in a full send. @returns False, with nothing done, when it has to be waited for. */
  sendNow(ino: number, generation: number): boolean {
    const { left } = this.#state;
    const path = this.#state.isCurrent(ino, generation) ? this.#state.keptPath : this.#paths.fullNow(ino, generation);
    const facts = left.inodeNow(ino);
    if (path === undefined || facts === undefined || facts === null) return false;
    this.put(path, facts.item);
    return true;
  }

  async send(ino: number, generation: number): Promise<void> {
    const { left } = this.#state;
    const path = await this.#paths.of(ino, generation);
    const { item } = left.keptInode(ino) ?? (await left.getInode(ino));
    this.put(path, item);
  }

  put(path: Uint8Array, item: Uint8Array): void {
    const { out } = this.#state;
    out.begin("utimes");
    out.path("path", path);
    out.copy("atime", item, atime, TIMESPEC_BYTES);
    out.copy("mtime", item, mtime, TIMESPEC_BYTES);
    out.copy("ctime", item, ctime, TIMESPEC_BYTES);
    if (out.version >= 2) out.copy("otime", item, otime, TIMESPEC_BYTES);
    out.end();
  }
}
