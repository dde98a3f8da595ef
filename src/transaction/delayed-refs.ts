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
  /** One for each reference; none of them 0. */
  readonly deltas: RefDelta[];
  /** The same by name, where they are many. */
  byName: Map<string, RefDelta> | undefined;
}

/** From so many on, they are looked up by name. */
const NAMED_FROM = 16;

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
    if (delta === 0) return;
    const head = this.#head(logical, length, level);
    const { deltas } = head;
    const known = findDelta(head, ref);
    if (known === undefined) {
      const added = { ref, delta };
      deltas.push(added);
      head.byName?.set(refName(ref), added);
      return;
    }
    known.delta += delta;
    if (known.delta !== 0) return;
    const last = deltas.pop()!;
    if (last !== known) deltas[deltas.indexOf(known)] = last;
    head.byName?.delete(refName(ref));
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
      head = { logical, length, level, created: false, setFull: false, deltas: [], byName: undefined };
      this.#heads.set(logical, head);
    }
    return head;
  }
}

function findDelta(head: RefHead, ref: ExtentRef): RefDelta | undefined {
  const { deltas } = head;
  if (deltas.length < NAMED_FROM) {
    for (const known of deltas) if (isSameRef(known.ref, ref)) return known;
    return undefined;
  }
  head.byName ??= new Map(deltas.map((known) => [refName(known.ref), known]));
  return head.byName.get(refName(ref));
}

/** Whether two references are the same, whatever their counts. */
export function isSameRef(a: ExtentRef, b: ExtentRef): boolean {
  if (a.type !== b.type) return false;
  if ("objectid" in a && "objectid" in b) {
    return a.objectid === b.objectid && a.offset === b.offset && a.root === b.root;
  }
  if ("root" in a) return "root" in b && a.root === b.root;
  return "parent" in b && a.parent === b.parent;
}

/** The same text for the same reference, whatever its count. */
export function refName(ref: ExtentRef): string {
  if ("objectid" in ref) return `${ref.type} ${ref.root} ${ref.objectid} ${ref.offset}`;
  return `${ref.type} ${"root" in ref ? ref.root : ref.parent}`;
}
