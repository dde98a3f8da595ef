import type { InodeKind } from "../fs/inode.ts";
import type { Handle, RestoreTarget } from "../restore/target.ts";

/** What a host says of a name or of an open file. Times are nanoseconds since 1970. */
export interface HostStat {
  readonly kind: InodeKind;
  /** Permission bits, with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  /** Tells the inodes of one filesystem apart. */
  readonly inode: bigint;
  /** Tells filesystems apart, subvolumes too, where the host can. */
  readonly device?: string | undefined;
  readonly size: bigint;
  readonly atime: bigint;
  readonly mtime: bigint;
  /** Of devices. */
  readonly rdev: { readonly major: number; readonly minor: number } | undefined;
}

export interface HostXattr {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

/** A stretch of a file: bytes, or a hole that reads as zeros. */
export interface HostSegment {
  readonly start: bigint;
  readonly end: bigint;
  readonly isHole: boolean;
}

/**
 * A directory of a host that can be filled and changed: what `restore` needs, and more of it.
 *
 * As there: calls are synchronous, names are one component, a name of `undefined` stands for the open file or directory
 * itself, no call follows a symbolic link, and what fails is a `TargetError`.
 */
export interface DirectoryHost extends RestoreTarget {
  /** Rights of files and directories don't matter, as for root. */
  readonly isPrivileged: boolean;
  /** Owner of what is made here. */
  readonly uid: number;
  /** Why the host can't have a file of this name, in words; `undefined` where it can. */
  nameFault(name: Uint8Array): string | undefined;
  /** The same with an open directory as its top; the handle stays the caller's. */
  below(directory: Handle): DirectoryHost;
  /** A regular file, for reading, or for both. Whatever else it is is refused, before it is opened. */
  openRegular(directory: Handle, name: Uint8Array, access: "read" | "write"): Handle;
  /** @returns Bytes read; fewer than `target` has at the end only. */
  read(file: Handle, target: Uint8Array, at: bigint): number;
  /** @throws {TargetError} `missing`. */
  stat(handle: Handle, name: Uint8Array | undefined): HostStat;
  /** Names, in no order. */
  list(directory: Handle): Uint8Array[];
  readLink(directory: Handle, name: Uint8Array): Uint8Array;
  /** Renames, also to another directory, and over what is there. */
  move(fromDirectory: Handle, from: Uint8Array, directory: Handle, name: Uint8Array): void;
  /** Removes a name that is no directory. @throws {TargetError} `missing`. */
  unlink(directory: Handle, name: Uint8Array): void;
  /** @throws {TargetError} `exists`, unless it is empty. */
  removeDirectory(directory: Handle, name: Uint8Array): void;
  /** Those that can be seen. */
  xattrs(handle: Handle, name: Uint8Array | undefined): HostXattr[];
  /** @returns Whether it was there. */
  removeXattr(handle: Handle, name: Uint8Array | undefined, attribute: Uint8Array): boolean;
  /** Makes a hole inside of the file. @returns False where the host can't. */
  punch(file: Handle, at: bigint, length: bigint): boolean;
  /** Makes room, which reads as zeros. @returns False where the host can't. */
  allocate(file: Handle, at: bigint, length: bigint, keepSize: boolean): boolean;
  /** Shares storage between two files. @returns False where the host, or this range, can't. */
  share(from: Handle, fromAt: bigint, to: Handle, at: bigint, length: bigint): boolean;
  /** Copies bytes; the source has them. */
  copy(from: Handle, fromAt: bigint, to: Handle, at: bigint, length: bigint): void;
  /** What the file has from `start` to `end`, which is not above its size. */
  segments(file: Handle, start: bigint, end: bigint): Iterable<HostSegment>;
  /** Takes hold of an open directory until it is closed. @returns False when another process has it. */
  lock(directory: Handle): boolean;
  /** Makes one file durable. */
  syncFile(file: Handle): void;
  /** Makes all that was written durable, as far as the host can be told to. */
  flush(directory: Handle): Promise<void>;
}

const COPY_BYTES = 1 << 20;

/** `copy` by reading and writing. */
export function copyBytes(
  host: DirectoryHost,
  from: Handle,
  fromAt: bigint,
  to: Handle,
  at: bigint,
  length: bigint,
): void {
  const buffer = new Uint8Array(length < BigInt(COPY_BYTES) ? Number(length) : COPY_BYTES);
  for (let done = 0n; done < length; ) {
    const left = length - done;
    const wanted = left < BigInt(buffer.byteLength) ? buffer.subarray(0, Number(left)) : buffer;
    const count = host.read(from, wanted, fromAt + done);
    if (count === 0) return;
    host.write(to, wanted.subarray(0, count), at + done);
    done += BigInt(count);
  }
}
