import * as fs from "node:fs";
import { type Handle, type NodeKind, type RestoreTarget, TargetError } from "../restore/target.ts";
import { HOST_CODES } from "./host-error.ts";

const { O_CREAT, O_DIRECTORY = 0, O_EXCL, O_NOFOLLOW = 0, O_RDONLY, O_WRONLY } = fs.constants;
const SLASH = Buffer.from("/");

/**
 * A directory of any host, by what Node has: files, directories, symbolic links, owners, modes, and times to about a
 * microsecond. No xattrs, devices, fifos and sockets.
 *
 * On Linux names are reached through open directories (`/proc/self/fd`), so nobody can lead them elsewhere. Other hosts
 * have no such way: there, a symbolic link that somebody plants between looking and using is followed.
 */
export class NodeRestoreTarget implements RestoreTarget {
  readonly sharesHandles = false;
  readonly #root: Buffer;
  readonly #byDescriptor = process.platform === "linux" && fs.existsSync("/proc/self/fd");
  /** Where what is in an open directory is reached; targets that share it share handles. */
  protected readonly paths: Map<Handle, Buffer>;

  constructor(root: string | Buffer, paths: Map<Handle, Buffer> = new Map()) {
    this.#root = typeof root === "string" ? Buffer.from(root) : root;
    this.paths = paths;
  }

  openDirectory(path: Uint8Array): Handle {
    let handle = this.#enter(undefined, this.#root);
    for (const name of split(path)) {
      const outer = handle;
      try {
        handle = this.#enter(outer, name);
      } finally {
        this.close(outer);
      }
    }
    return handle;
  }

  enterDirectory(directory: Handle, name: Uint8Array): Handle {
    return this.#enter(directory, name);
  }

  #enter(parent: Handle | undefined, name: Uint8Array): Handle {
    const path = parent === undefined ? Buffer.from(name) : this.pathOf(parent, name);
    return refused("enter", path, () => {
      if (this.#byDescriptor) {
        // The root is the caller's own choice: it may be a symbolic link.
        const handle = fs.openSync(path, O_RDONLY | O_DIRECTORY | (parent === undefined ? 0 : O_NOFOLLOW));
        this.paths.set(handle, Buffer.from(`/proc/self/fd/${handle}`));
        return handle;
      }
      const stat = parent === undefined ? fs.statSync(path) : fs.lstatSync(path);
      if (!stat.isDirectory()) throw new TargetError("path", "Cannot enter: it is no directory");
      const handle = nextHandle--;
      this.paths.set(handle, path);
      return handle;
    });
  }

  close(handle: Handle): void {
    this.paths.delete(handle);
    if (handle >= 0) fs.closeSync(handle);
  }

  has(directory: Handle, name: Uint8Array): boolean {
    const path = this.pathOf(directory, name);
    return refused("look at", path, () => fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined);
  }

  makeDirectory(directory: Handle, name: Uint8Array): void {
    const path = this.pathOf(directory, name);
    refused("make directory", path, () => fs.mkdirSync(path, 0o700));
  }

  createFile(directory: Handle, name: Uint8Array): Handle {
    const path = this.pathOf(directory, name);
    return refused("create", path, () => fs.openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
  }

  openFile(directory: Handle, name: Uint8Array): Handle {
    const path = this.pathOf(directory, name);
    return refused("open", path, () => fs.openSync(path, O_WRONLY | O_NOFOLLOW));
  }

  write(file: Handle, data: Uint8Array, offset: bigint): void {
    refused("write", file, () => {
      for (let done = 0; done < data.byteLength; ) {
        const position = offset + BigInt(done);
        // Node takes bigints for reading only.
        if (position > BigInt(Number.MAX_SAFE_INTEGER)) throw new TargetError("limit", "Cannot write above 2^53");
        done += fs.writeSync(file, data, done, data.byteLength - done, Number(position));
      }
    });
  }

  truncate(file: Handle, size: bigint): void {
    refused("set size", file, () => {
      if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new TargetError("limit", "Cannot set size above 2^53");
      fs.ftruncateSync(file, Number(size));
    });
  }

  makeSymlink(directory: Handle, name: Uint8Array, target: Uint8Array): void {
    const path = this.pathOf(directory, name);
    refused("make symbolic link", path, () => fs.symlinkSync(Buffer.from(target), path));
  }

  makeNode(_directory: Handle, _name: Uint8Array, _kind: NodeKind): boolean {
    return false;
  }

  link(fromDirectory: Handle, from: Uint8Array, directory: Handle, name: Uint8Array): void {
    const path = this.pathOf(directory, name);
    refused("make link", path, () => fs.linkSync(this.pathOf(fromDirectory, from), path));
  }

  rename(directory: Handle, from: Uint8Array, name: Uint8Array, replace: boolean): void {
    const path = this.pathOf(directory, name);
    refused("rename", path, () => {
      if (!replace && fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
        throw new TargetError("exists", "Cannot rename: there is something of this name");
      }
      fs.renameSync(this.pathOf(directory, from), path);
    });
  }

  remove(directory: Handle, name: Uint8Array): void {
    const path = this.pathOf(directory, name);
    refused("remove", path, () => {
      if (fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined) fs.unlinkSync(path);
    });
  }

  setOwner(handle: Handle, name: Uint8Array | undefined, uid: number, gid: number): boolean {
    const open = this.descriptor(handle, name);
    return held(() =>
      open === undefined ? fs.lchownSync(this.pathOf(handle, name), uid, gid) : fs.fchownSync(open, uid, gid),
    );
  }

  setMode(handle: Handle, name: Uint8Array | undefined, mode: number): boolean {
    const open = this.descriptor(handle, name);
    return held(() => (open === undefined ? fs.chmodSync(this.pathOf(handle, name), mode) : fs.fchmodSync(open, mode)));
  }

  setXattr(): boolean {
    return false;
  }

  setTimes(handle: Handle, name: Uint8Array | undefined, atime: bigint, mtime: bigint): boolean {
    const open = this.descriptor(handle, name);
    const [access, change] = [nodeTime(atime), nodeTime(mtime)];
    return held(() =>
      open === undefined
        ? fs.lutimesSync(this.pathOf(handle, name), access, change)
        : fs.futimesSync(open, access, change),
    );
  }

  /** Of the open file or directory itself, where there is one. */
  protected descriptor(handle: Handle, name: Uint8Array | undefined): number | undefined {
    return name === undefined && handle >= 0 ? handle : undefined;
  }

  /** Where the host finds a name in an open directory, or the directory itself. */
  protected pathOf(directory: Handle, name: Uint8Array | undefined): Buffer {
    const path = this.paths.get(directory);
    if (path === undefined) throw new RangeError(`Cannot use directory ${directory}: it is not open`);
    return name === undefined ? path : Buffer.concat([path, SLASH, name]);
  }
}

