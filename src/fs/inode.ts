import { displayName } from "../bytes/display.ts";
import { asStruct } from "../bytes/struct.ts";
import { BtrfsError, type Where } from "../errors.ts";
import {
  InodeItem,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  type Timespec,
} from "../format/inode.ts";
import type { InodeName } from "../format/inode-ref.ts";
import { EMPTY_SUBVOL_DIR_OBJECTID } from "../format/objectid.ts";
import { type DirectoryEntry, enterEntry, findEntry, type ReadDirectoryOptions, readDirectory } from "./directory.ts";
import { OpenFile } from "./file.ts";
import { readNames } from "./names.ts";
import { joinNames } from "./path.ts";
import type { Subvolume } from "./subvolume.ts";
import { readSymlink } from "./symlink.ts";
import { readXattrs, type Xattr } from "./xattr.ts";

export type InodeKind = "file" | "directory" | "symlink" | "char" | "block" | "fifo" | "socket";

/** What an inode item says. Times are nanoseconds since 1970. */
export interface InodeStat {
  readonly kind: InodeKind;
  /** Permissions with setuid, setgid and sticky, without the type: 0 to 0o7777. */
  readonly mode: number;
  /** Bytes of a file or of a symlink's target; of a directory, twice the bytes of its names. */
  readonly size: bigint;
  /** File bytes that lie in extents. */
  readonly nbytes: bigint;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** Of char and block devices. */
  readonly rdev: { readonly major: number; readonly minor: number } | undefined;
  /** `INODE_*` in the low half, `INODE_RO_*` in the high half. */
  readonly flags: bigint;
  /** Created in. */
  readonly generation: bigint;
  /** Last changed in. */
  readonly transid: bigint;
  readonly sequence: bigint;
  readonly atime: bigint;
  readonly ctime: bigint;
  readonly mtime: bigint;
  /** Birth. */
  readonly otime: bigint;
}

const KINDS: Readonly<Record<number, InodeKind>> = {
  [S_IFREG]: "file",
  [S_IFDIR]: "directory",
  [S_IFLNK]: "symlink",
  [S_IFCHR]: "char",
  [S_IFBLK]: "block",
  [S_IFIFO]: "fifo",
  [S_IFSOCK]: "socket",
};

/** How an inode was reached: by a path, or by a name in a directory, whose path is made when somebody asks for it. */
export type Way = Uint8Array | { readonly directory: Inode; readonly name: Uint8Array };

/** Whatever has an inode number in a subvolume: a file, a directory, a symlink, a device. */
export class Inode {
  readonly subvolume: Subvolume;
  readonly number: bigint;
  readonly stat: InodeStat;
  readonly #way: Way | undefined;

  constructor(subvolume: Subvolume, number: bigint, stat: InodeStat, way?: Way) {
    this.subvolume = subvolume;
    this.number = number;
    this.stat = stat;
    this.#way = way;
  }

  /**
   * How it was reached, from the top of the filesystem, without a slash at either end; `undefined` when by number. Made
   * anew each time: where directories lie in each other by the thousands, their paths take more memory than all else.
   */
  get path(): Uint8Array | undefined {
    const names: Uint8Array[] = [];
    let way = this.#way;
    for (; way !== undefined && !(way instanceof Uint8Array); way = way.directory.#way) names.push(way.name);
    return way && joinNames(way, names.reverse());
  }

  /** How what has this name in it is reached. */
  wayTo(name: Uint8Array): Way | undefined {
    return this.#way && { directory: this, name };
  }

  get kind(): InodeKind {
    return this.stat.kind;
  }

  /** Whether it stands, empty, where a snapshot has no copy of a nested subvolume. */
  get isPlaceholder(): boolean {
    return this.number === EMPTY_SUBVOL_DIR_OBJECTID;
  }

  /** For errors. */
  get where(): Where {
    const { path } = this;
    return { tree: this.subvolume.id, inode: this.number, ...(path && { path: displayName(path) }) };
  }

  /**
   * The entries of a directory in the order of their creation, some at a time. A name comes once, also where a damaged
   * directory has it twice. Subvolumes that are no more are left out.
   *
   * @throws {BtrfsError} `kind` when it is none; `corrupt` or `checksum` where it can't be read, unless `onDamage` takes it.
   */
  readDirectory(options?: ReadDirectoryOptions): AsyncGenerator<DirectoryEntry[]> {
    return readDirectory(this, options);
  }

  /** The entry of a directory with this name, compared byte by byte. */
  findEntry(name: string | Uint8Array): Promise<DirectoryEntry | undefined> {
    return findEntry(this, name);
  }

  /** What an entry of this directory leads to, across subvolumes. */
  enter(entry: DirectoryEntry): Promise<Inode> {
    return enterEntry(this, entry);
  }

  /** The target of a symlink. @throws {BtrfsError} `kind` when it is none. */
  readSymlink(): Promise<Uint8Array> {
    return readSymlink(this);
  }

  /** Extended attributes, POSIX ACLs and capabilities among them; names with their prefix. */
  xattrs(): Promise<Xattr[]> {
    return readXattrs(this);
  }

  /** All names in its subvolume: more than one where there are hard links. */
  names(): Promise<InodeName[]> {
    return readNames(this);
  }

  /** The content of a file. @throws {BtrfsError} `kind` when it is none. */
  openFile(): OpenFile {
    return new OpenFile(this);
  }

  /** @throws {BtrfsError} `kind`, unless it is of this kind. `act` is what can't be done otherwise. */
  demand(kind: InodeKind, act: string): void {
    if (this.stat.kind === kind) return;
    throw new BtrfsError("kind", `Cannot ${act}: it is a ${this.stat.kind}, expected a ${kind}`, { where: this.where });
  }
}

/** @param data An INODE_ITEM item whose mode has been checked. */
export function decodeStat(data: Uint8Array, where: Where): InodeStat {
  const item = asStruct(InodeItem, data, where);
  const kind = KINDS[item.mode & S_IFMT];
  if (kind === undefined) {
    throw new BtrfsError("corrupt", `Cannot read inode: mode 0${item.mode.toString(8)} has no known type`, { where });
  }
  const isDevice = kind === "char" || kind === "block";
  return {
    kind,
    mode: item.mode & 0o7777,
    size: item.size,
    nbytes: item.nbytes,
    nlink: item.nlink,
    uid: item.uid,
    gid: item.gid,
    rdev: isDevice ? { major: Number(item.rdev >> 20n), minor: Number(item.rdev & 0xf_ffffn) } : undefined,
    flags: item.flags,
    generation: item.generation,
    transid: item.transid,
    sequence: item.sequence,
    atime: nanoseconds(item.atime),
    ctime: nanoseconds(item.ctime),
    mtime: nanoseconds(item.mtime),
    otime: nanoseconds(item.otime),
  };
}

export function nanoseconds({ sec, nsec }: Pick<InstanceType<typeof Timespec>, "sec" | "nsec">): bigint {
  return sec * 1_000_000_000n + BigInt(nsec);
}
