import { constants } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { NumberSet } from "../bytes/number-set.ts";
import { BtrfsError, CorruptError, KernelError } from "../errors.ts";
import { MAX_U64 } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import { joinPath } from "../fs/path.ts";
import { countExtentItem } from "../usage/extents.ts";
import { Tally, type Usage } from "../usage/tally.ts";
import type { UsageOptions, UsageRow } from "../usage/usage.ts";
import { isBtrfs, statx } from "./attributes.ts";
import { AT_FDCWD, displayName } from "./call.ts";
import { getFilesystemInfo } from "./filesystem.ts";
import { getSubvolumeId } from "./lookup.ts";
import type { Native } from "./native.ts";
import { close, type DirectoryEntry, openat, readDirectory } from "./open.ts";
import { searchBatches } from "./search.ts";
import { SearchArgsV2, SearchHeader } from "./structs.ts";

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, S_IFDIR, S_IFMT, S_IFREG } = constants;
/** `DT_*` of `dirent.h`. */
const DT_UNKNOWN = 0;
const DT_DIR = 4;
const DT_REG = 8;
/** Files between two looks at whether to stop. */
const FILES_A_TURN = 512;

/** As of an image; `onDamage` also takes files that can't be read. */
export interface LiveUsageOptions extends UsageOptions {
  /** A directory that is left out because another filesystem is mounted there. */
  readonly onOtherFilesystem?: ((path: Uint8Array) => void) | undefined;
}

/** A directory on the way down. */
interface Frame {
  readonly fd: number;
  readonly path: Uint8Array;
  readonly inode: bigint;
  readonly mountId: bigint;
  readonly tally: Tally;
  readonly entries: Iterator<DirectoryEntry>;
}

/**
 * Counts what files of a mounted btrfs take, through tree searches, as `compsize` does and as `UsageCounter` does of an
 * image. What is not written out yet is not counted. Needs root.
 */
export class LiveUsageCounter {
  readonly #native: Native;
  readonly #options: LiveUsageOptions;
  readonly #rows: ReadonlySet<UsageRow["kind"]>;
  readonly #total = new Tally();
  /** Addresses that were met, for each filesystem by its id. */
  readonly #seen = new Map<string, NumberSet>();
  readonly #memory = new Uint8Array(SearchArgsV2.byteLength + 65536);
  #files = 0;
  #stored = 0;

  constructor(native: Native, options: LiveUsageOptions = {}) {
    this.#native = native;
    this.#options = options;
    this.#rows = options.onRow === undefined ? new Set() : (options.rows ?? new Set());
  }

  /** What has been counted up to now. */
  get usage(): Usage {
    return this.#total.result();
  }

