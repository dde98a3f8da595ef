import { setImmediate } from "node:timers/promises";
import { joinPath } from "../fs/path.ts";
import type { Handle, NodeKind } from "../restore/target.ts";
import type { AttributeKeeper, Reach } from "./directory-attributes.ts";
import { cloneRange } from "./directory-content.ts";
import type { DirectoryHost, HostStat } from "./directory-host.ts";
import type { Difference, Records } from "./directory-records.ts";

const NOWHERE = new Uint8Array(0);

/** What a copy takes along. */
export interface CopyContext {
  readonly host: DirectoryHost;
  readonly records: Records;
  readonly keeper: AttributeKeeper;
  /** Of the source, by path. */
  readonly differences: ReadonlyMap<string, Difference>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Copies all that is in a directory, and its attributes, into another one, which is empty. Files share their
 * storage where the host can. Hard links stay among themselves; no link leads from one tree to the other.
 */
export async function copyTree(context: CopyContext, parent: Handle, name: Uint8Array, to: Handle): Promise<void> {
  const stat = context.host.stat(parent, name);
  const from = enterDirectory(context.host, parent, name);
  try {
    await new TreeCopier(context, to).copy(from.handle, to, stat, NOWHERE);
  } finally {
    from.leave();
  }
}

/** Entries between two looks at whether to stop. */
const ENTRIES_A_TURN = 256;

class TreeCopier {
  readonly #context: CopyContext;
  readonly #host: DirectoryHost;
  /** With the new tree as its top. */
  readonly #made: DirectoryHost;
  /** The first path of an inode that has several, by its number in the source. */
  readonly #linked = new Map<bigint, Uint8Array>();
  #entries = 0;

  constructor(context: CopyContext, to: Handle) {
    this.#context = context;
    this.#host = context.host;
    this.#made = context.host.below(to);
  }

