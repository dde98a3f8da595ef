import { displayName } from "../bytes/display.ts";
import { findName } from "../edit/names.ts";
import type { Place } from "../edit/place.ts";
import { BtrfsError } from "../errors.ts";
import { FT_DIR } from "../format/dir-item.ts";
import { INODE_ITEM } from "../format/key-type.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";

const SLASH = 0x2f;
/** Forgotten all at once beyond: it only saves looking up. */
const MAX_KNOWN = 4096;

/** Paths of a stream as inodes of the subvolume that it makes. Symbolic links are not followed: no path leads out. */
export class ImagePaths {
  readonly #tree: bigint;
  readonly #known = new Map<string, bigint>();
  /** Of these, the ones that were gone through: only their going changes what other paths mean. */
  readonly #entered = new Set<string>();

  constructor(tree: bigint) {
    this.#tree = tree;
  }

  /** The inode of a path, where it was looked up before. */
  known(path: Uint8Array): bigint | undefined {
    return path.byteLength === 0 ? FIRST_FREE_OBJECTID : this.#known.get(textOf(path));
  }

  /** @throws {BtrfsError} `missing`; `kind` where something on the way is no directory. */
  async inode(at: Place, path: Uint8Array): Promise<bigint> {
    const known = this.known(path);
    if (known !== undefined) return known;
    const { directory, name } = await this.parent(at, path);
    const entry = await findName({ ...at, tree: this.#tree }, directory, name);
    if (entry === undefined) {
      throw new BtrfsError("missing", "Cannot find path: there is nothing of this name", {
        where: { path: displayName(path) },
      });
    }
    if (entry.location.type !== INODE_ITEM) {
      throw new BtrfsError("kind", "Cannot use path: another subvolume lies there", {
        where: { path: displayName(path) },
      });
    }
    this.remember(path, entry.location.objectid);
    return entry.location.objectid;
  }

  /** The directory that a path lies in, and its name there. */
  async parent(at: Place, path: Uint8Array): Promise<{ directory: bigint; name: Uint8Array }> {
    const slash = path.lastIndexOf(SLASH);
    if (slash < 0) return { directory: FIRST_FREE_OBJECTID, name: path };
    const before = path.subarray(0, slash);
    return { directory: await this.#directory(at, before), name: path.subarray(slash + 1) };
  }

  remember(path: Uint8Array, inode: bigint): void {
    if (this.#known.size >= MAX_KNOWN) {
      this.#known.clear();
      this.#entered.clear();
    }
    this.#known.set(textOf(path), inode);
  }

  /** A name is gone, and with a directory all below it. */
  forget(path: Uint8Array): void {
    const text = textOf(path);
    this.#known.delete(text);
    if (!this.#entered.has(text)) return;
    const below = `${text}/`;
    for (const paths of [this.#known, this.#entered]) {
      for (const known of paths.keys()) if (known === text || known.startsWith(below)) paths.delete(known);
    }
  }

  /** What had one name has another. */
  moved(from: Uint8Array, to: Uint8Array): void {
    const inode = this.#known.get(textOf(from));
    this.forget(from);
    this.forget(to);
    if (inode !== undefined) this.remember(to, inode);
  }

  async #directory(at: Place, path: Uint8Array): Promise<bigint> {
    const text = textOf(path);
    const known = this.#known.get(text);
    if (known !== undefined) {
      this.#entered.add(text);
      return known;
    }
    const { directory, name } = await this.parent(at, path);
    const entry = await findName({ ...at, tree: this.#tree }, directory, name);
    const where = { where: { path: displayName(path) } };
    if (entry === undefined)
      throw new BtrfsError("missing", "Cannot find directory: there is nothing of this name", where);
    if (entry.type !== FT_DIR || entry.location.type !== INODE_ITEM) {
      throw new BtrfsError("kind", "Cannot use path: something on the way is no directory of the subvolume", where);
    }
    this.remember(path, entry.location.objectid);
    this.#entered.add(text);
    return entry.location.objectid;
  }
}

/** A text for each path: one character a byte. */
function textOf(path: Uint8Array): string {
  return String.fromCharCode.apply(undefined, path as unknown as number[]);
}
