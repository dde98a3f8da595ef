/** What a name stands for. `unknown` came from outside of the stream: the parent snapshot, or commands that were lost. */
export type Kind = "file" | "directory" | "symlink" | "special" | "unknown";

/** What is wrong with a command, as the tail of a sentence; `undefined` is sound. */
export type Complaint = string | undefined;

const ABSENT = 0;
const KINDS = ["absent", "file", "directory", "symlink", "special", "unknown"] as const;
const FILE = 1;
const DIRECTORY = 2;
const UNKNOWN = 5;
const NUMBER_OF: Readonly<Record<Kind, number>> = {
  file: FILE,
  directory: DIRECTORY,
  symlink: 3,
  special: 4,
  unknown: UNKNOWN,
};

const NONE = -1;
const ROOT = 0;
const SLASH = 0x2f;

/**
 * The names that exist while a stream is carried out: a tree, so that renaming a directory moves all below it.
 *
 * Kept in typed arrays, about 50 bytes a name, because a stream may hold millions. A directory that the stream made is
 * known entirely; one that came from outside may hold anything, so a name in it exists until the stream removes it.
 */
export class Namespace {
  #parent = new Int32Array(1024);
  #next = new Int32Array(1024);
  #children = new Int32Array(1024);
  #nameAt = new Uint32Array(1024);
  #nameLength = new Uint8Array(1024);
  #kind = new Uint8Array(1024);
  /** Of a directory that is known entirely, of a name that is known to be absent: the epoch since when. */
  #since = new Uint32Array(1024);
  /** Each `forget` begins a new one, so that it costs nothing however often commands are lost. */
  #epoch = 1;
  #buckets = new Int32Array(2048).fill(NONE);
  #pool = new Uint8Array(16384);
  #poolUsed = 0;
  #poolLive = 0;
  #used = 1;
  #free = NONE;
  #count = 0;

  /** @param complete Whether the subvolume starts empty: true for a full stream, false for an increment. */
  constructor(complete: boolean) {
    this.#parent[ROOT] = NONE;
    this.#kind[ROOT] = DIRECTORY;
    this.#since[ROOT] = complete ? this.#epoch : 0;
  }

  /** Names remembered, those that are known to be absent included. */
  get size(): number {
    return this.#count;
  }

