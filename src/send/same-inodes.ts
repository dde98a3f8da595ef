const MAX_KEPT = 65_536;

/** Directories that have the same generation in both snapshots: as the leaves that are passed show, or as was looked up. */
export class SameInodes {
  readonly #kept = new Set<number>();
  #last = 0;

  has(dir: number): boolean {
    if (dir !== this.#last && !this.#kept.has(dir)) return false;
    this.#last = dir;
    return true;
  }

  keep(dir: number): void {
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
    this.#kept.add(dir);
  }
}
