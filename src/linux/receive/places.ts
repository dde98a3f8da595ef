import { constants } from "node:fs";
import { BtrfsError, KernelError } from "../../errors.ts";
import { statx } from "../attributes.ts";
import { fsync } from "../file.ts";
import type { Native } from "../native.ts";
import { close, openat } from "../open.ts";
import { Directories, type Directory } from "./directories.ts";

const { O_RDWR, O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/** A name in an open directory; `undefined` stands for the directory itself, which is then the root. */
export interface Place {
  readonly directory: Directory;
  readonly name: Uint8Array | undefined;
}

/** The object that the last commands were about. What is known of it needs not be asked, or set again. */
export interface CurrentObject {
  path: string;
  /** Open for reading and writing; absent for what is no regular file. */
  readonly fd: number | undefined;
  uid: number | undefined;
  gid: number | undefined;
  /** Permission bits. */
  mode: number | undefined;
  written: boolean;
  /** In bytes, where it was there before and its end is known. */
  size: bigint | undefined;
  /** Nothing lies behind its end: that was taken away before the last write. */
  isCut: boolean;
}

/** A regular file at work. */
export type OpenFile = CurrentObject & { readonly fd: number };

/** Names of a subvolume, and the one object of it that is at work. Paths are strings of which each character is one byte. */
export class Places {
  readonly directories: Directories;
  readonly #native: Native;
  readonly #fsync: boolean;
  #current: CurrentObject | undefined;

  /** @param fsync Flush each file that was written before it is closed. */
  constructor(native: Native, root: number, fsync: boolean) {
    this.#native = native;
    this.#fsync = fsync;
    this.directories = new Directories(native, root);
  }

  /** The place of a path, its directory open until the next call. */
  at(path: string): Place {
    if (path === "") return { directory: this.directories.root, name: undefined };
    return { directory: this.directories.at(parentOf(path)), name: nameOf(path) };
  }

  /** Two places, whose directories are both open until the next call. */
  pair(first: string, second: string): [Place, Place] {
    const [from, to] = this.directories.pair(parentOf(first), parentOf(second));
    return [
      { directory: from, name: nameOf(first) },
      { directory: to, name: nameOf(second) },
    ];
  }

  /** What is known of the object at `path`, where it is the current one. */
  current(path: string): CurrentObject | undefined {
    return this.#current?.path === path ? this.#current : undefined;
  }

  setCurrent(object: CurrentObject): void {
    this.release();
    this.#current = object;
  }

  /**
   * The regular file at `path`, open for reading and writing until another object is current.
   *
   * @throws {BtrfsError} `kind` for anything else: a device that the stream has made is never opened.
   */
  file(path: string): OpenFile {
    const current = this.current(path);
    if (current?.fd !== undefined) return current as OpenFile;
    this.release();
    const { fd, size } = openRegular(this.#native, this.at(path), O_RDWR);
    const object = { path, fd, size, isCut: false, uid: undefined, gid: undefined, mode: undefined, written: false };
    this.#current = object;
    return object;
  }

  isDirectory(path: string): boolean {
    try {
      const { directory, name } = this.at(path);
      return (statx(this.#native, directory.fd, name).mode & constants.S_IFMT) === constants.S_IFDIR;
    } catch (error) {
      if (error instanceof KernelError) return false;
      throw error;
    }
  }

  /** The name `from` is now `to`. */
  moved(from: string, to: string): void {
    this.directories.moved(from, to);
    if (this.#current?.path === from) this.#current.path = to;
    // Where it lies now, if it lay below, is not worth finding out.
    else if (this.#current?.path === to || this.#current?.path.startsWith(`${from}/`)) this.release();
  }

  removed(path: string): void {
    this.directories.removed(path);
    if (this.#current?.path === path) this.release();
  }

  /** Closes the current object. */
  release(): void {
    const current = this.#current;
    this.#current = undefined;
    if (current?.fd === undefined) return;
    try {
      if (this.#fsync && current.written) fsync(this.#native, current.fd);
    } finally {
      close(this.#native, current.fd);
    }
  }

  /** Closes the current object and all directories: what is known of them may not be true any more. */
  forget(): void {
    this.release();
    this.directories.clear();
    this.directories.root.isPlain = undefined;
  }

  close(): void {
    try {
      this.release();
    } finally {
      this.directories.clear();
    }
  }
}

/** Path of the directory that the last name of `path` is in. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

/** The last name of `path`. */
export function nameOf(path: string): Uint8Array {
  return Buffer.from(path.slice(path.lastIndexOf("/") + 1), "latin1");
}

/**
 * Opens what is a regular file, and nothing else: opening a device or a FIFO does things.
 *
 * @param access `O_RDWR` or `O_RDONLY`.
 */
function openRegular(native: Native, { directory, name }: Place, access: number): { fd: number; size: bigint } {
  if (name === undefined || !isRegular(statx(native, directory.fd, name).mode)) throw notRegular();
  // A symbolic link or FIFO that somebody has put there since is refused or harmless.
  const fd = openat(native, directory.fd, name, access | O_NOFOLLOW | O_NONBLOCK);
  const { mode, size } = statx(native, fd, undefined);
  if (isRegular(mode)) return { fd, size };
  close(native, fd);
  throw notRegular();
}

export function openForReading(native: Native, place: Place): number {
  return openRegular(native, place, O_RDONLY).fd;
}

function isRegular(mode: number): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFREG;
}

function notRegular(): BtrfsError {
  return new BtrfsError("kind", "Cannot open file: it is no regular file");
}
