import { constants } from "node:fs";
import { KernelError } from "../errors.ts";
import type { InodeKind } from "../fs/inode.ts";
import {
  copyBytes,
  type DirectoryHost,
  type HostSegment,
  type HostStat,
  type HostXattr,
} from "../node/directory-host.ts";
import { NodeDirectoryHost } from "../node/node-directory-host.ts";
import { type Handle, TargetError } from "../restore/target.ts";
import { statx } from "./attributes.ts";
import { call } from "./call.ts";
import { renameat2, rmdirat, unlinkat } from "./entries.ts";
import { errnoOf } from "./errno.ts";
import { copyFileRange, FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, fallocate, flock, fsync, pread, syncfs } from "./file.ts";
import { cloneRange } from "./file-ioctls.ts";
import { loadNative, type Native } from "./native.ts";
import { openat, readDirectory, readlinkat } from "./open.ts";
import { closeRestoreHost, openRestoreHost } from "./restore-host.ts";
import { held, LinuxRestoreTarget, refused } from "./restore-target.ts";
import { findXattr, listXattrs, removeXattr } from "./xattr.ts";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, S_IFMT } = constants;
/** `SEEK_DATA` and `SEEK_HOLE` of `linux/fs.h`. */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

const KINDS: Readonly<Record<number, InodeKind>> = {
  [constants.S_IFREG]: "file",
  [constants.S_IFDIR]: "directory",
  [constants.S_IFLNK]: "symlink",
  [constants.S_IFCHR]: "char",
  [constants.S_IFBLK]: "block",
  [constants.S_IFIFO]: "fifo",
  [constants.S_IFSOCK]: "socket",
};

/** A directory of Linux, with all that its filesystem can do. */
export class LinuxDirectoryHost extends LinuxRestoreTarget implements DirectoryHost {
  readonly isPrivileged = process.getuid?.() === 0;
  readonly uid = process.getuid?.() ?? 0;
  readonly #native: Native;

  /** @param root Descriptor of the open directory; it stays the caller's. */
  constructor(native: Native, root: number) {
    super(native, root);
    this.#native = native;
  }

  nameFault(): string | undefined {
    return undefined;
  }

