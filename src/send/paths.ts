import { FullPaths } from "./full-paths.ts";
import { NameCache, type NamedParent } from "./name-cache.ts";
import { OrphanNames } from "./orphan-names.ts";
import { join, keyOf, PathParts } from "./path-bytes.ts";
import { ROOT_INODE, type SendState } from "./state.ts";

/** A directory move that has to wait for another one. */
export interface WaitingMove {
  readonly ino: number;
  /** Its name was given away: it has its temporary one. */
  isOrphan: boolean;
  /** A directory whose removal waits for this move. */
  removal: { readonly dir: number; readonly generation: number } | undefined;
}

/** Where inodes are at the receiver, as of now: lookups, as the snapshots' are. */
export class Paths {
  readonly waitingMoves = new Map<number, WaitingMove>();
  /** Directories that wait for their removal, as `ino-generation`. */
  readonly waitingRemovals = new Map<string, { readonly highest: number; next: bigint }>();
  readonly orphans: OrphanNames;
  readonly #state: SendState;
  readonly #full: FullPaths;
  readonly #names = new NameCache();

  constructor(state: SendState) {
    this.#state = state;
    this.orphans = new OrphanNames(state);
    this.#full = new FullPaths(state, this.orphans);
  }

  /** Path of an inode. The empty one is the root directory. */
  of(ino: number, generation: number): Uint8Array {
    const state = this.#state;
    if (!state.isCurrent(ino, generation)) return this.#find(ino, generation);
    state.keptPath ??= this.#find(ino, generation);
    return state.keptPath;
  }

  #find(ino: number, generation: number): Uint8Array {
    return this.#state.right === undefined ? this.#full.of(ino, generation) : this.#climb(ino, generation);
  }

  current(): Uint8Array {
    const { ino, generation } = this.#state;
    return this.of(ino, generation);
  }

  child(dir: number, dirGeneration: number, name: Uint8Array): Uint8Array {
    return join(this.of(dir, dirGeneration), name);
  }

  /** Temporary name of an inode. */
  orphanName(ino: number, generation: number): Uint8Array {
    return this.orphans.of(ino, generation);
  }

  /** The inode's name has become another one. */
  forget(ino: number, generation: number): void {
    this.#names.delete(ino, generation);
  }

  isWaitingForRemoval(ino: number, generation: number): boolean {
    return this.waitingRemovals.size > 0 && this.waitingRemovals.has(keyOf(ino, generation));
  }

  #climb(ino: number, generation: number): Uint8Array {
    const parts = new PathParts();
    let at = ino;
    let atGeneration = generation;
    while (at !== ROOT_INODE) {
      const step = this.#step(at, atGeneration);
      parts.add(step.name);
      if (step.isOrphan) break;
      at = step.dir;
      atGeneration = step.dirGeneration;
    }
    return parts.path();
  }

  #step(ino: number, generation: number): NamedParent {
    if (this.isWaitingForRemoval(ino, generation)) return this.#orphan(ino, generation, false);
    const waiting = this.waitingMoves.size === 0 ? undefined : this.waitingMoves.get(ino);
    if (waiting === undefined) return this.nameAndParent(ino, generation);
    if (waiting.isOrphan) return this.#orphan(ino, generation, false);
    return { ...this.#state.right!.getFirstName(ino), isOrphan: false, isEarly: false };
  }

  #orphan(ino: number, generation: number, isEarly: boolean): NamedParent {
    return { dir: ROOT_INODE, dirGeneration: 0, name: this.orphanName(ino, generation), isOrphan: true, isEarly };
  }

  /** Name and directory of an inode that waits for nothing. */
  nameAndParent(ino: number, generation: number): NamedParent {
    const kept = this.#names.get(ino, generation, this.#state.progress);
    if (kept !== undefined) return kept;
    const found = this.#findName(ino, generation);
    this.#names.put(ino, generation, found);
    return found;
  }

  #findName(ino: number, generation: number): NamedParent {
    const state = this.#state;
    const isEarly = ino >= state.progress;
    if (state.existsNow(ino, generation)) {
      const { dir, dirGeneration, name } = (isEarly ? state.right! : state.left).getFirstName(ino);
      if (!state.isNameTaken(dir, dirGeneration, ino, generation, name)) {
        return { dir, dirGeneration, name, isOrphan: false, isEarly };
      }
    }
    return this.#orphan(ino, generation, isEarly);
  }
}
