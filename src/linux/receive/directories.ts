import { constants } from "node:fs";
import { statx } from "../attributes.ts";
import { FS_COMPR_FL, FS_NOCOMP_FL, FS_NOCOW_FL, getFileFlags } from "../file-ioctls.ts";
import type { Native } from "../native.ts";
import { close, openBeneath } from "../open.ts";
import { listXattrs } from "../xattr.ts";

const FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** Descriptors that are kept open. A soft limit of 1024 leaves room for all else. */
const MAX_OPEN = 256;

const S_ISGID = 0o2000;

/** Flags that btrfs hands down to what is made in a directory. */
const INHERITED = FS_COMPR_FL | FS_NOCOMP_FL | FS_NOCOW_FL;

/** An open directory of the subvolume. */
export interface Directory {
  readonly fd: number;
  readonly parent: Directory | undefined;
  readonly children: Map<string, Directory>;
  /** Its name in `parent`. */
  readonly name: string;
  /** Whether what is made in it inherits nothing from it. Unknown until somebody asks. */
  isPlain: boolean | undefined;
}

/**
 * Open directories by path, so that a path of a stream, long and often the same, is resolved once.
 *
 * Every component is opened by its own call, below its parent, without following symbolic links or passing into another
 * mount. Paths are strings of which each character is one byte.
 */
export class Directories {
  readonly root: Directory;
  readonly #native: Native;
  #open = 0;
  #lastPath = "";
  #last: Directory;

  /** @param fd The root of the subvolume; it stays the caller's. */
  constructor(native: Native, fd: number) {
    this.#native = native;
    this.root = { fd, parent: undefined, children: new Map(), name: "", isPlain: undefined };
    this.#last = this.root;
  }

  /**
   * The directory at `path`, open until the next call.
   *
   * @throws {KernelError} as opening it does: ENOENT, ENOTDIR also for a symbolic link.
   */
  at(path: string): Directory {
    if (path === this.#lastPath) return this.#last;
    if (this.#open >= MAX_OPEN) this.clear();
    return this.#resolve(path);
  }

  /** Both directories, open until the next call. */
  pair(first: string, second: string): [Directory, Directory] {
    if (this.#open >= MAX_OPEN) this.clear();
    return [this.#resolve(first), this.#resolve(second)];
  }

  #resolve(path: string): Directory {
    let directory = this.root;
    for (let start = 0; start < path.length; ) {
      const slash = path.indexOf("/", start);
      const end = slash < 0 ? path.length : slash;
      directory = this.#child(directory, path.slice(start, end));
      start = end + 1;
    }
    this.#lastPath = path;
    this.#last = directory;
    return directory;
  }

  /** The name at `from` is now the one at `to`: a directory takes its descriptor along. */
  moved(from: string, to: string): void {
    // Opened again where it is needed; most names that move are not directories.
    this.removed(to);
    this.removed(from);
  }

  /** The name at `path` is gone, or another thing. */
  removed(path: string): void {
    const known = this.#known(path);
    if (known === undefined || known === this.root) return;
    this.#forgetLast();
    known.parent!.children.delete(known.name);
    this.#close(known);
  }

  /** Whether anything made in the directory starts with nothing but what it is given: no default ACL, no flags, no group. */
  isPlain(directory: Directory): boolean {
    directory.isPlain ??= this.#looksPlain(directory);
    return directory.isPlain;
  }

  /** Attributes of the directory at `path` change. */
  changed(path: string): void {
    const known = path === "" ? this.root : this.#known(path);
    if (known !== undefined) known.isPlain = undefined;
  }

  /** Closes all but the root. */
  clear(): void {
    this.#forgetLast();
    for (const child of this.root.children.values()) this.#close(child);
    this.root.children.clear();
  }

  #child(parent: Directory, name: string): Directory {
    const known = parent.children.get(name);
    if (known !== undefined) return known;
    const fd = openBeneath(this.#native, parent.fd, Buffer.from(name, "latin1"), FLAGS);
    const child: Directory = { fd, parent, children: new Map(), name, isPlain: undefined };
    parent.children.set(name, child);
    this.#open++;
    return child;
  }

  #known(path: string): Directory | undefined {
    let directory: Directory | undefined = this.root;
    for (let start = 0; start < path.length && directory !== undefined; ) {
      const slash = path.indexOf("/", start);
      const end = slash < 0 ? path.length : slash;
      directory = directory.children.get(path.slice(start, end));
      start = end + 1;
    }
    return directory;
  }

  #close(directory: Directory): void {
    for (const child of directory.children.values()) this.#close(child);
    close(this.#native, directory.fd);
    this.#open--;
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
