import type { InodeKind } from "../fs/inode.ts";
import type { FilesJob, FilesMemory } from "./files-job.ts";
import { noCounts, type RestoreCounts, type RestoreProblem } from "./report.ts";
import type { Handle } from "./target.ts";

/** Work for one thread: plain data, packed, because it is cloned on its way. */
export type RestoreJob = FilesJob | NamesJob | RangeJob | FinishJob;

/** Names of whatever is no directory: `NamesBuilder` packs them into memory that moves, `NamesReader` unpacks them. */
export interface NamesJob {
  readonly job: "names";
  /** They are the first names of what has several: their content is restored here. */
  readonly linked: boolean;
  readonly groupCount: number;
  readonly nameCount: number;
  /** Trees of the groups, inodes of the names; then `GROUP_WORDS` of each group, and `NAME_WORDS` of each name. */
  readonly numbers: ArrayBuffer;
  /** Both paths of each group, without an end; then the names, a NUL behind each. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The directory that names are in. */
export interface NamesDirectory {
  readonly tree: bigint;
  /** In the image, and beneath the target. */
  readonly source: Uint8Array;
  readonly target: Uint8Array;
  /** The directory was empty when the restore began. */
  readonly isNew: boolean;
  /** Where handles are shared and it is open: it stays so until the job is done. */
  readonly handle?: Handle | undefined;
}

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
  readonly problems: RestoreProblem[];
  /** Indexes of names that were not restored, `links` and `large` apart; of files that are for the long way. */
  readonly failed: number[];
  /** Indexes of names whose inode has several: nothing was done. */
  readonly links: { readonly index: number; readonly nlink: number }[];
  /** Large files: they have their size, under temporary names. Between these offsets, content is to be written. */
  readonly large: { readonly index: number; readonly file: LargeFile; readonly edges: readonly bigint[] }[];
  /** That of a `FilesJob`, to be used again. */
  readonly memory?: FilesMemory;
}

export function emptyResult(): RestoreResult {
  return { counts: noCounts(), problems: [], failed: [], links: [], large: [] };
}

/** Handle or 0, whether it is new, index behind its last name, byte behind each path. */
const GROUP_WORDS = 5;
/** Index into `KINDS`, byte behind the name. */
const NAME_WORDS = 2;
const NO_HANDLE = 0;

/** Gathers names for a `NamesJob`. */
export class NamesBuilder {
  readonly #groups: { readonly directory: NamesDirectory; last: number }[] = [];
  readonly #inodes: bigint[] = [];
  readonly #kinds: number[] = [];
  readonly #names: Uint8Array[] = [];
  #byteLength = 0;

  get count(): number {
    return this.#names.length;
  }

  add(
    directory: NamesDirectory,
    entry: { readonly name: Uint8Array; readonly inode: bigint; readonly kind: InodeKind },
  ): void {
    const group = this.#groups.at(-1);
    if (group?.directory === directory) group.last++;
    else {
      this.#groups.push({ directory, last: this.count + 1 });
      this.#byteLength += directory.source.byteLength + directory.target.byteLength;
    }
    this.#inodes.push(entry.inode);
    this.#kinds.push(KINDS.indexOf(entry.kind));
    this.#names.push(entry.name);
    this.#byteLength += entry.name.byteLength + 1;
  }

  build(linked: boolean): NamesJob {
    const groupCount = this.#groups.length;
    const nameCount = this.count;
    const numbers = new ArrayBuffer(
      (groupCount + nameCount) * 8 + (groupCount * GROUP_WORDS + nameCount * NAME_WORDS) * 4,
    );
    const ids = new BigUint64Array(numbers, 0, groupCount + nameCount);
    const words = new Uint32Array(numbers, ids.byteLength);
    const bytes = new Uint8Array(this.#byteLength);
    let at = 0;
    const put = (part: Uint8Array): number => {
      bytes.set(part, at);
      at += part.byteLength;
      return at;
    };
    for (let index = 0; index < groupCount; index++) {
      const { directory, last } = this.#groups[index]!;
      const { tree, handle, isNew, source, target } = directory;
      ids[index] = tree;
      words.set([handle ?? NO_HANDLE, isNew ? 1 : 0, last, put(source), put(target)], index * GROUP_WORDS);
    }
    for (let index = 0; index < nameCount; index++) {
      ids[groupCount + index] = this.#inodes[index]!;
      const word = groupCount * GROUP_WORDS + index * NAME_WORDS;
      words[word] = this.#kinds[index]!;
      words[word + 1] = put(this.#names[index]!);
      at++;
    }
    return { job: "names", linked, groupCount, nameCount, numbers, bytes };
  }
}

/** Reads what a `NamesBuilder` has packed. */
export class NamesReader {
  readonly groupCount: number;
  readonly #ids: BigUint64Array;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;

  constructor({ groupCount, nameCount, numbers, bytes }: NamesJob) {
    this.groupCount = groupCount;
    this.#ids = new BigUint64Array(numbers, 0, groupCount + nameCount);
    this.#words = new Uint32Array(numbers, this.#ids.byteLength);
    this.#bytes = bytes;
  }

  /** The directory of a group, and the index behind its last name. */
  group(index: number): NamesDirectory & { readonly last: number } {
    const word = index * GROUP_WORDS;
    const [handle, isNew, last, sourceEnd, targetEnd] = this.#words.subarray(word, word + GROUP_WORDS) as unknown as [
      number,
      number,
      number,
      number,
      number,
    ];
    return {
      tree: this.#ids[index]!,
      source: this.#bytes.subarray(index === 0 ? 0 : this.#words[word - 1], sourceEnd),
      target: this.#bytes.subarray(sourceEnd, targetEnd),
      isNew: isNew === 1,
      handle: handle === NO_HANDLE ? undefined : handle,
      last,
    };
  }

  inode(index: number): bigint {
    return this.#ids[this.groupCount + index]!;
  }

  kind(index: number): InodeKind {
    return KINDS[this.#words[this.#word(index)]!]!;
  }

  name(index: number): Uint8Array {
    return this.#bytes.subarray(this.#start(index), this.#words[this.#word(index) + 1]);
  }

  #word(index: number): number {
    return this.groupCount * GROUP_WORDS + index * NAME_WORDS;
  }

  #start(index: number): number {
    if (index > 0) return this.#words[this.#word(index - 1) + 1]! + 1;
    return this.groupCount === 0 ? 0 : this.#words[this.groupCount * GROUP_WORDS - 1]!;
  }
}