  below(directory: Handle): LinuxDirectoryHost {
    return new LinuxDirectoryHost(this.#native, directory);
  }

  openRegular(directory: Handle, name: Uint8Array, access: "read" | "write"): Handle {
    const { kind } = this.stat(directory, name);
    if (kind !== "file") throw noFile(kind);
    const flags = (access === "read" ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK;
    const file = refused(() => openat(this.#native, directory, name, flags));
    const opened = this.stat(file, undefined).kind;
    if (opened === "file") return file;
    this.close(file);
    throw noFile(opened);
  }

  read(file: Handle, target: Uint8Array, at: bigint): number {
    return refused(() => pread(this.#native, file, target, at));
  }

  stat(handle: Handle, name: Uint8Array | undefined): HostStat {
    return refused(() => {
      const found = statx(this.#native, handle, name);
      const kind = KINDS[found.mode & S_IFMT] ?? "file";
      const time = ({ sec, nsec }: { sec: bigint; nsec: number }) => sec * 1_000_000_000n + BigInt(nsec);
      return {
        kind,
        mode: found.mode & 0o7777,
        uid: found.uid,
        gid: found.gid,
        nlink: found.nlink,
        inode: found.ino,
        device: `${found.devMajor}:${found.devMinor}`,
        size: found.size,
        atime: time(found.atime),
        mtime: time(found.mtime),
        rdev: kind === "char" || kind === "block" ? { major: found.rdevMajor, minor: found.rdevMinor } : undefined,
      };
    });
  }

  list(directory: Handle): Uint8Array[] {
    return refused(() => Array.from(readDirectory(this.#native, directory), ({ name }) => name));
  }

  readLink(directory: Handle, name: Uint8Array): Uint8Array {
    return refused(() => readlinkat(this.#native, directory, name));
  }

  move(fromDirectory: Handle, from: Uint8Array, directory: Handle, name: Uint8Array): void {
    refused(() => renameat2(this.#native, fromDirectory, from, directory, name));
  }

  unlink(directory: Handle, name: Uint8Array): void {
    refused(() => unlinkat(this.#native, directory, name));
  }

  removeDirectory(directory: Handle, name: Uint8Array): void {
    refused(() => rmdirat(this.#native, directory, name));
  }

  xattrs(handle: Handle, name: Uint8Array | undefined): HostXattr[] {
    try {
      return listXattrs(this.#native, handle, name).flatMap((attribute) => {
        const value = findXattr(this.#native, handle, name, attribute);
        return value === undefined ? [] : [{ name: attribute, value: value.slice() }];
      });
    } catch (error) {
      if (error instanceof KernelError && error.errno === "EOPNOTSUPP") return [];
      return refused(() => {
        throw error;
      });
    }
  }

  removeXattr(handle: Handle, name: Uint8Array | undefined, attribute: Uint8Array): boolean {
    try {
      removeXattr(this.#native, handle, name, attribute);
      return true;
    } catch (error) {
      if (error instanceof KernelError && NO_XATTR.includes(error.errno)) return false;
      return refused(() => {
        throw error;
      });
    }
  }

  punch(file: Handle, at: bigint, length: bigint): boolean {
    return held(() => fallocate(this.#native, file, FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE, at, length));
  }

  allocate(file: Handle, at: bigint, length: bigint, keepSize: boolean): boolean {
    return held(() => fallocate(this.#native, file, keepSize ? FALLOC_KEEP_SIZE : 0, at, length));
  }

  share(from: Handle, fromAt: bigint, to: Handle, at: bigint, length: bigint): boolean {
    return held(
      () => cloneRange(this.#native, { fd: from, offset: fromAt }, { fd: to, offset: at }, length),
      ["EXDEV", "ENOTTY", "EBADF", "ETXTBSY"],
    );
  }

  copy(from: Handle, fromAt: bigint, to: Handle, at: bigint, length: bigint): void {
    let copied = 0n;
    held(() => {
      copied = copyFileRange(this.#native, { fd: from, offset: fromAt }, { fd: to, offset: at }, length);
    }, ["EXDEV", "EBADF", "ETXTBSY"]);
    // Some filesystems can't, and some stop early.
    if (copied < length) copyBytes(this, from, fromAt + copied, to, at + copied, length - copied);
  }

  *segments(file: Handle, start: bigint, end: bigint): Generator<HostSegment> {
    for (let at = start; at < end; ) {
      const data = least(this.#seek(file, at, SEEK_DATA) ?? end, end);
      if (data > at) yield { start: at, end: data, isHole: true };
      if (data >= end) return;
      const hole = least(this.#seek(file, data, SEEK_HOLE) ?? end, end);
      yield { start: data, end: hole, isHole: false };
      at = hole;
    }
  }

  /** `undefined` where nothing follows. */
  #seek(file: Handle, at: bigint, whence: number): bigint | undefined {
    const result = this.#native.call("lseek", [file, at, whence]);
    if (result === -errnoOf("ENXIO")) return undefined;
    return BigInt(refused(() => (result < 0 ? call(this.#native, "lseek", [file, at, whence], SEEKING) : result)));
  }

  lock(directory: Handle): boolean {
    return refused(() => flock(this.#native, directory, "exclusive"));
  }

  syncFile(file: Handle): void {
    refused(() => fsync(this.#native, file));
  }

  async flush(directory: Handle): Promise<void> {
    await syncfs(this.#native, directory).catch((error: unknown) => refused(() => Promise.reject(error)));
  }
}

const SEEKING = { act: "find data" };
const NO_XATTR: readonly string[] = ["ENODATA", "EOPNOTSUPP", "EPERM", "EACCES"];

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function noFile(kind: InodeKind): TargetError {
  return new TargetError("kind", `Cannot open file: it is a ${kind}, a regular file was expected`);
}

/** A directory to receive into, open. `close` closes it. */
export interface OpenDirectoryHost {
  readonly host: DirectoryHost;
  close(): void;
}

/** With all that Linux can hold where the kernel can be called, else by Node's means. */
export function openDirectoryHost(path: string): OpenDirectoryHost {
  const open = openRestoreHost(path);
  const host =
    open.descriptor === undefined ? new NodeDirectoryHost(path) : new LinuxDirectoryHost(loadNative(), open.descriptor);
  return { host, close: () => closeRestoreHost(open) };
}
