import type { ExtentRef } from "../format/extent-item.ts";

/** A change of one kind of reference of an extent. */
export interface RefDelta {
  /** Its own count means nothing here. */
  readonly ref: ExtentRef;
  delta: number;
}

/** What is to happen to one extent in the extent tree. */
export interface RefHead {
  readonly logical: number;
  /** Bytes. */
  readonly length: number;
  /** Level of a tree block; -1 is data. */
  readonly level: number;
  /** Its item is still to be made. */
  created: boolean;
  /** The block's children are counted by its address from now on. */
  setFull: boolean;
  readonly deltas: Map<string, RefDelta>;
}

/**
 * Changes of references that the extent tree does not know yet, summed up. To apply one changes the extent tree, and that
 * gives more of them: each block of a tree is copied once in a transaction, so it ends.
 */
export class DelayedRefs {
  readonly #heads = new Map<number, RefHead>();

  get size(): number {
    return this.#heads.size;
  }

  /** What waits for the extent at `logical`. */
  at(logical: number): RefHead | undefined {
    return this.#heads.get(logical);
  }

  /** A new extent, without references yet. */
  create(logical: number, length: number, level: number): void {
    const head = this.#head(logical, length, level);
    if (head.created) throw new RangeError(`Cannot make extent at ${logical}: there is one`);
    head.created = true;
  }

  /** @param delta References more, or fewer when negative. */
  change(logical: number, length: number, level: number, ref: ExtentRef, delta: number): void {
    const { deltas } = this.#head(logical, length, level);
    const name = refName(ref);
    const known = deltas.get(name);
    if (known === undefined) deltas.set(name, { ref, delta });
    else if (known.delta + delta === 0) deltas.delete(name);
    else known.delta += delta;
  }

  setFull(logical: number, length: number, level: number): void {
    this.#head(logical, length, level).setFull = true;
  }

  /** Addresses of all that waits, ascending. */
  addresses(): number[] {
    return [...this.#heads.keys()].sort((a, b) => a - b);
  }

  /** Takes out what waits for one extent. */
  take(logical: number): RefHead | undefined {
    const head = this.#heads.get(logical);
    this.#heads.delete(logical);
    return head;
  }

  #head(logical: number, length: number, level: number): RefHead {
    let head = this.#heads.get(logical);
    if (head === undefined) {
      head = { logical, length, level, created: false, setFull: false, deltas: new Map() };
      this.#heads.set(logical, head);
    }
    return head;
  }
}

/** The same text for the same reference, whatever its count. */
export function refName(ref: ExtentRef): string {
  if ("objectid" in ref) return `${ref.type} ${ref.root} ${ref.objectid} ${ref.offset}`;
  return `${ref.type} ${"root" in ref ? ref.root : ref.parent}`;
}
