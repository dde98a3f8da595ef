import { compareBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import type { DirectoryEntry } from "../fs/directory.ts";
import type { Inode } from "../fs/inode.ts";
import { joinPath } from "../fs/path.ts";
import { DirectoryGuard } from "../fs/walk.ts";
import type { Context } from "./command.ts";
import type { Failures } from "./failures.ts";
import type { ListingPrinter } from "./listing-printer.ts";

export interface ListingOptions {
  /** Names that begin with a dot, too. */
  readonly all: boolean;
  /** What is below directories, too. */
  readonly recursive: boolean;
  /** In the order of creation. */
  readonly unsorted: boolean;
  /** Whether inodes are wanted, and not only entries. */
  readonly long: boolean;
}

/** A directory to be listed, and how it was named. */
interface Pending {
  readonly shown: string;
  readonly parent: Inode;
  readonly entry: DirectoryEntry;
}

/** Names that are sorted. More would take too much memory. */
const MAX_SORTED = 1 << 17;
const DOT = 0x2e;

/** Lists directories in the manner of `ls`. */
export class Listing {
  readonly #context: Context;
  readonly #options: ListingOptions;
  readonly #printer: ListingPrinter;
  readonly #failures: Failures;

  constructor(context: Context, options: ListingOptions, printer: ListingPrinter, failures: Failures) {
    this.#context = context;
    this.#options = options;
    this.#printer = printer;
    this.#failures = failures;
  }

  /** @param shown How the directory was named, for headings; empty for none. */
  async list(top: Inode, shown: string): Promise<void> {
    const guard = new DirectoryGuard(top);
    const todo: Pending[] = [];
    await this.#listOne(top, shown, todo);
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      try {
        await this.#listOne(await guard.enter(next.parent, next.entry), next.shown, todo);
      } catch (error) {
        this.#failures.note(error);
      }
    }
  }

  /** Prints one directory; the directories in it are left in `todo`, the first one last. */
  async #listOne(directory: Inode, shown: string, todo: Pending[]): Promise<void> {
    const { signal, say } = this.#context;
    await this.#printer.heading(shown);
    let sorts = !this.#options.unsorted;
    let gathered: DirectoryEntry[] = [];
    const inside: Pending[] = [];
    const print = (entries: readonly DirectoryEntry[]) => this.#print(directory, shown, entries, inside);
    for await (const batch of directory.readDirectory({ signal, onDamage: this.#failures.note })) {
      for (const entry of batch) if (this.#options.all || entry.name[0] !== DOT) gathered.push(entry);
      if (sorts && gathered.length <= MAX_SORTED) continue;
      if (sorts) say(`btrkit: warning: ${shown || "the directory"} has too many names to sort them`);
      sorts = false;
      await print(gathered);
      gathered = [];
    }
    if (gathered.length > 0) await print(gathered.sort(byName));
    for (let at = inside.length; at > 0; ) todo.push(inside[--at]!);
  }

  async #print(directory: Inode, shown: string, entries: readonly DirectoryEntry[], inside: Pending[]): Promise<void> {
    if (this.#options.long) {
      for (const entry of entries) await this.#printer.long(directory, entry, await this.#enter(directory, entry));
    } else {
      await this.#printer.entries(directory, entries);
    }
    if (!this.#options.recursive) return;
    for (const entry of entries) {
      if (entry.kind !== "directory") continue;
      const slash = shown.endsWith("/") ? "" : "/";
      inside.push({ shown: `${shown}${slash}${displayName(entry.name)}`, parent: directory, entry });
    }
  }

  async #enter(directory: Inode, entry: DirectoryEntry): Promise<Inode | undefined> {
    try {
      return await directory.enter(entry);
    } catch (error) {
      this.#failures.note(error);
      return undefined;
    }
  }
}

const byName = (a: DirectoryEntry, b: DirectoryEntry): number => compareBytes(a.name, b.name);

/** How an entry is reached, from the top of the filesystem. */
export function entryPath(directory: Inode, entry: DirectoryEntry): Uint8Array {
  return joinPath(directory.path ?? new Uint8Array(0), entry.name);
}
