import type { OrphanNames } from "./orphan-names.ts";
import { checkDepth, join } from "./path-bytes.ts";
import { ROOT_INODE, type SendState } from "./state.ts";

const MAX_KEPT = 4096;

/** A path, good as long as the progress is not above `until`. */
interface Found {
  readonly path: Uint8Array;
  readonly until: number;
}

const IN_ROOT: Found = { path: new Uint8Array(0), until: Number.POSITIVE_INFINITY };

/**
 * Paths in a send without a parent. Names only come there: what a directory is called changes when it, or one above it,
 * is processed.
 */
export class FullPaths {
  readonly #state: SendState;
  readonly #orphans: OrphanNames;
  readonly #kept = new Map<number, Found>();

  constructor(state: SendState, orphans: OrphanNames) {
    this.#state = state;
    this.#orphans = orphans;
  }

  /** A lookup, as the snapshot's are. */
  of(ino: number, generation: number): Uint8Array {
    return this.#find(ino, generation, 0).path;
  }

  #find(ino: number, generation: number, depth: number): Found {
    if (ino === ROOT_INODE) return IN_ROOT;
    const { progress, left } = this.#state;
    const kept = this.#kept.get(ino);
    if (kept !== undefined && progress <= kept.until) return kept;
    let found: Found;
    if (ino >= progress) found = { path: this.#orphans.of(ino, generation), until: ino };
    else {
      checkDepth(depth, left, ino);
      const { dir, dirGeneration, name } = left.getFirstName(ino);
      const above = this.#find(dir, dirGeneration, depth + 1);
      found = { path: join(above.path, name), until: above.until };
    }
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
    this.#kept.set(ino, found);
    return found;
  }
}