  /**
   * Counts a regular file, or all of them below a directory, in subvolumes too, on one filesystem. Paths of rows begin
   * with `path`.
   *
   * @throws {BtrfsError} `kind` where it is not btrfs; what can't be read, unless `onDamage` takes it.
   */
  async add(path: string): Promise<void> {
    const native = this.#native;
    const fd = openat(native, AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
    let isOpen = true;
    try {
      if (!isBtrfs(native, fd)) {
        throw new BtrfsError("kind", "Cannot count usage: it is not on btrfs", { where: { file: path } });
      }
      const { mode, ino } = statx(native, fd, undefined);
      const name = new TextEncoder().encode(path);
      const seen = this.#seenOf(fd);
      if ((mode & S_IFMT) === S_IFREG) await this.#addFile(fd, ino, name, this.#total, seen);
      else if ((mode & S_IFMT) === S_IFDIR) {
        isOpen = false;
        await this.#addDirectory(fd, withoutSlash(name), seen);
      }
    } finally {
      if (isOpen) close(native, fd);
    }
  }

  #seenOf(fd: number): NumberSet {
    const id = Buffer.from(getFilesystemInfo(this.#native, fd).fsid).toString("hex");
    const seen = this.#seen.get(id) ?? new NumberSet();
    this.#seen.set(id, seen);
    return seen;
  }

  async #addDirectory(top: number, path: Uint8Array, seen: NumberSet): Promise<void> {
    const frames = [this.#frame(top, path)];
    try {
      for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
        const entry = this.#nextEntry(frame);
        if (entry === undefined) {
          (frames.at(-2)?.tally ?? this.#total).merge(frame.tally);
          const kind = frame.inode === FIRST_FREE_OBJECTID ? "subvolume" : "directory";
          if (this.#rows.has(kind)) await this.#row(kind, frame.fd, frame.inode, frame.path, frame.tally);
          frames.pop();
          close(this.#native, frame.fd);
          continue;
        }
        const kind = this.#kindOf(frame, entry);
        const child = childPath(frame.path, entry.name);
        if (kind === DT_REG) await this.#addFile(frame.fd, entry.inode, child, frame.tally, seen);
        else if (kind === DT_DIR) {
          const below = this.#enter(frame, entry, child, seen);
          if (below !== undefined) frames.push(below);
        }
      }
    } finally {
      for (const { fd } of frames) close(this.#native, fd);
    }
  }

  #frame(fd: number, path: Uint8Array): Frame {
    const { ino, mountId } = statx(this.#native, fd, undefined);
    return { fd, path, inode: ino, mountId, tally: new Tally(), entries: readDirectory(this.#native, fd) };
  }

  #nextEntry(frame: Frame): DirectoryEntry | undefined {
    try {
      const { done, value } = frame.entries.next();
      return done ? undefined : value;
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  #kindOf({ fd }: Frame, { type, name }: DirectoryEntry): number {
    if (type !== DT_UNKNOWN) return type;
    return (statx(this.#native, fd, name).mode & S_IFMT) >> 12;
  }

  /** `undefined` for what can't be entered, or is another filesystem. */
  #enter(frame: Frame, { name }: DirectoryEntry, path: Uint8Array, seen: NumberSet): Frame | undefined {
    let fd: number | undefined;
    try {
      fd = openat(this.#native, frame.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      const below = this.#frame(fd, path);
      const isOther = below.mountId !== frame.mountId && !(isBtrfs(this.#native, fd) && this.#seenOf(fd) === seen);
      if (!isOther) return below;
      this.#options.onOtherFilesystem?.(path);
    } catch (error) {
      // Gone since it was listed.
      if (!(error instanceof KernelError && error.errno === "ENOENT")) this.#fail(error);
    }
    if (fd !== undefined) close(this.#native, fd);
    return undefined;
  }

  /** @param fd Anything in the subvolume of the file. */
  async #addFile(fd: number, inode: bigint, path: Uint8Array, into: Tally, seen: NumberSet): Promise<void> {
    const { signal, onProgress } = this.#options;
    if (++this.#files % FILES_A_TURN === 0) await setImmediate();
    signal?.throwIfAborted();
    const tally = new Tally();
    tally.files = 1;
    try {
      this.#count(fd, inode, path, tally, seen);
    } catch (error) {
      // Who may not search one tree may search none.
      if (error instanceof KernelError && error.errno === "EPERM") throw error;
      this.#fail(error);
    }
    into.merge(tally);
    this.#stored += tally.stored;
    onProgress?.({ files: this.#files, stored: this.#stored });
    if (this.#rows.has("file")) await this.#row("file", fd, inode, path, tally);
  }

  #count(fd: number, inode: bigint, path: Uint8Array, tally: Tally, seen: NumberSet): void {
    const range = {
      tree: 0n,
      min: { objectid: inode, type: EXTENT_DATA, offset: 0n },
      max: { objectid: inode, type: EXTENT_DATA, offset: MAX_U64 },
    };
    for (const { count, view } of searchBatches(this.#native, fd, range, this.#memory)) {
      let at = 0;
      for (let slot = 0; slot < count; slot++) {
        const size = view.getUint32(at + SearchHeader.offsets.len, true);
        at += SearchHeader.byteLength;
        const wrong = countExtentItem(view, at, size, tally, seen);
        if (wrong !== undefined) {
          const where = { file: displayName(path), inode };
          this.#fail(new CorruptError(`Cannot count file extent: ${wrong}`, where));
        }
        at += size;
      }
    }
  }

  async #row(kind: UsageRow["kind"], fd: number, inode: bigint, path: Uint8Array, tally: Tally): Promise<void> {
    const subvolume = getSubvolumeId(this.#native, fd);
    await this.#options.onRow?.({ kind, path, subvolume, inode, usage: tally.result() });
  }

  #fail(error: unknown): void {
    if (!(error instanceof BtrfsError) || this.#options.onDamage === undefined) throw error;
    this.#options.onDamage(error);
  }
}

const SLASH = 0x2f;

function withoutSlash(path: Uint8Array): Uint8Array {
  let end = path.byteLength;
  while (end > 1 && path[end - 1] === SLASH) end--;
  return path.subarray(0, end);
}

function childPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  return directory.byteLength === 1 && directory[0] === SLASH
    ? Buffer.concat([directory, name])
    : joinPath(directory, name);
}
