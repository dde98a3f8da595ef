import { constants } from "node:fs";
import { toSafe } from "../bytes/u64.ts";
import { KernelError } from "../errors.ts";
import type { SourceFile, SourceStat, SourceTime, SourceXattr, TreeSource } from "../mkfs/source.ts";
import { statx } from "./attributes.ts";
import { call } from "./call.ts";
import { errnoOf } from "./errno.ts";
import { pread } from "./file.ts";
import type { Native } from "./native.ts";
import { close, openat, readDirectory, readlinkat } from "./open.ts";
import { findXattr, listXattrs } from "./xattr.ts";

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const STATX_BTIME = 0x800;
/** `SEEK_DATA` and `SEEK_HOLE` of `linux/fs.h`. */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** A read of a file moves at most this much at once. */
const MOST_READ = 0x4000_0000;

/** A directory of Linux, with all that its filesystem keeps. */
export class LinuxTreeSource implements TreeSource {
  readonly #native: Native;
  readonly #root: number;
  readonly #withXattrs: boolean;

  /** @param root Descriptor of the open directory; it stays the caller's. */
  constructor(native: Native, root: number, withXattrs = true) {
    this.#native = native;
    this.#root = root;
    this.#withXattrs = withXattrs;
  }

  list(path: Uint8Array): Uint8Array[] {
    const directory = openat(this.#native, this.#root, orTop(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      return Array.from(readDirectory(this.#native, directory), ({ name }) => name);
    } finally {
      close(this.#native, directory);
    }
  }

  stat(path: Uint8Array): SourceStat {
    return statOf(this.#native, this.#root, path.byteLength === 0 ? undefined : path);
  }

  readLink(path: Uint8Array): Uint8Array {
    return readlinkat(this.#native, this.#root, path);
  }

  xattrs(path: Uint8Array): SourceXattr[] {
    if (!this.#withXattrs) return [];
    return xattrsOf(this.#native, this.#root, path.byteLength === 0 ? undefined : path);
  }

  open(path: Uint8Array): SourceFile {
    // A FIFO in the place of a file would make an open wait for its writer.
    const fd = openat(this.#native, this.#root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    return new LinuxSourceFile(this.#native, fd, this.#withXattrs);
  }
}

class LinuxSourceFile implements SourceFile {
  readonly #native: Native;
  readonly #fd: number;
  readonly #withXattrs: boolean;

  constructor(native: Native, fd: number, withXattrs: boolean) {
    this.#native = native;
    this.#fd = fd;
    this.#withXattrs = withXattrs;
  }

  stat(): SourceStat {
    return statOf(this.#native, this.#fd, undefined);
  }

  xattrs(): SourceXattr[] {
    return this.#withXattrs ? xattrsOf(this.#native, this.#fd, undefined) : [];
  }

  read(at: number, target: Uint8Array): number {
    return pread(this.#native, this.#fd, target.subarray(0, MOST_READ), at);
  }

  nextData(at: number): { start: number; end: number } | undefined {
    const start = this.#native.call("lseek", [this.#fd, at, SEEK_DATA]);
    if (start === -errnoOf("ENXIO")) return undefined;
    // Where the filesystem can't tell, all is data.
    if (start < 0) return { start: at, end: Number.MAX_SAFE_INTEGER };
    return {
      start,
      end: call(this.#native, "lseek", [this.#fd, start, SEEK_HOLE], { act: "find data", fd: this.#fd }),
    };
  }

  close(): void {
    close(this.#native, this.#fd);
  }
}

const TOP = Uint8Array.of(0x2e);

function orTop(path: Uint8Array): Uint8Array {
  return path.byteLength === 0 ? TOP : path;
}

function statOf(native: Native, fd: number, name: Uint8Array | undefined): SourceStat {
  const found = statx(native, fd, name);
  return {
    mode: found.mode,
    uid: found.uid,
    gid: found.gid,
    size: toSafe(found.size, "length of a file"),
    nlink: found.nlink,
    device: found.devMajor * 0x1_0000_0000 + found.devMinor,
    inode: found.ino,
    major: found.rdevMajor,
    minor: found.rdevMinor,
    atime: timeOf(found.atime),
    mtime: timeOf(found.mtime),
    ctime: timeOf(found.ctime),
    otime: (found.mask & STATX_BTIME) === 0 ? undefined : timeOf(found.btime),
  };
}

function timeOf({ sec, nsec }: { readonly sec: bigint; readonly nsec: number }): SourceTime {
  return { sec: Number(sec), nsec };
}

function xattrsOf(native: Native, fd: number, name: Uint8Array | undefined): SourceXattr[] {
  try {
    return listXattrs(native, fd, name).flatMap((attribute) => {
      const value = findXattr(native, fd, name, attribute);
      return value === undefined ? [] : [{ name: attribute, value: value.slice() }];
    });
  } catch (error) {
    if (error instanceof KernelError && error.errno === "EOPNOTSUPP") return [];
    throw error;
  }
}
