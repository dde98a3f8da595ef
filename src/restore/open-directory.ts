import type { Inode } from "../fs/inode.ts";
import type { NamesDirectory } from "./batch.ts";

/** A directory that is being restored: it ends when it is listed and all that is in it has ended. */
export class OpenDirectory implements NamesDirectory {
  readonly inode: Inode;
  readonly source: Uint8Array;
  readonly target: Uint8Array;
  readonly isNew: boolean;
  readonly #onEnd: () => void;
  /** What is under way in it, its listing too. */
  #open = 1;

  constructor(inode: Inode, { source, target, isNew }: Omit<NamesDirectory, "tree">, onEnd: () => void) {
    this.inode = inode;
    this.source = source;
    this.target = target;
    this.isNew = isNew;
    this.#onEnd = onEnd;
  }

  get tree(): bigint {
    return this.inode.subvolume.id;
  }

  retain(): void {
    this.#open++;
  }

  release(): void {
    this.#open--;
    if (this.#open === 0) this.#onEnd();
  }
}
