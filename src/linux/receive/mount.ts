import { constants, readFileSync } from "node:fs";
import { concatBytes, equalBytes, viewOf } from "../../bytes/bytes.ts";
import { BtrfsError, KernelError } from "../../errors.ts";
import { keyOf } from "../../format/key.ts";
import { ROOT_BACKREF, UUID_RECEIVED_SUBVOL, UUID_SUBVOL } from "../../format/key-type.ts";
import {
  FIRST_FREE_OBJECTID,
  FS_TREE_OBJECTID,
  ROOT_TREE_OBJECTID,
  UUID_TREE_OBJECTID,
} from "../../format/objectid.ts";
import { decodeRootRef } from "../../format/root.ts";
import { decodeSubvolumeIds, uuidKey } from "../../format/uuid-tree.ts";
import { statx } from "../attributes.ts";
import { AT_FDCWD } from "../call.ts";
import { getSubvolumeId, lookupInode } from "../lookup.ts";
import type { Native } from "../native.ts";
import { close, openat, openBeneath } from "../open.ts";
import { searchTree } from "../search.ts";

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const SLASH = Uint8Array.of(0x2f);

/** Longest path that one call takes, less some room. */
const MAX_STEP_BYTES = 4000;

/**
 * The part of a filesystem that one mount shows. Subvolumes are found by uuid and opened by path below its root, so that
 * nothing beyond what is mounted can be reached.
 */
export class MountView {
  readonly #native: Native;
  /** Descriptor of the mount's root. */
  readonly root: number;
  /** Path of the mount's root from the top-level subvolume. */
  readonly path: Uint8Array;

  private constructor(native: Native, root: number, path: Uint8Array) {
    this.#native = native;
    this.root = root;
    this.path = path;
  }

  /** The view that another thread has, by what it knows; the descriptor stays that thread's to close. */
  static borrow(native: Native, root: number, path: Uint8Array): MountView {
    return new MountView(native, root, path);
  }

  /**
   * @param fd An open directory of the mount.
   * @param rootMount Where it is mounted, for hosts whose `/proc` does not say.
   */
  static of(native: Native, fd: number, rootMount?: string): MountView {
    const root = openat(native, AT_FDCWD, rootMount ?? mountPointOf(fd), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      return new MountView(native, root, pathFromTop(native, root));
    } catch (error) {
      close(native, root);
      throw error;
    }
  }

  /**
   * Opens the root of the subvolume that was received from `uuid`, or else that has this uuid; `undefined` where this
   * mount shows none.
   */
  openByUuid(uuid: Uint8Array): number | undefined {
    for (const type of [UUID_RECEIVED_SUBVOL, UUID_SUBVOL] as const) {
      for (const id of this.#idsOf(uuid, type)) {
        const fd = this.#openById(id);
        if (fd !== undefined) return fd;
      }
    }
    return undefined;
  }

  close(): void {
    close(this.#native, this.root);
  }

  #idsOf(uuid: Uint8Array, type: typeof UUID_RECEIVED_SUBVOL | typeof UUID_SUBVOL): bigint[] {
    const key = uuidKey(uuid, type);
    const ids: bigint[] = [];
    for (const item of searchTree(this.#native, this.root, { tree: UUID_TREE_OBJECTID, min: key, max: key })) {
      ids.push(...decodeSubvolumeIds(viewOf(item.data)));
    }
    return ids;
  }

  #openById(id: bigint): number | undefined {
    const path = subvolumePath(this.#native, this.root, id);
    const below = path === undefined ? undefined : pathBelow(this.path, path);
    if (below === undefined) return undefined;
    const fd = this.#openPath(below);
    if (fd === undefined) return undefined;
    // Whatever else is mounted over it, or has taken its place since.
    if (statx(this.#native, fd, undefined).ino === FIRST_FREE_OBJECTID && getSubvolumeId(this.#native, fd) === id)
      return fd;
    close(this.#native, fd);
    return undefined;
  }

  #openPath(path: Uint8Array): number | undefined {
    let at = openat(this.#native, this.root, ".", DIRECTORY);
    for (let rest = path; rest.byteLength > 0; ) {
      const cut = rest.byteLength > MAX_STEP_BYTES ? rest.lastIndexOf(SLASH[0]!, MAX_STEP_BYTES) : -1;
      const step = cut < 0 ? rest : rest.subarray(0, cut);
      rest = cut < 0 ? rest.subarray(rest.byteLength) : rest.subarray(cut + 1);
      try {
        const next = openBeneath(this.#native, at, step, DIRECTORY);
        close(this.#native, at);
        at = next;
      } catch (error) {
        close(this.#native, at);
        if (error instanceof KernelError && ["ENOENT", "EXDEV", "ENOTDIR"].includes(error.errno)) return undefined;
        throw error;
      }
    }
    return at;
  }
}

/** What follows `root` in `path`; `undefined` unless it lies below or is the same. */
function pathBelow(root: Uint8Array, path: Uint8Array): Uint8Array | undefined {
  if (root.byteLength === 0) return path;
  if (!equalBytes(path.subarray(0, root.byteLength), root)) return undefined;
  if (path.byteLength === root.byteLength) return path.subarray(path.byteLength);
  return path[root.byteLength] === SLASH[0] ? path.subarray(root.byteLength + 1) : undefined;
}

/** Path of an open directory from the top-level subvolume, without a slash at either end. */
function pathFromTop(native: Native, fd: number): Uint8Array {
  const tree = getSubvolumeId(native, fd);
  const subvolume = subvolumePath(native, fd, tree);
  if (subvolume === undefined) throw new BtrfsError("missing", "Cannot find subvolume: it is deleted");
  return joined(subvolume, lookupInode(native, fd, tree, statx(native, fd, undefined).ino));
}

/** Path of a subvolume from the top-level one; `undefined` when it is deleted. */
function subvolumePath(native: Native, fd: number, id: bigint): Uint8Array | undefined {
  let path: Uint8Array = new Uint8Array(0);
  for (let at = id; at !== FS_TREE_OBJECTID; ) {
    const range = {
      tree: ROOT_TREE_OBJECTID,
      min: keyOf(at, ROOT_BACKREF, 0n),
      max: keyOf(at, ROOT_BACKREF, (1n << 64n) - 1n),
    };
    const found = searchTree(native, fd, range).next().value;
    if (found === undefined) return undefined;
    const { dirid, name } = decodeRootRef(found.data);
    path = joined(joined(lookupInode(native, fd, found.offset, dirid), name.slice()), path);
    at = found.offset;
  }
  return path;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.byteLength === 0 ? b : b.byteLength === 0 ? a : concatBytes([a, SLASH, b]);
}

/** Where the filesystem of an open file is mounted. */
function mountPointOf(fd: number): string {
  const id = /^mnt_id:\s*(\d+)$/m.exec(readProc(`/proc/self/fdinfo/${fd}`))?.[1];
  for (const line of readProc("/proc/self/mountinfo").split("\n")) {
    const [own, , , , point] = line.split(" ");
    if (own === id && point !== undefined) {
      return point.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
    }
  }
  throw new BtrfsError(
    "missing",
    "Cannot find mount point: /proc/self/mountinfo does not list it, -m says where it is",
  );
}

function readProc(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new BtrfsError("missing", `Cannot find mount point: ${path} can't be read, -m says where it is`, { cause });
  }
}