  /** @param stat Of the source, before anything was done to it. */
  async copy(from: Handle, to: Handle, stat: HostStat, path: Uint8Array): Promise<void> {
    for (const name of this.#host.list(from)) {
      if (++this.#entries % ENTRIES_A_TURN === 0) await setImmediate();
      this.#context.signal?.throwIfAborted();
      await this.#copyEntry({ handle: from, name }, { handle: to, name }, joinPath(path, name));
    }
    this.#copyAttributes({ handle: from, name: undefined }, { handle: to, name: undefined }, stat, path);
  }

  async #copyEntry(from: Reach, to: Reach, path: Uint8Array): Promise<void> {
    const host = this.#host;
    const name = from.name!;
    const stat = host.stat(from.handle, name);
    const first = this.#linked.get(stat.inode);
    if (first !== undefined) {
      linkTo(this.#made, first, to.handle, name);
      return;
    }
    if (stat.kind === "directory") {
      host.makeDirectory(to.handle, name);
      await this.#copyDirectory(from, to, stat, path);
      return;
    }
    if (stat.nlink > 1) this.#linked.set(stat.inode, path);
    if (stat.kind === "file") {
      this.#copyFile(from, to, stat, path);
      return;
    }
    if (stat.kind === "symlink") host.makeSymlink(to.handle, name, host.readLink(from.handle, name));
    else if (!host.makeNode(to.handle, name, stat.kind as NodeKind, stat.rdev)) {
      host.close(host.createFile(to.handle, name));
      this.#context.keeper.noteNode(to, { kind: stat.kind, ...(stat.rdev ?? { major: 0, minor: 0 }) });
    }
    this.#copyAttributes(from, to, stat, path);
  }

  async #copyDirectory(from: Reach, to: Reach, stat: HostStat, path: Uint8Array): Promise<void> {
    const source = enterDirectory(this.#host, from.handle, from.name!);
    try {
      const made = enterDirectory(this.#host, to.handle, to.name!);
      try {
        await this.copy(source.handle, made.handle, stat, path);
      } finally {
        made.leave();
      }
    } finally {
      source.leave();
    }
  }

  #copyFile(from: Reach, to: Reach, stat: HostStat, path: Uint8Array): void {
    const host = this.#host;
    // Until all is read: attributes of users are read by who may read the file, open or not.
    const restore = loosen(host, from.handle, from.name!, 0o400);
    try {
      const source = host.openRegular(from.handle, from.name!, "read");
      try {
        const made = host.createFile(to.handle, from.name!);
        try {
          cloneRange(host, source, 0n, made, 0n, stat.size);
          this.#copyAttributes(from, { handle: made, name: undefined }, stat, path);
        } finally {
          host.close(made);
        }
      } finally {
        host.close(source);
      }
    } finally {
      restore();
    }
  }

  #copyAttributes(from: Reach, to: Reach, stat: HostStat, path: Uint8Array): void {
    const { keeper, records, differences } = this.#context;
    keeper.setOwner(to, stat.uid, stat.gid);
    for (const { name, value } of this.#host.xattrs(from.handle, from.name)) keeper.setXattr(to, name, value);
    // After an ACL: in that of a directory whose owner was kept out, he has rights while it is looked into.
    if (stat.kind !== "symlink") keeper.setMode(to, stat.mode);
    keeper.setTimes(to, stat.atime, stat.mtime);
    const difference = differences.get(Buffer.from(path).toString("latin1"));
    if (difference !== undefined) records.adopt(this.#host.stat(to.handle, to.name).inode, difference);
  }
}

/** Gives what the host's tree has at a path another name. */
export function linkTo(host: DirectoryHost, path: Uint8Array, directory: Handle, name: Uint8Array): void {
  const slash = path.lastIndexOf(0x2f);
  const parent = host.openDirectory(path.subarray(0, Math.max(slash, 0)));
  try {
    host.link(parent, path.subarray(slash + 1), directory, name);
  } finally {
    host.close(parent);
  }
}

/** A directory that is looked into. */
export interface EnteredDirectory {
  readonly handle: Handle;
  leave(): void;
}

/** Opens a directory, also one whose mode keeps its own owner out: that gets its mode back when it is left. */
export function enterDirectory(host: DirectoryHost, parent: Handle, name: Uint8Array): EnteredDirectory {
  const restore = loosen(host, parent, name, 0o500);
  try {
    const handle = host.below(parent).openDirectory(name);
    const leave = () => {
      host.close(handle);
      restore();
    };
    return { handle, leave };
  } catch (error) {
    restore();
    throw error;
  }
}

/** Opens a file, also one whose mode keeps its own owner out. */
export function openForReading(host: DirectoryHost, directory: Handle, name: Uint8Array): Handle {
  const restore = loosen(host, directory, name, 0o400);
  try {
    return host.openRegular(directory, name, "read");
  } finally {
    restore();
  }
}

/** Gives the owner rights, where he is us and lacks them. @returns What takes them back. */
function loosen(host: DirectoryHost, directory: Handle, name: Uint8Array, needed: number): () => void {
  if (host.isPrivileged) return () => {};
  const { mode, uid, kind } = host.stat(directory, name);
  const isOurs = uid === host.uid && (kind === "file" || kind === "directory");
  if (!isOurs || (mode & needed) === needed || !host.setMode(directory, name, mode | needed)) return () => {};
  return () => {
    host.setMode(directory, name, mode);
  };
}

/** Opens a regular file of a tree whose modes may keep out who made it. */
export function openSourceFile(host: DirectoryHost, directory: Handle, path: Uint8Array): Handle {
  const end = path.indexOf(0x2f);
  if (end < 0) return openForReading(host, directory, path);
  const below = enterDirectory(host, directory, path.subarray(0, end));
  try {
    return openSourceFile(host, below.handle, path.subarray(end + 1));
  } finally {
    below.leave();
  }
}
