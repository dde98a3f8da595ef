/** Where an inode is at the receiver: its name, and the directory that has it. */
export interface NamedParent {
  readonly dir: number;
  readonly dirGeneration: number;
  readonly name: Uint8Array;
  /** It is a temporary name in the root directory. */
  readonly isOrphan: boolean;
  /** Found while the inode had not been processed. */
  readonly isEarly: boolean;
}

interface Entry {
  readonly ino: number;
  readonly generation: number;
  readonly named: NamedParent;
  /** Of the same number, another generation. */
  other: Entry | undefined;
  older: Entry | undefined;
  newer: Entry | undefined;
}

/** So many names the kernel keeps. What it has forgotten it looks up anew, which may give another one. */
const MAX_NAMES = 256;

/** Names that were found, of which the one not used for longest goes first. */
export class NameCache {
  readonly #byNumber = new Map<number, Entry>();
  #count = 0;
  #oldest: Entry | undefined;
  #newest: Entry | undefined;

  /** @param progress A name found early is forgotten once its inode is below that. */
  get(ino: number, generation: number, progress: number): NamedParent | undefined {
    const entry = this.#find(ino, generation);
    if (entry === undefined) return undefined;
    if (entry.named.isEarly && ino < progress) {
      this.#drop(entry);
      return undefined;
    }
    if (entry !== this.#newest) {
      this.#unlink(entry);
      this.#append(entry);
    }
    return entry.named;
  }

  /** @param named Of an inode that is not there. */
  put(ino: number, generation: number, named: NamedParent): void {
    if (this.#count >= MAX_NAMES) this.#drop(this.#oldest!);
    const other = this.#byNumber.get(ino);
    const entry: Entry = { ino, generation, named, other, older: undefined, newer: undefined };
    this.#byNumber.set(ino, entry);
    this.#append(entry);
    this.#count++;
  }

  delete(ino: number, generation: number): void {
    const entry = this.#find(ino, generation);
    if (entry !== undefined) this.#drop(entry);
  }

  #find(ino: number, generation: number): Entry | undefined {
    let entry = this.#byNumber.get(ino);
    while (entry !== undefined && entry.generation !== generation) entry = entry.other;
    return entry;
  }

  #drop(entry: Entry): void {
    this.#unlink(entry);
    this.#count--;
    const first = this.#byNumber.get(entry.ino)!;
    if (first !== entry) {
      let before = first;
      while (before.other !== entry) before = before.other!;
      before.other = entry.other;
    } else if (entry.other === undefined) this.#byNumber.delete(entry.ino);
    else this.#byNumber.set(entry.ino, entry.other);
  }

  #append(entry: Entry): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
  }

  #unlink({ older, newer }: Entry): void {
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
  }
}
