import { toBytes } from "../bytes/bytes.ts";
import { keyOf } from "./path-bytes.ts";
import { ROOT_INODE, type SendState } from "./state.ts";

const MAX_KEPT = 4096;

/** Temporary names of inodes: no entry of either root directory has them. */
export class OrphanNames {
  readonly #state: SendState;
  readonly #kept = new Map<string, Uint8Array>();
  /** No name in the root directories looks like a temporary one. */
  #areFree = false;
  #lastIno = 0;
  #lastGeneration = 0;
  #lastName = new Uint8Array(0);

  constructor(state: SendState) {
    this.#state = state;
  }

  /** To be called once, before all else. */
  async open(): Promise<void> {
    const { left, right } = this.#state;
    this.#areFree =
      !(await left.mayHaveTemporaryNames()) && (right === undefined || !(await right.mayHaveTemporaryNames()));
  }

  /** A lookup, as the snapshot's are. */
  of(ino: number, generation: number): Uint8Array {
    if (this.#lastIno !== ino || this.#lastGeneration !== generation) {
      this.#lastName = this.#areFree ? asciiBytes(`o${ino}-${generation}-0`) : this.#find(ino, generation);
      this.#lastIno = ino;
      this.#lastGeneration = generation;
    }
    return this.#lastName;
  }

  #find(ino: number, generation: number): Uint8Array<ArrayBuffer> {
    const key = keyOf(ino, generation);
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept as Uint8Array<ArrayBuffer>;
    const { left, right } = this.#state;
    for (let number = 0; ; number++) {
      const name = toBytes(`o${ino}-${generation}-${number}`);
      if (left.findEntry(ROOT_INODE, name) !== undefined) continue;
      if (right?.findEntry(ROOT_INODE, name) !== undefined) continue;
      if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
      this.#kept.set(key, name);
      return name as Uint8Array<ArrayBuffer>;
    }
  }
}

function asciiBytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}