  /** Bytes that are held for them. */
  get byteLength(): number {
    const tables = [this.#parent, this.#next, this.#children, this.#nameAt, this.#nameLength, this.#kind, this.#since];
    return [...tables, this.#buckets, this.#pool].reduce((sum, table) => sum + table.byteLength, 0);
  }

  /** After commands were lost nothing is known entirely any more, and a removed name may have come back. */
  forget(): void {
    this.#epoch++;
  }

  /** A new name at the path in `bytes` from `start` to `end`. */
  create(bytes: Uint8Array, start: number, end: number, kind: Kind): Complaint {
    return this.#enter(bytes, start, end, NUMBER_OF[kind], kind === "directory");
  }

  /** The path must exist; with `kind`, as that kind. */
  use(bytes: Uint8Array, start: number, end: number, kind?: "file" | "directory"): Complaint {
    const node = this.#find(bytes, start, end);
    if (node === NONE || this.#isAbsent(node)) return "does not exist at this point of the stream";
    if (kind === undefined) return undefined;
    if (this.#kindOf(node) === UNKNOWN) this.#kind[node] = NUMBER_OF[kind];
    return this.#kind[node] === NUMBER_OF[kind] ? undefined : `is a ${KINDS[this.#kind[node]!]}, not a ${kind}`;
  }

  remove(bytes: Uint8Array, start: number, end: number, what: "directory" | "other"): Complaint {
    const node = this.#find(bytes, start, end);
    if (node === NONE || this.#isAbsent(node)) return "does not exist at this point of the stream";
    if (node === ROOT) return "is the root of the subvolume";
    const kind = this.#kindOf(node);
    if (kind !== UNKNOWN && (kind === DIRECTORY) !== (what === "directory")) return `is a ${KINDS[kind]}`;
    const known = this.#children[node]!;
    if (this.#isComplete(node) && known > 0) return `is not empty: ${known} names are left in it`;
    this.#leave(node);
    return undefined;
  }

  rename(bytes: Uint8Array, from: number, fromEnd: number, to: number, toEnd: number): Complaint {
    const node = this.#find(bytes, from, fromEnd);
    if (node === NONE || this.#isAbsent(node)) return "does not exist at this point of the stream";
    if (node === ROOT) return "is the root of the subvolume";
    // The new name is entered first: when that is refused the old one must stand.
    const complaint = this.#enter(bytes, to, toEnd, this.#kindOf(node), false, node);
    return complaint === undefined ? undefined : `can't take its new name, which ${complaint}`;
  }

  link(bytes: Uint8Array, to: number, toEnd: number, from: number, fromEnd: number): Complaint {
    const node = this.#find(bytes, from, fromEnd);
    if (node === NONE || this.#isAbsent(node)) return "links to a name that does not exist at this point of the stream";
    if (this.#kind[node] === DIRECTORY) return "links to a directory";
    return this.#enter(bytes, to, toEnd, this.#kindOf(node), false);
  }

  /** Enters a name, or moves `moved` to it. */
  #enter(bytes: Uint8Array, start: number, end: number, kind: number, complete: boolean, moved = NONE): Complaint {
    if (start === end) return "is the root of the subvolume";
    let slash = end;
    while (slash > start && bytes[slash - 1] !== SLASH) slash--;
    const parent = slash === start ? ROOT : this.#find(bytes, start, slash - 1);
    if (parent === NONE || this.#isAbsent(parent)) return "lies in a directory that does not exist";
    if (this.#kindOf(parent) === UNKNOWN) this.#kind[parent] = DIRECTORY;
    if (this.#kind[parent] !== DIRECTORY) return `lies in a ${KINDS[this.#kind[parent]!]}`;
    if (moved !== NONE && this.#isBelow(parent, moved)) return "lies inside the directory that is moved";
    const there = this.#child(parent, bytes, slash, end);
    // A name that was only inferred from outside may have been wrong; one that the stream made is not.
    if (there !== NONE && !this.#isAbsent(there) && this.#kindOf(there) !== UNKNOWN) return "exists already";
    if (there !== NONE) this.#drop(there);
    if (moved === NONE) {
      this.#add(parent, bytes, slash, end, kind, complete);
      return undefined;
    }
    this.#move(moved, parent, bytes, slash, end);
    return undefined;
  }

  #move(node: number, parent: number, bytes: Uint8Array, start: number, end: number): void {
    const left = this.#parent[node]!;
    const at = this.#nameAt[node]!;
    const oldName = this.#isComplete(left) ? undefined : this.#pool.slice(at, at + this.#nameLength[node]!);
    this.#unname(node);
    if (oldName !== undefined) this.#add(left, oldName, 0, oldName.byteLength, ABSENT, false);
    this.#name(node, parent, bytes, start, end);
  }

  #isAbsent(node: number): boolean {
    return this.#kind[node] === ABSENT && this.#since[node] === this.#epoch;
  }

  /** A name that was absent before commands were lost may be anything. */
  #kindOf(node: number): number {
    const kind = this.#kind[node]!;
    return kind === ABSENT && this.#since[node] !== this.#epoch ? UNKNOWN : kind;
  }

  /** Whether everything below the directory is known. */
  #isComplete(node: number): boolean {
    return this.#since[node] === this.#epoch && this.#kind[node] !== ABSENT;
  }

  #isBelow(node: number, ancestor: number): boolean {
    for (let at = node; at !== NONE; at = this.#parent[at]!) if (at === ancestor) return true;
    return false;
  }

  #find(bytes: Uint8Array, start: number, end: number): number {
    let node = ROOT;
    let at = start;
    while (at < end) {
      let slash = at;
      while (slash < end && bytes[slash] !== SLASH) slash++;
      let child = this.#child(node, bytes, at, slash);
      if (child === NONE) {
        if (this.#isComplete(node)) return NONE;
        child = this.#add(node, bytes, at, slash, UNKNOWN, false);
      }
      const kind = this.#kindOf(child);
      if (slash < end && kind !== DIRECTORY && kind !== UNKNOWN) return NONE;
      node = child;
      at = slash + 1;
    }
    return node;
  }

  #child(parent: number, bytes: Uint8Array, start: number, end: number): number {
    let node = this.#buckets[hashOf(parent, bytes, start, end) & (this.#buckets.length - 1)]!;
    while (node !== NONE) {
      if (this.#parent[node] === parent && this.#nameLength[node] === end - start && this.#sameName(node, bytes, start))
        return node;
      node = this.#next[node]!;
    }
    return NONE;
  }

  #sameName(node: number, bytes: Uint8Array, start: number): boolean {
    const at = this.#nameAt[node]!;
    for (let index = this.#nameLength[node]! - 1; index >= 0; index--) {
      if (this.#pool[at + index] !== bytes[start + index]) return false;
    }
    return true;
  }

  #add(parent: number, bytes: Uint8Array, start: number, end: number, kind: number, complete: boolean): number {
    let node = this.#free;
    if (node !== NONE) this.#free = this.#next[node]!;
    else {
      if (this.#used === this.#parent.length) this.#grow();
      node = this.#used++;
    }
    this.#kind[node] = kind;
    this.#since[node] = complete || kind === ABSENT ? this.#epoch : 0;
    this.#children[node] = 0;
    this.#count++;
    this.#name(node, parent, bytes, start, end);
    return node;
  }

  #name(node: number, parent: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (this.#poolUsed + length > this.#pool.byteLength) this.#makeRoom(length);
    for (let index = 0; index < length; index++) this.#pool[this.#poolUsed + index] = bytes[start + index]!;
    this.#nameAt[node] = this.#poolUsed;
    this.#nameLength[node] = length;
    this.#poolUsed += length;
    this.#poolLive += length;
    this.#parent[node] = parent;
    this.#children[parent] = this.#children[parent]! + 1;
    this.#hash(node);
  }

  /** The name is gone. Where anything may come from outside, that it is gone has to be remembered. */
  #leave(node: number): void {
    if (this.#isComplete(this.#parent[node]!)) this.#drop(node);
    else {
      this.#kind[node] = ABSENT;
      this.#since[node] = this.#epoch;
    }
  }

  #drop(node: number): void {
    this.#unname(node);
    this.#kind[node] = ABSENT;
    this.#parent[node] = NONE;
    this.#count--;
    // Names that are still remembered below keep their number from being given away.
    if (this.#children[node] === 0) {
      this.#next[node] = this.#free;
      this.#free = node;
    }
  }

  #unname(node: number): void {
    const at = this.#nameAt[node]!;
    const parent = this.#parent[node]!;
    const bucket = hashOf(parent, this.#pool, at, at + this.#nameLength[node]!) & (this.#buckets.length - 1);
    if (this.#buckets[bucket] === node) this.#buckets[bucket] = this.#next[node]!;
    else {
      let before = this.#buckets[bucket]!;
      while (this.#next[before] !== node) before = this.#next[before]!;
      this.#next[before] = this.#next[node]!;
    }
    this.#children[parent] = this.#children[parent]! - 1;
    this.#poolLive -= this.#nameLength[node]!;
  }

  #hash(node: number): void {
    const at = this.#nameAt[node]!;
    const hash = hashOf(this.#parent[node]!, this.#pool, at, at + this.#nameLength[node]!);
    const bucket = hash & (this.#buckets.length - 1);
    this.#next[node] = this.#buckets[bucket]!;
    this.#buckets[bucket] = node;
  }

  #grow(): void {
    const length = this.#parent.length * 2;
    this.#parent = longer(this.#parent, new Int32Array(length));
    this.#next = longer(this.#next, new Int32Array(length));
    this.#children = longer(this.#children, new Int32Array(length));
    this.#nameAt = longer(this.#nameAt, new Uint32Array(length));
    this.#nameLength = longer(this.#nameLength, new Uint8Array(length));
    this.#kind = longer(this.#kind, new Uint8Array(length));
    this.#since = longer(this.#since, new Uint32Array(length));
    const hashed = this.#hashed();
    this.#buckets = new Int32Array(length).fill(NONE);
    for (const node of hashed) this.#hash(node);
  }

  /** Every node that stands in a bucket. */
  #hashed(): Int32Array {
    const nodes = new Int32Array(this.#count);
    let count = 0;
    for (const first of this.#buckets)
      for (let node = first; node !== NONE; node = this.#next[node]!) nodes[count++] = node;
    return nodes.subarray(0, count);
  }

  /** Drops the names that are no longer used, and makes room for `length` more bytes. */
  #makeRoom(length: number): void {
    const old = this.#pool;
    const wanted = this.#poolLive + length;
    this.#pool = new Uint8Array(wanted * 2 > old.byteLength ? Math.max(old.byteLength * 2, wanted) : old.byteLength);
    this.#poolUsed = 0;
    for (const node of this.#hashed()) {
      const at = this.#nameAt[node]!;
      this.#pool.set(old.subarray(at, at + this.#nameLength[node]!), this.#poolUsed);
      this.#nameAt[node] = this.#poolUsed;
      this.#poolUsed += this.#nameLength[node]!;
    }
  }
}

function longer<T extends Int32Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** Unknown to whoever makes a stream, so that names can't be chosen to collide. */
const SEED = Math.floor(Math.random() * 0x1_0000_0000);

/** FNV-1a over the name, seeded with the directory. */
function hashOf(parent: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = Math.imul(parent ^ SEED, 0x01000193);
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash ^ (hash >>> 15);
}
