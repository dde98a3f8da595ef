import type { InodeKind } from "../fs/inode.ts";
import type { RestoreCounts, RestoreProblem } from "./report.ts";

/** Work for one thread: plain data, packed, because it is cloned on its way. */
export type RestoreJob = NamesJob | RangeJob | FinishJob;

/** Names of whatever is no directory. */
export interface NamesJob {
  readonly job: "names";
  /** They are the first names of what has several: their content is restored here. */
  readonly linked: boolean;
  readonly groups: readonly NamesGroup[];
  /** Of each name. */
  readonly inodes: BigUint64Array;
  /** Index into `KINDS` of each name. */
  readonly kinds: Uint8Array;
  /** One behind the other. */
  readonly names: Uint8Array;
  /** Byte of `names` behind each name. */
  readonly ends: Uint32Array;
}

/** Names of one directory. */
export interface NamesGroup {
  readonly tree: bigint;
  /** Of the directory in the image, and beneath the target. */
  readonly source: Uint8Array;
  readonly target: Uint8Array;
  /** The directory was empty when the restore began. */
  readonly isNew: boolean;
  /** Index behind its last name. */
  readonly last: number;
}

/** The directory of a `NamesGroup`. */
export type NamesDirectory = Omit<NamesGroup, "last">;

export const KINDS: readonly InodeKind[] = ["file", "symlink", "char", "block", "fifo", "socket"];

/** A large file, of which several threads write parts. */
export interface LargeFile {
  readonly tree: bigint;
  readonly inode: bigint;
  readonly source: Uint8Array;
  /** Directory beneath the target. */
  readonly target: Uint8Array;
  readonly name: Uint8Array;
  /** What it is called until it is complete. */
  readonly temporary: Uint8Array;
}

export interface RangeJob {
  readonly job: "range";
  readonly file: LargeFile;
  readonly start: bigint;
  readonly end: bigint;
}

/** All parts of the file are written: it gets its attributes and its name. */
export interface FinishJob {
  readonly job: "finish";
  readonly file: LargeFile;
}

export interface RestoreResult {
  readonly counts: RestoreCounts;
  readonly problems: readonly RestoreProblem[];
  /** Indexes of names that were not restored, `links` and `large` apart. */
  readonly failed: number[];
  /** Indexes of names whose inode has several: nothing was done. */
  readonly links: { readonly index: number; readonly nlink: number }[];
  /** Large files: they have their size, under temporary names. Between these offsets, content is to be written. */
  readonly large: { readonly index: number; readonly file: LargeFile; readonly edges: readonly bigint[] }[];
}

/** Gathers names for a `NamesJob`. */
export class NamesBuilder {
  readonly #groups: (NamesDirectory & { last: number })[] = [];
  readonly #inodes: bigint[] = [];
  readonly #kinds: number[] = [];
  readonly #names: Uint8Array[] = [];

  get count(): number {
    return this.#names.length;
  }

  add(
    directory: NamesDirectory,
    entry: { readonly name: Uint8Array; readonly inode: bigint; readonly kind: InodeKind },
  ): void {
    const { tree, source, target, isNew } = directory;
    const group = this.#groups.at(-1);
    if (group !== undefined && group.target === target && group.tree === tree) group.last++;
    else this.#groups.push({ tree, source, target, isNew, last: this.count + 1 });
    this.#inodes.push(entry.inode);
    this.#kinds.push(KINDS.indexOf(entry.kind));
    this.#names.push(entry.name);
  }

  build(linked: boolean): NamesJob {
    const ends = new Uint32Array(this.count);
    let end = 0;
    for (const [index, name] of this.#names.entries()) {
      end += name.byteLength;
      ends[index] = end;
    }
    const names = new Uint8Array(end);
    for (const [index, name] of this.#names.entries()) names.set(name, ends[index]! - name.byteLength);
    const inodes = BigUint64Array.from(this.#inodes);
    return { job: "names", linked, groups: this.#groups, inodes, kinds: Uint8Array.from(this.#kinds), names, ends };
  }
}
