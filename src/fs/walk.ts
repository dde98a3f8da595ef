import { equalBytes } from "../bytes/bytes.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import type { DirectoryEntry } from "./directory.ts";
import type { Inode } from "./inode.ts";

export interface WalkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes what can't be read, in place of ending the walk. */
  readonly onDamage?: ((error: BtrfsError) => void) | undefined;
  /** Whether to go into a directory; into all of them unless said. */
  readonly enters?: ((entry: DirectoryEntry, directory: Inode) => boolean) | undefined;
}

/** Some of the entries of a directory; the rest follows before any other directory's. */
export interface WalkStep {
  readonly directory: Inode;
  readonly entries: readonly DirectoryEntry[];
}

/** Everything below a directory: each directory whole, then those in it. It ends, whatever the directories say. */
export async function* walk(top: Inode, options: WalkOptions = {}): AsyncGenerator<WalkStep> {
  const { signal, onDamage, enters = () => true } = options;
  const guard = new DirectoryGuard(top);
  const todo: { readonly parent: Inode; readonly entry: DirectoryEntry }[] = [];
  for (let directory: Inode | undefined = top; ; ) {
    if (directory !== undefined) {
      const inside: DirectoryEntry[] = [];
      for await (const entries of directory.readDirectory({ signal, onDamage })) {
        yield { directory, entries };
        for (const entry of entries) if (entry.kind === "directory" && enters(entry, directory)) inside.push(entry);
      }
      for (const entry of inside.reverse()) todo.push({ parent: directory, entry });
    }
    const next = todo.pop();
    if (next === undefined) return;
    directory = await guard.enter(next.parent, next.entry).catch((error: unknown) => {
      if (!(error instanceof BtrfsError) || onDamage === undefined) throw error;
      onDamage(error);
      return undefined;
    });
  }
}

/**
 * Keeps a descent from going round in circles, and from seeing one directory by many ways. A directory has one name
 * only; one that has another than that by which it is reached, or several, is let in once.
 */
export class DirectoryGuard {
  readonly #once = new Set<string>();

  constructor(top: Inode) {
    this.#once.add(idOf(top));
  }

  /** As `directory.enter`. @throws {CorruptError} for a directory that was entered before. */
  async enter(parent: Inode, entry: DirectoryEntry): Promise<Inode> {
    const child = await parent.enter(entry);
    if (child.kind !== "directory" || child.isPlaceholder || (await isOnlyName(parent, entry, child))) return child;
    const id = idOf(child);
    if (this.#once.has(id)) {
      throw new CorruptError("Cannot enter directory: it has been entered by another name", child.where);
    }
    this.#once.add(id);
    return child;
  }
}

async function isOnlyName(parent: Inode, entry: DirectoryEntry, child: Inode): Promise<boolean> {
  if (entry.subvolume !== undefined || child.number === FIRST_FREE_OBJECTID) return false;
  const names = await child.names();
  const [only] = names;
  return names.length === 1 && only!.parent === parent.number && equalBytes(only!.name, entry.name);
}

function idOf({ subvolume, number }: Inode): string {
  return `${subvolume.id} ${number}`;
}
