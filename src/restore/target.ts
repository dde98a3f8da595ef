import { BtrfsError, type ErrorCode, type ErrorOptionsWithWhere } from "../errors.ts";
import type { InodeKind } from "../fs/inode.ts";

/** An open directory or file of a target. */
export type Handle = number;

/** What a target refused. `space` and `io` end a restore, the others cost one name. */
export class TargetError extends BtrfsError {
  constructor(code: ErrorCode, sentence: string, options: ErrorOptionsWithWhere = {}) {
    super(code, sentence, options);
  }
}

/** What `makeNode` makes. */
export type NodeKind = Exclude<InodeKind, "file" | "directory" | "symlink">;

/**
 * A directory of the host, to be filled.
 *
 * Calls are synchronous: a small file takes a dozen of them. Names are one component that `isSafeName` found good; a
 * name of `undefined` stands for the open file or directory itself. No call follows a symbolic link, in any component.
 * What returns a boolean says whether the host can hold it; all else that fails is a `TargetError`.
 */
export interface RestoreTarget {
  /** A handle is good for every thread of the process. */
  readonly sharesHandles: boolean;
  /** Where it has them: the same calls, for plain files. */
  readonly fileCalls?: FileCalls | undefined;
  /** @param path Components with slashes between; empty for the target itself. */
  openDirectory(path: Uint8Array): Handle;
  /** A directory in an open one. */
  enterDirectory(directory: Handle, name: Uint8Array): Handle;
  close(handle: Handle): void;
  /** Whether the directory has something of this name. */
  has(directory: Handle, name: Uint8Array): boolean;
  /** A directory that only its owner may enter. @throws {TargetError} `exists`. */
  makeDirectory(directory: Handle, name: Uint8Array): void;
  /** A new file that only its owner may read, open for writing. @throws {TargetError} `exists`. */
  createFile(directory: Handle, name: Uint8Array): Handle;
  /** An existing file, for writing. */
  openFile(directory: Handle, name: Uint8Array): Handle;
  write(file: Handle, data: Uint8Array, offset: bigint): void;
  /** Sets the size; what is added is a hole. */
  truncate(file: Handle, size: bigint): void;
  makeSymlink(directory: Handle, name: Uint8Array, target: Uint8Array): void;
  makeNode(
    directory: Handle,
    name: Uint8Array,
    kind: NodeKind,
    device: { readonly major: number; readonly minor: number } | undefined,
  ): boolean;
  link(fromDirectory: Handle, from: Uint8Array, directory: Handle, name: Uint8Array): void;
  /** @throws {TargetError} `exists`, unless `replace`; a directory is never replaced. */
  rename(directory: Handle, from: Uint8Array, name: Uint8Array, replace: boolean): void;
  /** Removes a name that is no directory; nothing, when there is none. */
  remove(directory: Handle, name: Uint8Array): void;
  setOwner(handle: Handle, name: Uint8Array | undefined, uid: number, gid: number): boolean;
  setMode(handle: Handle, name: Uint8Array | undefined, mode: number): boolean;
  setXattr(handle: Handle, name: Uint8Array | undefined, attribute: Uint8Array, value: Uint8Array): boolean;
  /** Nanoseconds since 1970. */
  setTimes(handle: Handle, name: Uint8Array | undefined, atime: bigint, mtime: bigint): boolean;
}

/**
 * The calls that a plain file needs, by number: they neither throw nor explain. What they answer is negative when the host
 * refuses; whoever wants to know more asks the `RestoreTarget` again. Names end with a NUL. Memory that comes again and again
 * is best always the same `Uint8Array`: finding out where it lies takes longer than a system call.
 */
export interface FileCalls {
  /** As `createFile`. */
  create(directory: Handle, name: Uint8Array): Handle;
  /** Writes from byte `from` of `data` on. @returns Bytes written, which may be fewer. */
  write(file: Handle, data: Uint8Array, from: number, length: number, offset: number): number;
  truncate(file: Handle, size: number): number;
  setOwner(file: Handle, uid: number, gid: number): number;
  setMode(file: Handle, mode: number): number;
  /**
   * @param bytes They have the name from byte `nameAt` on, and `length` bytes of the value from `valueAt` on.
   * @returns 1; 0 when the host can't hold it.
   */
  setXattr(file: Handle, bytes: Uint8Array, nameAt: number, valueAt: number, length: number): number;
  /** @param bytes They have access and modification time from byte `at` on, each a `struct timespec` of 64-bit Linux. */
  setTimes(file: Handle, bytes: Uint8Array, at: number): number;
  close(file: Handle): number;
  /** As `rename`, within a directory. The new name begins at byte `at` of `bytes`. */
  rename(directory: Handle, from: Uint8Array, bytes: Uint8Array, at: number, replace: boolean): number;
  remove(directory: Handle, name: Uint8Array): number;
}

/** Whether the target as a whole can't go on. */
export function isFatal({ code }: TargetError): boolean {
  return code === "space" || code === "io";
}
