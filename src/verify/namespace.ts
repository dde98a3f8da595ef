import { NameTable, NONE, ROOT } from "./name-table.ts";

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

const SLASH = 0x2f;

/**
 * The names that exist while a stream is carried out: a tree, so that renaming a directory moves all below it.
 *
 * A directory that the stream made is known entirely; one that came from outside may hold anything, so a name in it exists until the
 * stream removes it.
 *
 * In the table, `since` is for a directory that is known entirely, and for a name that is known to be absent, the epoch since when.
 */
export class Namespace {
  readonly #table = new NameTable();
  /** Each `forget` begins a new one, so that it costs nothing however often commands are lost. */
  #epoch = 1;

  /** @param complete Whether the subvolume starts empty: true for a full stream, false for an increment. */
  constructor(complete: boolean) {
    this.#table.kind[ROOT] = DIRECTORY;
    this.#table.since[ROOT] = complete ? this.#epoch : 0;
  }

  /** Names remembered, those that are known to be absent included. */
  get size(): number {
    return this.#table.size;
  }

  /** Bytes that are held for them. */
  get byteLength(): number {
    return this.#table.byteLength;
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
    if (this.#kindOf(node) === UNKNOWN) this.#table.kind[node] = NUMBER_OF[kind];
    return this.#table.kind[node] === NUMBER_OF[kind]
      ? undefined
      : `is a ${KINDS[this.#table.kind[node]!]}, not a ${kind}`;
  }

  remove(bytes: Uint8Array, start: number, end: number, what: "directory" | "other"): Complaint {
    const node = this.#find(bytes, start, end);
    if (node === NONE || this.#isAbsent(node)) return "does not exist at this point of the stream";
    if (node === ROOT) return "is the root of the subvolume";
    const kind = this.#kindOf(node);
    if (kind !== UNKNOWN && (kind === DIRECTORY) !== (what === "directory")) return `is a ${KINDS[kind]}`;
    const known = this.#table.children(node);
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
    if (this.#table.kind[node] === DIRECTORY) return "links to a directory";
    return this.#enter(bytes, to, toEnd, this.#kindOf(node), false);
  }

  /** Enters a name, or moves `moved` to it. */
  #enter(bytes: Uint8Array, start: number, end: number, kind: number, complete: boolean, moved = NONE): Complaint {
    if (start === end) return "is the root of the subvolume";
    let slash = end;
    while (slash > start && bytes[slash - 1] !== SLASH) slash--;
    const parent = slash === start ? ROOT : this.#find(bytes, start, slash - 1);
    if (parent === NONE || this.#isAbsent(parent)) return "lies in a directory that does not exist";
    if (this.#kindOf(parent) === UNKNOWN) this.#table.kind[parent] = DIRECTORY;
    if (this.#table.kind[parent] !== DIRECTORY) return `lies in a ${KINDS[this.#table.kind[parent]!]}`;
    if (moved !== NONE && this.#isBelow(parent, moved)) return "lies inside the directory that is moved";
    const there = this.#table.find(parent, bytes, slash, end);
    // A name that was only inferred from outside may have been wrong; one that the stream made is not.
    if (there !== NONE && !this.#isAbsent(there) && this.#kindOf(there) !== UNKNOWN) return "exists already";
    if (there !== NONE) this.#table.drop(there);
    if (moved === NONE) {
      this.#add(parent, bytes, slash, end, kind, complete);
      return undefined;
    }
    this.#move(moved, parent, bytes, slash, end);
    return undefined;
  }

  /** Where anything may come from outside, that the old name is gone has to be remembered. */
  #move(node: number, parent: number, bytes: Uint8Array, start: number, end: number): void {
    const stays = !this.#isComplete(this.#table.parent(node));
    const left = this.#table.move(node, parent, bytes, start, end, stays);
    if (left !== NONE) this.#setAbsent(left);
  }

  #isAbsent(node: number): boolean {
    return this.#table.kind[node] === ABSENT && this.#table.since[node] === this.#epoch;
  }

  /** A name that was absent before commands were lost may be anything. */
  #kindOf(node: number): number {
    const kind = this.#table.kind[node]!;
    return kind === ABSENT && this.#table.since[node] !== this.#epoch ? UNKNOWN : kind;
  }

  /** Whether everything below the directory is known. */
  #isComplete(node: number): boolean {
    return this.#table.since[node] === this.#epoch && this.#table.kind[node] !== ABSENT;
  }

  #isBelow(node: number, ancestor: number): boolean {
    for (let at = node; at !== NONE; at = this.#table.parent(at)) if (at === ancestor) return true;
    return false;
  }

  #find(bytes: Uint8Array, start: number, end: number): number {
    let node = ROOT;
    let at = start;
    while (at < end) {
      let slash = at;
      while (slash < end && bytes[slash] !== SLASH) slash++;
      let child = this.#table.find(node, bytes, at, slash);
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

  #add(parent: number, bytes: Uint8Array, start: number, end: number, kind: number, complete: boolean): number {
    const node = this.#table.add(parent, bytes, start, end);
    this.#table.kind[node] = kind;
    this.#table.since[node] = complete ? this.#epoch : 0;
    return node;
  }

  /** The name is gone. Where anything may come from outside, that it is gone has to be remembered. */
  #leave(node: number): void {
    if (this.#isComplete(this.#table.parent(node))) this.#table.drop(node);
    else this.#setAbsent(node);
  }

  #setAbsent(node: number): void {
    this.#table.kind[node] = ABSENT;
    this.#table.since[node] = this.#epoch;
  }
}
