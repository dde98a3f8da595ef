import type { Piece } from "../fs/extents.ts";
import type { Filesystem } from "../fs/filesystem.ts";
import type { Inode } from "../fs/inode.ts";
import type { Xattr } from "../fs/xattr.ts";
import type { RestoreResult } from "./batch.ts";
import { InodeItemReader } from "./inode-items.ts";
import { tellProblem } from "./results.ts";

/** One inode, read from the image. */
export interface Found {
  readonly inode: Inode;
  readonly xattrs: readonly Xattr[];
  /** `undefined` when they are still to be read. */
  readonly pieces: readonly Piece[] | undefined;
}

/** Reads inodes, at once where all of an inode lies in one leaf. */
export class InodeFinder {
  readonly #filesystem: Filesystem;
  #reader: { readonly tree: bigint; readonly items: InodeItemReader } | undefined;

  constructor(filesystem: Filesystem) {
    this.#filesystem = filesystem;
  }

  /** `undefined` when it can't be read, which has been told. */
  read(
    tree: bigint,
    number: bigint,
    source: Uint8Array,
    result: RestoreResult,
  ): Found | undefined | Promise<Found | undefined> {
    if (this.#reader?.tree !== tree) return this.readLong(tree, number, source, result);
    const items = this.#reader.items.read(number, source);
    if (items instanceof Promise) return items.then((found) => found ?? this.readLong(tree, number, source, result));
    return items ?? this.readLong(tree, number, source, result);
  }

  /** Through all copies. `undefined` as with `read`. */
  async readLong(tree: bigint, number: bigint, source: Uint8Array, result: RestoreResult): Promise<Found | undefined> {
    try {
      const subvolume = await this.#filesystem.subvolume(tree);
      if (this.#reader?.tree !== tree) this.#reader = { tree, items: new InodeItemReader(subvolume) };
      const inode = await subvolume.inode(number, source);
      let xattrs: readonly Xattr[] = [];
      try {
        xattrs = await inode.xattrs();
      } catch (error) {
        tellProblem(result, "lost", source, error, "Cannot restore extended attributes");
      }
      return { inode, xattrs, pieces: undefined };
    } catch (error) {
      tellProblem(result, "lost", source, error, "Cannot restore");
      return undefined;
    }
  }
}
