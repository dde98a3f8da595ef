import { constants } from "node:fs";
import { KernelError } from "../errors.ts";
import { HOST_CODES } from "../node/host-error.ts";
import { type FileCalls, type Handle, type NodeKind, type RestoreTarget, TargetError } from "../restore/target.ts";
import { fchmodat, fchownat, type Timestamp, utimensat } from "./attributes.ts";
import { linkat, makeDevice, mkdirat, mknodat, RENAME_NOREPLACE, renameat2, symlinkat, unlinkat } from "./entries.ts";
import { ftruncate, pwrite } from "./file.ts";
import { loadFileCalls } from "./file-calls.ts";
import type { Native } from "./native.ts";
import { NOT_HELD, XATTR_NOT_HELD } from "./not-held.ts";
import { close, O_PATH, openat, openBeneath } from "./open.ts";
import { setXattr } from "./xattr.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;

/** `PATH_MAX`, less some room. */
const MAX_PATH_BYTES = 4000;
const SLASH = 0x2f;

const NODE_TYPES: Readonly<Record<NodeKind, number>> = {
  char: constants.S_IFCHR,
  block: constants.S_IFBLK,
  fifo: constants.S_IFIFO,
  socket: constants.S_IFSOCK,
};

/** A directory of Linux: all that an inode has can be restored into it, as far as rights and its filesystem go. */
export class LinuxRestoreTarget implements RestoreTarget {
  readonly sharesHandles = true;
  readonly fileCalls: FileCalls = loadFileCalls();
  readonly #native: Native;
  readonly #root: number;

  /** @param root Descriptor of the open directory; it stays the caller's. */
  constructor(native: Native, root: number) {
    this.#native = native;
    this.#root = root;
  }

  openDirectory(path: Uint8Array): Handle {
    return refused(() => {
      const flags = O_RDONLY | O_DIRECTORY;
      if (path.byteLength === 0) return openat(this.#native, this.#root, ".", flags);
      let from = this.#root;
      let rest = path;
      for (;;) {
        const cut = rest.byteLength > MAX_PATH_BYTES ? rest.lastIndexOf(SLASH, MAX_PATH_BYTES) : -1;
        const isLast = cut < 0;
        try {
          const part = isLast ? rest : rest.subarray(0, cut);
          const next = openBeneath(this.#native, from, part, isLast ? flags : O_PATH | O_DIRECTORY);
          if (isLast) return next;
          if (from !== this.#root) close(this.#native, from);
          from = next;
          rest = rest.subarray(cut + 1);
        } finally {
          if (isLast && from !== this.#root) close(this.#native, from);
        }
      }
    });
  }

  enterDirectory(directory: Handle, name: Uint8Array): Handle {
    return refused(() => openBeneath(this.#native, directory, name, O_RDONLY | O_DIRECTORY));
  }

  close(handle: Handle): void {
    refused(() => close(this.#native, handle));
  }

  has(directory: Handle, name: Uint8Array): boolean {
    try {
      close(this.#native, openat(this.#native, directory, name, O_PATH | O_NOFOLLOW));
      return true;
    } catch (error) {
      if (error instanceof KernelError && error.errno === "ENOENT") return false;
      throw targetError(error);
    }
  }

  makeDirectory(directory: Handle, name: Uint8Array): void {
    refused(() => mkdirat(this.#native, directory, name, 0o700));
  }

  createFile(directory: Handle, name: Uint8Array): Handle {
    return refused(() => openat(this.#native, directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
  }

  openFile(directory: Handle, name: Uint8Array): Handle {
    return refused(() => openat(this.#native, directory, name, O_WRONLY | O_NOFOLLOW));
  }

  write(file: Handle, data: Uint8Array, offset: bigint): void {
    refused(() => pwrite(this.#native, file, data, offset));
  }

  truncate(file: Handle, size: bigint): void {
    refused(() => ftruncate(this.#native, file, size));
  }

  makeSymlink(directory: Handle, name: Uint8Array, target: Uint8Array): void {
    refused(() => symlinkat(this.#native, target, directory, name));
  }

  makeNode(
    directory: Handle,
    name: Uint8Array,
    kind: NodeKind,
    device: { readonly major: number; readonly minor: number } | undefined,
  ): boolean {
    const { major, minor } = device ?? { major: 0, minor: 0 };
    if (major >>> 12 !== 0 || minor >>> 20 !== 0) return false;
    const number = device === undefined ? 0 : makeDevice(major, minor);
    return held(() => mknodat(this.#native, directory, name, NODE_TYPES[kind] | 0o600, number));
  }

  link(fromDirectory: Handle, from: Uint8Array, directory: Handle, name: Uint8Array): void {
    refused(() => linkat(this.#native, fromDirectory, from, directory, name));
  }

  rename(directory: Handle, from: Uint8Array, name: Uint8Array, replace: boolean): void {
    const flags = replace ? 0 : RENAME_NOREPLACE;
    refused(() => renameat2(this.#native, directory, from, directory, name, flags));
  }

  remove(directory: Handle, name: Uint8Array): void {
    try {
      unlinkat(this.#native, directory, name);
    } catch (error) {
      if (!(error instanceof KernelError && error.errno === "ENOENT")) throw targetError(error);
    }
  }

  setOwner(handle: Handle, name: Uint8Array | undefined, uid: number, gid: number): boolean {
    return held(() => fchownat(this.#native, handle, name, uid, gid));
  }

  setMode(handle: Handle, name: Uint8Array | undefined, mode: number): boolean {
    return held(() => fchmodat(this.#native, handle, name, mode));
  }

  setXattr(handle: Handle, name: Uint8Array | undefined, attribute: Uint8Array, value: Uint8Array): boolean {
    return held(() => setXattr(this.#native, handle, name, attribute, value), XATTR_NOT_HELD);
  }

  setTimes(handle: Handle, name: Uint8Array | undefined, atime: bigint, mtime: bigint): boolean {
    return held(() => {
      utimensat(this.#native, handle, name, { atime: timestamp(atime), mtime: timestamp(mtime) });
    });
  }
}

const SECOND = 1_000_000_000n;

export function timestamp(nanoseconds: bigint): Timestamp {
  let sec = nanoseconds / SECOND;
  let nsec = nanoseconds % SECOND;
  if (nsec < 0n) {
    sec -= 1n;
    nsec += SECOND;
  }
  return { sec, nsec: Number(nsec) };
}

/** Whether it went well; false when the host can't do that. */
export function held(act: () => void, also: readonly string[] = []): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (error instanceof KernelError && (NOT_HELD.includes(error.errno) || also.includes(error.errno))) return false;
    throw targetError(error);
  }
}

export function refused<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw targetError(error);
  }
}

const MORE_CODES: Readonly<Record<string, TargetError["code"]>> = {
  ELOOP: "path",
  EXDEV: "path",
  ENAMETOOLONG: "path",
  EINVAL: "unsupported",
  EOPNOTSUPP: "unsupported",
  EFBIG: "limit",
  EMLINK: "limit",
  EILSEQ: "path",
  ENOTEMPTY: "exists",
  EISDIR: "exists",
};

export function targetError(error: unknown): unknown {
  if (!(error instanceof KernelError)) return error;
  const code = MORE_CODES[error.errno] ?? HOST_CODES[error.errno] ?? "io";
  return new TargetError(code, error.sentence, { where: error.where, cause: error });
}
