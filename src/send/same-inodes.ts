import { readSafe } from "../bytes/u64.ts";
import { InodeItem, S_IFDIR, S_IFMT } from "../format/inode.ts";
import { itemSize, itemStart, keyAt, type Leaf } from "../format/node.ts";

const MAX_KEPT = 65_536;

/** Directories that have the same generation in both snapshots: as the leaves that are passed show, or as was looked up. */
export class SameInodes {
  readonly #kept = new Set<number>();
  #last = 0;

  has(dir: number): boolean {
    if (dir !== this.#last && !this.#kept.has(dir)) return false;
    this.#last = dir;
    return true;
  }

  keep(dir: number): void {
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
    this.#kept.add(dir);
  }

  /** Takes an INODE_ITEM that both have. */
  add(leaf: Leaf, slot: number): void {
    if (itemSize(leaf, slot) < InodeItem.byteLength) return;
    const mode = leaf.view.getUint32(itemStart(leaf, slot) + InodeItem.offsets.mode, true);
    if ((mode & S_IFMT) === S_IFDIR) this.keep(readSafe(leaf.view, keyAt(leaf, slot), "inode number"));
  }
}
