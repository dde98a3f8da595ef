type Awaitable<T> = T | Promise<T>;

/** Seconds since 1970, negative before, and 0 to 999999999 nanoseconds after that. */
export interface SourceTime {
  readonly sec: number;
  readonly nsec: number;
}

export interface SourceStat {
  /** Type (`S_IF*`) and permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Names that it has, there or elsewhere. */
  readonly nlink: number;
  /** Together these tell which names are of one file. */
  readonly device: number | bigint;
  readonly inode: number | bigint;
  /** Of devices. */
  readonly major: number;
  readonly minor: number;
  readonly atime: SourceTime;
  readonly mtime: SourceTime;
  readonly ctime: SourceTime;
  /** Creation, where the source knows it. */
  readonly otime?: SourceTime | undefined;
}

export interface SourceXattr {
  /** With its prefix. */
  readonly name: Uint8Array;
  /** ACLs and capabilities as `getxattr(2)` gives them. */
  readonly value: Uint8Array;
}

/** An open regular file. */
export interface SourceFile {
  stat(): Awaitable<SourceStat>;
  xattrs(): Awaitable<readonly SourceXattr[]>;
  /** @returns Bytes read: fewer than `target` has only where the file ends. */
  read(at: number, target: Uint8Array): Awaitable<number>;
  /** The first stretch of data from `at` on; `undefined` when there is none. Where holes can't be told, all of the rest. */
  nextData?(at: number): Awaitable<{ readonly start: number; readonly end: number } | undefined>;
  close(): Awaitable<void>;
}

/**
 * A tree of files to make a filesystem of. Paths are bytes, relative to its top, with `/` between names; the top itself
 * has the empty one. Symbolic links are never followed.
 */
export interface TreeSource {
  /** Names of a directory, in any order, without `.` and `..`. */
  list(path: Uint8Array): Awaitable<readonly Uint8Array[]>;
  stat(path: Uint8Array): Awaitable<SourceStat>;
  readLink(path: Uint8Array): Awaitable<Uint8Array>;
  xattrs(path: Uint8Array): Awaitable<readonly SourceXattr[]>;
  open(path: Uint8Array): Awaitable<SourceFile>;
}
