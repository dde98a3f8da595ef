import { constants } from "node:fs";
import { statx } from "../attributes.ts";
import { FS_COMPR_FL, FS_NOCOMP_FL, FS_NOCOW_FL, getFileFlags } from "../file-ioctls.ts";
import type { Native } from "../native.ts";
import { close, openBeneath } from "../open.ts";
import { listXattrs } from "../xattr.ts";

const FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** Descriptors that are kept open. A soft limit of 1024 leaves room for all else. */
const MAX_OPEN = 256;

/** Longest path that one call takes, less some room. */
const MAX_STEP = 4000;

const S_ISGID = 0o2000;

/** Flags that btrfs hands down to what is made in a directory. */
const INHERITED = FS_COMPR_FL | FS_NOCOMP_FL | FS_NOCOW_FL;

/** An open directory of the subvolume. */
export interface Directory {
  readonly fd: number;
  /** Whether what is made in it inherits nothing from it. Unknown until somebody asks. */
  isPlain: boolean | undefined;
}

/** A directory that is open, or that open ones lie below. */
interface Branch {
  readonly parent: Branch | undefined;
  /** Its name in `parent`. */
  readonly name: string;
  readonly children: Map<string, Branch>;
  open: Directory | undefined;
}

/**
 * Open directories by path, so that a path of a stream, long and often the same, is resolved once.
 *
 * A path is opened below the nearest directory that is open, without following symbolic links or passing into another
 * mount on the way. Paths are strings of which each character is one byte.
 */
export class Directories {
  readonly root: Directory;
  readonly #native: Native;
  readonly #top: Branch;
  /** The open ones but the root, the one used longest ago first. */
  readonly #used = new Set<Branch>();
  #lastPath = "";
  #last: Directory;

  /** @param fd The root of the subvolume; it stays the caller's. */
  constructor(native: Native, fd: number) {
    this.#native = native;
    this.root = { fd, isPlain: undefined };
    this.#top = { parent: undefined, name: "", children: new Map(), open: this.root };
    this.#last = this.root;
  }

  /**
   * The directory at `path`, open until the next call.
   *
   * @throws {KernelError} as opening it does: ENOENT, ENOTDIR or ELOOP for a symbolic link.
   */
  at(path: string): Directory {
    if (path === this.#lastPath) return this.#last;
    const directory = this.#resolve(path);
    this.#lastPath = path;
    this.#last = directory;
    return directory;
  }

  /** Both directories, open until the next call. */
  pair(first: string, second: string): [Directory, Directory] {
    return [this.at(first), this.at(second)];
  }

  /** The name at `from` is now the one at `to`. */
  moved(from: string, to: string): void {
    // Opened again where it is needed; most names that move are not directories.
    this.removed(to);
    this.removed(from);
  }

  /** The name at `path` is gone, or another thing. */
  removed(path: string): void {
    const known = this.#known(path);
    if (known === undefined || known === this.#top) return;
    this.#forgetLast();
    this.#closeAll(known);
    this.#prune(known);
  }

  /** Whether anything made in the directory starts with nothing but what it is given: no default ACL, no flags, no group. */
  isPlain(directory: Directory): boolean {
    directory.isPlain ??= this.#looksPlain(directory);
    return directory.isPlain;
  }

  /** Attributes of the directory at `path` change. */
  changed(path: string): void {
    const known = this.#known(path)?.open;
    if (known !== undefined) known.isPlain = undefined;
  }

  /** Closes all but the root. */
  clear(): void {
    this.#forgetLast();
    for (const branch of this.#used) close(this.#native, branch.open!.fd);
    this.#used.clear();
    this.#top.children.clear();
  }

  #resolve(path: string): Directory {
    let branch = this.#top;
    let [nearest, below] = [branch, 0];
    for (let start = 0; start < path.length; ) {
      const slash = path.indexOf("/", start);
      const end = slash < 0 ? path.length : slash;
      const child = branch.children.get(path.slice(start, end));
      if (child === undefined) break;
      branch = child;
      start = end + 1;
      if (branch.open !== undefined) [nearest, below] = [branch, start];
    }
    if (nearest !== this.#top) {
      this.#used.delete(nearest);
      this.#used.add(nearest);
    }
    return below >= path.length ? nearest.open! : this.#open(nearest, path.slice(below));
  }

  /** Opens the directory at `path` below an open one. */
  #open(from: Branch, path: string): Directory {
    let at = from;
    for (let rest = path; rest !== ""; ) {
      const cut = rest.length > MAX_STEP ? rest.lastIndexOf("/", MAX_STEP) : -1;
      const step = cut < 0 ? rest : rest.slice(0, cut);
      rest = cut < 0 ? "" : rest.slice(cut + 1);
      const fd = openBeneath(this.#native, at.open!.fd, Buffer.from(step, "latin1"), FLAGS);
      at = this.#branch(at, step);
      at.open = { fd, isPlain: undefined };
      this.#used.add(at);
    }
    while (this.#used.size > MAX_OPEN) this.#closeOldest();
    return at.open!;
  }

  #branch(from: Branch, path: string): Branch {
    let at = from;
    for (const name of path.split("/")) {
      let child = at.children.get(name);
      if (child === undefined) {
        child = { parent: at, name, children: new Map(), open: undefined };
        at.children.set(name, child);
      }
      at = child;
    }
    return at;
  }

  #closeOldest(): void {
    const [oldest] = this.#used;
    this.#used.delete(oldest!);
    const { fd } = oldest!.open!;
    oldest!.open = undefined;
    this.#prune(oldest!);
    close(this.#native, fd);
  }

  /** Forgets a directory that is not open, and those above that are of no use any more. */
  #prune(branch: Branch): void {
    let at = branch;
    while (at.parent !== undefined && at.open === undefined && at.children.size === 0) {
      at.parent.children.delete(at.name);
      at = at.parent;
    }
  }

  #known(path: string): Branch | undefined {
    let branch: Branch | undefined = this.#top;
    for (let start = 0; start < path.length && branch !== undefined; ) {
      const slash = path.indexOf("/", start);
      const end = slash < 0 ? path.length : slash;
      branch = branch.children.get(path.slice(start, end));
      start = end + 1;
    }
    return branch;
  }

  #closeAll(branch: Branch): void {
    for (const child of branch.children.values()) this.#closeAll(child);
    branch.children.clear();
    if (branch.open === undefined) return;
    const { fd } = branch.open;
    branch.open = undefined;
    this.#used.delete(branch);
    close(this.#native, fd);
  }

  #forgetLast(): void {
    this.#lastPath = "";
    this.#last = this.root;
  }

  #looksPlain({ fd }: Directory): boolean {
    if ((statx(this.#native, fd, undefined).mode & S_ISGID) !== 0) return false;
    if ((getFileFlags(this.#native, fd) & INHERITED) !== (getFileFlags(this.#native, this.root.fd) & INHERITED))
      return false;
    return listXattrs(this.#native, fd, undefined).every(
      (name) => !/^(btrfs\.|system\.)/.test(Buffer.from(name).toString("latin1")),
    );
  }
}