/** Of directories that have no descriptor. */
let nextHandle = -2;

/** From Node 24 on a time is taken as closely as a number tells it. */
const TAKES_NANOSECONDS = Number.parseInt(process.versions.node, 10) >= 24;

/**
 * In seconds. Node takes a negative number for "now", and a date, which has milliseconds, for what it is. Of a number older
 * ones take whole microseconds, which a part of one more keeps from being rounded down to the one before.
 */
function nodeTime(nanoseconds: bigint): number | Date {
  if (nanoseconds < 0n) return new Date(Math.floor(Number(nanoseconds) / 1e6));
  if (TAKES_NANOSECONDS) return Number(nanoseconds) / 1e9;
  return (Number(nanoseconds / 1000n) + 0.3) / 1e6;
}

function split(path: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  for (let start = 0; start < path.byteLength; ) {
    const slash = path.indexOf(SLASH[0]!, start);
    const end = slash < 0 ? path.byteLength : slash;
    names.push(path.subarray(start, end));
    start = end + 1;
  }
  return names;
}

/** What of the host's refusals is about one name only, beside `HOST_CODES`. */
const MORE_CODES: Readonly<Record<string, TargetError["code"]>> = {
  ELOOP: "path",
  ENAMETOOLONG: "path",
  EINVAL: "unsupported",
  ENOTSUP: "unsupported",
  EFBIG: "limit",
  EMLINK: "limit",
  EILSEQ: "path",
  ENOTEMPTY: "exists",
  EISDIR: "exists",
};

export function refused<T>(act: string, at: Buffer | Handle, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw targetError(error, act, at);
  }
}

function targetError(error: unknown, act: string, at: Buffer | Handle): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof TargetError || code === undefined) return error;
  const reason = /^\w+: ([^,]*)/.exec(message)?.[1] ?? message;
  const where = typeof at === "number" ? {} : { file: at.toString() };
  return new TargetError(MORE_CODES[code] ?? HOST_CODES[code] ?? "io", `Cannot ${act}: ${reason}`, {
    where,
    cause: error,
  });
}

/** Whether it went well; false when the host can't do that. */
export function held(act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== undefined && ["EPERM", "EACCES", "ENOTSUP", "ENOSYS", "EINVAL", "EOVERFLOW"].includes(code)) {
      return false;
    }
    throw targetError(error, "set attributes", 0);
  }
}
