import type { ErrorCode, Where } from "../errors.ts";
import { BtrfsError } from "../errors.ts";
import type { InodeKind } from "../fs/inode.ts";
import type { Xattr } from "../fs/xattr.ts";

/** What a source says of one thing. Times are nanoseconds since 1970. */
export interface SourceStat {
  readonly kind: InodeKind;
  /** Permissions with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: bigint;
  readonly nlink: number;
  /** The same for all names of one inode, and for no other. */
  readonly identity: string;
  readonly atime: bigint;
  readonly mtime: bigint;
  /** Of devices. */
  readonly rdev: { readonly major: number; readonly minor: number } | undefined;
}

/** A stretch of a file. What no stretch has is a hole. */
export interface Stretch {
  readonly at: bigint;
  /** Lent until the next. */
  readonly data: Uint8Array;
}

/** Something to copy, open. What it can't give is a `SourceError`. */
export interface SourceNode {
  /** For people. */
  readonly shown: string;
  readonly stat: SourceStat;
  /** Where it lies in the filesystem that is written to: then its extents can be shared. */
  readonly inImage?: { readonly tree: bigint; readonly inode: bigint } | undefined;
  /** Names in a directory. */
  names(): Promise<readonly Uint8Array[]>;
  /** What a directory has under a name; a symbolic link itself. */
  enter(name: Uint8Array): Promise<SourceNode>;
  /** The target of a symbolic link. */
  readLink(): Promise<Uint8Array>;
  xattrs(): Promise<readonly Xattr[]>;
  /**
   * The content of a file in its order.
   *
   * @param bytes Of each stretch, at most; whole sectors.
   */
  content(bytes: number): AsyncIterable<Stretch>;
  /** Whether it is still what `stat` says: nobody changed it while it was read. */
  isUnchanged(): boolean;
  close(): void;
}

/** What a source could not give: costs the one thing, not the whole copy. */
export class SourceError extends BtrfsError {
  constructor(code: ErrorCode, sentence: string, options: { readonly where?: Where; readonly cause?: unknown } = {}) {
    super(code, sentence, options);
  }
}
