import { hashName, nameHash } from "./name-hash.ts";

export const NONE = -1;
export const ROOT = 0;

const FIRST_ROOM = 1024;

/**
 * A tree of names in typed arrays: 30 to 60 bytes a name, however long it is, because a stream may hold millions.
 *
 * A name is kept as its hash, with its length. What it stands for is up to the columns `kind` and `since`.
 */
export class NameTable {
  kind: Uint8Array = new Uint8Array(FIRST_ROOM);
  since: Uint32Array = new Uint32Array(FIRST_ROOM);
  #parent = new Int32Array(FIRST_ROOM);
  #next = new Int32Array(FIRST_ROOM);
  #children = new Int32Array(FIRST_ROOM);
  #low = new Int32Array(FIRST_ROOM);
  #high = new Int32Array(FIRST_ROOM);
  #length = new Uint8Array(FIRST_ROOM);
  #buckets = new Int32Array(FIRST_ROOM).fill(NONE);
  #used = 1;
  #free = NONE;
  #count = 0;

  constructor() {
    this.#parent[ROOT] = NONE;
  }

  /** Names, the root not counted. */
  get size(): number {
    return this.#count;
  }

  /** Bytes that are held for them. */
  get byteLength(): number {
    const numbers = [this.#parent, this.#next, this.#children, this.#low, this.#high, this.since, this.#buckets];
    return [...numbers, this.kind, this.#length].reduce((sum, table) => sum + table.byteLength, 0);
  }

  parent(node: number): number {
    return this.#parent[node]!;
  }

  /** How many names are in it. */
  children(node: number): number {
    return this.#children[node]!;
  }

  /** The name in `bytes` from `start` to `end` in the directory `parent`; `NONE` where it is not. */
  find(parent: number, bytes: Uint8Array, start: number, end: number): number {
    hashName(parent, bytes, start, end);
    const { low, high } = nameHash;
    let node = this.#buckets[low & (this.#buckets.length - 1)]!;
    while (node !== NONE && !this.#is(node, parent, low, high, end - start)) node = this.#next[node]!;
    return node;
  }

  /** A name that is not there yet. */
  add(parent: number, bytes: Uint8Array, start: number, end: number): number {
    hashName(parent, bytes, start, end);
    return this.#addHashed(parent, nameHash.low, nameHash.high, end - start);
  }

  /** Gives `node` another name and directory. With `stays`, a new node takes over the old ones. @returns that, or `NONE`. */
  move(node: number, parent: number, bytes: Uint8Array, start: number, end: number, stays: boolean): number {
    const left = this.#parent[node]!;
    this.#unlink(node);
    const other = stays ? this.#addHashed(left, this.#low[node]!, this.#high[node]!, this.#length[node]!) : NONE;
    hashName(parent, bytes, start, end);
    this.#link(node, parent, nameHash.low, nameHash.high, end - start);
    return other;
  }

  drop(node: number): void {
    this.#unlink(node);
    this.#parent[node] = NONE;
    this.#count--;
    // Names that are still remembered below keep their number from being given away.
    if (this.#children[node] === 0) {
      this.#next[node] = this.#free;
      this.#free = node;
    }
  }

  #is(node: number, parent: number, low: number, high: number, length: number): boolean {
    return (
      this.#low[node] === low &&
      this.#high[node] === high &&
      this.#parent[node] === parent &&
      this.#length[node] === length
    );
  }

  #addHashed(parent: number, low: number, high: number, length: number): number {
    let node = this.#free;
    if (node !== NONE) this.#free = this.#next[node]!;
    else {
      if (this.#used === this.#parent.length) this.#grow();
      node = this.#used++;
    }
    this.#children[node] = 0;
    this.#count++;
    this.#link(node, parent, low, high, length);
    return node;
  }

  #link(node: number, parent: number, low: number, high: number, length: number): void {
    this.#parent[node] = parent;
    this.#children[parent] = this.#children[parent]! + 1;
    this.#low[node] = low;
    this.#high[node] = high;
    this.#length[node] = length;
    this.#enter(node);
  }

  #enter(node: number): void {
    const bucket = this.#low[node]! & (this.#buckets.length - 1);
    this.#next[node] = this.#buckets[bucket]!;
    this.#buckets[bucket] = node;
  }

  #unlink(node: number): void {
    const parent = this.#parent[node]!;
    const bucket = this.#low[node]! & (this.#buckets.length - 1);
    if (this.#buckets[bucket] === node) this.#buckets[bucket] = this.#next[node]!;
    else {
      let before = this.#buckets[bucket]!;
      while (this.#next[before] !== node) before = this.#next[before]!;
      this.#next[before] = this.#next[node]!;
    }
    this.#children[parent] = this.#children[parent]! - 1;
  }

  /** Doubles every column. Only when no number is free, so all nodes but the root and those without a place have one. */
  #grow(): void {
    const room = this.#parent.length * 2;
    this.kind = longer(this.kind, new Uint8Array(room));
    this.since = longer(this.since, new Uint32Array(room));
    this.#parent = longer(this.#parent, new Int32Array(room));
    this.#next = longer(this.#next, new Int32Array(room));
    this.#children = longer(this.#children, new Int32Array(room));
    this.#low = longer(this.#low, new Int32Array(room));
    this.#high = longer(this.#high, new Int32Array(room));
    this.#length = longer(this.#length, new Uint8Array(room));
    this.#buckets = new Int32Array(room).fill(NONE);
    for (let node = ROOT + 1; node < this.#used; node++) if (this.#parent[node] !== NONE) this.#enter(node);
  }
}

function longer<T extends Int32Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
