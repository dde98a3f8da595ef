import { toBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { BtrfsError } from "../errors.ts";
import { NAME_LEN } from "../format/dir-item.ts";
import type { Inode } from "./inode.ts";

const SLASH = 0x2f;
const DOT = 0x2e;
/** As Linux: so many symlinks in one lookup, then it is a loop. */
const MAX_SYMLINKS = 40;

export interface LookupOptions {
  /** Where a path begins; the top of the filesystem unless said. Neither `..` nor a symlink leads out of it. */
  readonly from?: Inode | undefined;
  /** Follows symlinks, absolute ones from where the path begins. Without it, one may stand only at the end of a path. */
  readonly followSymlinks?: boolean | undefined;
}

/**
 * What `path` leads to; names are compared byte by byte, and subvolumes are crossed.
 *
 * @throws {BtrfsError} `missing`; `kind` where something on the way is no directory; `limit` for a loop of symlinks.
 */
export async function lookupPath(top: Inode, path: string | Uint8Array, followSymlinks = false): Promise<Inode> {
  const todo = splitPath(toBytes(path)).reverse();
  const above: Inode[] = [];
  let here = top;
  let symlinks = 0;
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    if (isDots(name, 1) || name.byteLength === 0) {
      // `a/` and `a/.` are `a`, which has to be a directory.
      here.demand("directory", "go on");
      continue;
    }
    if (isDots(name, 2)) {
      here.demand("directory", "go up");
      here = above.pop() ?? here;
      continue;
    }
    const entry = await here.findEntry(name);
    if (entry === undefined) throw missing(here, name);
    const found = await here.enter(entry);
    if (found.kind !== "symlink" || !followSymlinks) {
      above.push(here);
      here = found;
      continue;
    }
    if (++symlinks > MAX_SYMLINKS) {
      const sentence = `Cannot follow symlinks: there are more than ${MAX_SYMLINKS} of them on the way`;
      throw new BtrfsError("limit", sentence, { where: found.where });
    }
    const target = await found.readSymlink();
    if (target[0] === SLASH) {
      above.length = 0;
      here = top;
    }
    todo.push(...splitPath(target).reverse());
  }
  return here;
}

function missing(directory: Inode, name: Uint8Array): BtrfsError {
  const path = displayName(joinPath(directory.path ?? new Uint8Array(0), name));
  return new BtrfsError("missing", "Cannot find path: there is no such name", {
    where: { ...directory.where, path },
  });
}

/** The names of a path. One slash at its begin counts for nothing; an empty last one says that it is a directory. */
function splitPath(path: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  for (let start = 0; start < path.byteLength; ) {
    let end = path.indexOf(SLASH, start);
    if (end < 0) end = path.byteLength;
    if (end > start) names.push(path.subarray(start, end));
    start = end + 1;
  }
  if (names.length > 0 && path.at(-1) === SLASH) names.push(new Uint8Array(0));
  return names;
}

function isDots(name: Uint8Array, count: 1 | 2): boolean {
  return name.byteLength === count && name[0] === DOT && name[count - 1] === DOT;
}

/** @param directory Empty for the top. */
export function joinPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  if (directory.byteLength === 0) return name;
  const path = new Uint8Array(directory.byteLength + 1 + name.byteLength);
  path.set(directory);
  path[directory.byteLength] = SLASH;
  path.set(name, directory.byteLength + 1);
  return path;
}

/** @param directory Empty for the top. */
export function joinNames(directory: Uint8Array, names: readonly Uint8Array[]): Uint8Array {
  const parts = directory.byteLength === 0 ? names : [directory, ...names];
  if (parts.length <= 1) return parts[0] ?? directory;
  const path = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength + 1, -1)).fill(SLASH);
  let at = 0;
  for (const part of parts) {
    path.set(part, at);
    at += part.byteLength + 1;
  }
  return path;
}

/**
 * Whether a name may become a file of a host: 1 to 255 bytes, neither `.` nor `..`, without slash and NUL. Damaged and
 * hostile images have others; nothing but the bytes themselves says what they were meant to be.
 */
export function isSafeName(name: Uint8Array): boolean {
  const { byteLength } = name;
  if (byteLength === 0 || byteLength > NAME_LEN || isDots(name, 1) || isDots(name, 2)) return false;
  return !name.includes(SLASH) && !name.includes(0);
}
