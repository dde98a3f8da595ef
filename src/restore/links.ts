import type { InodeKind } from "../fs/inode.ts";
import type { OpenDirectory } from "./open-directory.ts";

/** One name to restore, of whatever is no directory. */
export interface PendingName {
  readonly directory: OpenDirectory;
  readonly name: Uint8Array;
  readonly inode: bigint;
  readonly kind: InodeKind;
}

/** An inode with several names. */
interface LinkGroup {
  /** The name that is, or will be, restored with its content. */
  readonly first: PendingName;
  state: "running" | "done" | "failed";
  waiting: PendingName[];
  /** Names that are still to come, as far as the inode says. */
  left: number;
}

/** What to do with a name. */
export type LinkStep =
  | { readonly step: "restore" }
  /** The first name is not there yet. */
  | { readonly step: "wait" }
  | { readonly step: "link"; readonly first: PendingName; readonly isDone: boolean };

/** Keeps track of inodes with several names, so that each is restored once. Forgets those whose names have all been seen. */
export class LinkTable {
  readonly #groups = new Map<string, LinkGroup>();

  /** @param nlink How many names the inode says it has. */
  add(name: PendingName, nlink: number): LinkStep {
    const key = keyOf(name);
    const group = this.#groups.get(key);
    if (group === undefined) {
      this.#groups.set(key, { first: name, state: "running", waiting: [], left: nlink - 1 });
      return { step: "restore" };
    }
    group.left--;
    if (group.state === "running") {
      group.waiting.push(name);
      return { step: "wait" };
    }
    if (group.left <= 0) this.#groups.delete(key);
    return { step: "link", first: group.first, isDone: group.state === "done" };
  }

  /** The first name is restored, or not. @returns The names that waited for it. */
  settle(first: PendingName, isDone: boolean): readonly PendingName[] {
    const key = keyOf(first);
    const group = this.#groups.get(key);
    if (group?.first !== first) return [];
    const { waiting } = group;
    group.state = isDone ? "done" : "failed";
    group.waiting = [];
    if (group.left <= 0) this.#groups.delete(key);
    return waiting;
  }
}

function keyOf({ directory, inode }: PendingName): string {
  return `${directory.tree} ${inode}`;
}
