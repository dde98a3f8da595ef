import { displayName } from "../bytes/display.ts";
import { entryNow, type NamedEntry } from "../edit/names.ts";
import { numberOf, type Place } from "../edit/place.ts";
import { BtrfsError } from "../errors.ts";
import { FT_DIR } from "../format/dir-item.ts";
import { INODE_ITEM } from "../format/key-type.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";

const SLASH = 0x2f;
/** Forgotten all at once beyond: it only saves looking up. */
const MAX_KNOWN = 4096;
const MAX_PATH_BYTES = 4096;

/**
 * Paths of a stream as inodes of the subvolume that it makes. Symbolic links are not followed: no path leads out.
 *
 * Nothing here waits; a step that looks up a path may throw `Wait`.
 */
export class ImagePaths {
  readonly #tree: bigint;
  readonly #directories = new Map<string, bigint>();
  /** Commands mostly are about the same path as the one before, or lie in the same directory. */
  readonly #last = new OnePath();
  readonly #above = new OnePath();

  constructor(tree: bigint) {
    this.#tree = tree;
  }

  /** The inode of a path, where it was looked up last. */
  known(path: Uint8Array): bigint | undefined {
    return path.byteLength === 0 ? FIRST_FREE_OBJECTID : this.#last.get(path);
  }

  /** @throws {BtrfsError} `missing`; `kind` where something on the way is no directory; {Wait}. */
  inode(at: Place, path: Uint8Array): bigint {
    this.#relieve();
    const known = this.known(path) ?? this.#directories.get(textOf(path));
    if (known !== undefined) return known;
    const entry = this.#entry(at, path);
    if (entry === undefined) throw problem("missing", "Cannot find path: there is nothing of this name", path);
    const { location, type } = entry;
    if (location.type !== INODE_ITEM) throw problem("kind", "Cannot use path: another subvolume lies there", path);
    if (type === FT_DIR) this.#keep(textOf(path), location.objectid);
    else this.remember(path, location.objectid);
    return location.objectid;
  }

  /** The directory that a path lies in. @throws {BtrfsError} as `inode`; {Wait}. */
  parent(at: Place, path: Uint8Array): bigint {
    this.#relieve();
    const slash = path.lastIndexOf(SLASH);
    return slash < 0 ? FIRST_FREE_OBJECTID : this.#directory(at, path.subarray(0, slash));
  }

  remember(path: Uint8Array, inode: bigint): void {
    this.#last.set(path, inode);
  }

  /** A name is gone, and with a directory all below it. */
  forget(path: Uint8Array, isDirectory: boolean): void {
    this.#last.clear();
    if (!isDirectory) return;
    this.#above.clear();
    if (this.#directories.size === 0) return;
    const text = textOf(path);
    // What lies below a directory was looked up through it.
    if (!this.#directories.has(text)) return;
    const below = `${text}/`;
    for (const known of this.#directories.keys()) {
      if (known === text || known.startsWith(below)) this.#directories.delete(known);
    }
  }

  /** What had one name has another; what had that before is gone, and was of the same kind. */
  moved(from: Uint8Array, to: Uint8Array, isDirectory: boolean): void {
    const inode = this.known(from);
    this.forget(from, isDirectory);
    this.forget(to, isDirectory);
    if (inode !== undefined) this.remember(to, inode);
  }

  #directory(at: Place, path: Uint8Array): bigint {
    const same = this.#above.get(path);
    if (same !== undefined) return same;
    const text = textOf(path);
    const known = this.#directories.get(text);
    if (known !== undefined) {
      this.#above.set(path, known);
      return known;
    }
    const entry = this.#entry(at, path);
    if (entry === undefined) throw problem("missing", "Cannot find directory: there is nothing of this name", path);
    const { location, type } = entry;
    if (type !== FT_DIR || location.type !== INODE_ITEM) {
      throw problem("kind", "Cannot use path: something on the way is no directory of the subvolume", path);
    }
    this.#keep(text, location.objectid);
    return location.objectid;
  }

  #keep(text: string, inode: bigint): void {
    this.#directories.set(text, inode);
  }

  /** Before anything is looked up: so none is kept without those above it. */
  #relieve(): void {
    if (this.#directories.size >= MAX_KNOWN) this.#directories.clear();
  }

  #entry(at: Place, path: Uint8Array): NamedEntry | undefined {
    const parent = numberOf(this.parent(at, path));
    return entryNow({ ...at, tree: this.#tree }, parent, nameOf(path));
  }
}

/** One path, in memory of its own. */
class OnePath {
  readonly #bytes = new Uint8Array(MAX_PATH_BYTES);
  #length = -1;
  #inode = 0n;

  get(path: Uint8Array): bigint | undefined {
    const { byteLength } = path;
    if (byteLength !== this.#length) return undefined;
    // Backwards: paths differ at their ends.
    for (let at = byteLength - 1; at >= 0; at--) if (path[at] !== this.#bytes[at]) return undefined;
    return this.#inode;
  }

  set(path: Uint8Array, inode: bigint): void {
    if (path.byteLength > MAX_PATH_BYTES) {
      this.clear();
      return;
    }
    this.#bytes.set(path);
    this.#length = path.byteLength;
    this.#inode = inode;
  }

  clear(): void {
    this.#length = -1;
  }
}

/** The last component of a path. */
export function nameOf(path: Uint8Array): Uint8Array {
  const slash = path.lastIndexOf(SLASH);
  return slash < 0 ? path : path.subarray(slash + 1);
}

function problem(code: "missing" | "kind", sentence: string, path: Uint8Array): BtrfsError {
  return new BtrfsError(code, sentence, { where: { path: displayName(path) } });
}

/** A text for each path: one character a byte. */
function textOf(path: Uint8Array): string {
  return String.fromCharCode.apply(undefined, path as unknown as number[]);
}
