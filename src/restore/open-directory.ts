import type { Inode } from "../fs/inode.ts";
import type { Xattr } from "../fs/xattr.ts";
import type { NamesDirectory } from "./batch.ts";
import type { Handle, RestoreTarget } from "./target.ts";
import { within } from "./within.ts";

/** A directory of the image. */
export interface FoundDirectory {
  readonly inode: Inode;
  /** `undefined` when they are still to be read. */
  readonly xattrs?: readonly Xattr[] | undefined;
}

/** A directory that is being restored: it ends when it is listed and all that is in it has ended. */
export class OpenDirectory implements NamesDirectory {
  readonly inode: Inode;
  readonly source: Uint8Array;
  readonly target: Uint8Array;
  readonly isNew: boolean;
  /** Where they were read together with the inode. */
  readonly xattrs: readonly Xattr[] | undefined;
  /** While it is held open, for whoever restores what is in it. */
  handle: Handle | undefined;
  readonly #onEnd: () => void;
  /** What is under way in it, its listing too. */
  #open = 1;

  constructor(
    { inode, xattrs }: FoundDirectory,
    { source, target, isNew, handle }: Omit<NamesDirectory, "tree">,
    onEnd: () => void,
  ) {
    this.inode = inode;
    this.xattrs = xattrs;
    this.handle = handle;
    this.source = source;
    this.target = target;
    this.isNew = isNew;
    this.#onEnd = onEnd;
  }

  get tree(): bigint {
    return this.inode.subvolume.id;
  }

  /** Lends the open directory for as long as `act` takes. */
  within<T>(target: RestoreTarget, act: (directory: Handle) => T): T {
    return this.handle === undefined ? within(target, this.target, act) : act(this.handle);
  }

  retain(): void {
    this.#open++;
  }

  release(): void {
    this.#open--;
    if (this.#open === 0) this.#onEnd();
  }
}
