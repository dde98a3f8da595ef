import { readSafe } from "../bytes/u64.ts";
import { InodeItem, S_IFDIR, S_IFMT } from "../format/inode.ts";
import { INODE_ITEM } from "../format/key-type.ts";
import { itemSize, itemStart, keyAt, type Leaf, slotType } from "../format/node.ts";
import { namesIn } from "./leaf-names.ts";
import { SameInodes } from "./same-inodes.ts";
import type { Snapshot } from "./snapshot.ts";

/** What the items that both snapshots have say of inodes, taken as they are passed: looking it up later costs more. */
export class SameItems {
  /** Directories that have the same generation in both. */
  readonly inodes = new SameInodes();
  readonly #left: Snapshot;
  readonly #right: Snapshot | undefined;

  constructor(left: Snapshot, right: Snapshot | undefined) {
    this.#left = left;
    this.#right = right;
  }

  /** Takes an INODE_ITEM. */
  addInode(leaf: Leaf, slot: number): void {
    if (itemSize(leaf, slot) < InodeItem.byteLength) return;
    const mode = leaf.view.getUint32(itemStart(leaf, slot) + InodeItem.offsets.mode, true);
    if ((mode & S_IFMT) === S_IFDIR) this.inodes.keep(readSafe(leaf.view, keyAt(leaf, slot), "inode number"));
  }

  /** Takes names of the current inode, if they stand right behind it: its first one is among them. */
  addName(leaf: Leaf, slot: number, ino: number): void {
    if (slot === 0 || slotType(leaf, slot - 1) !== INODE_ITEM) return;
    if (readSafe(leaf.view, keyAt(leaf, slot), "inode number") !== ino) return;
    const first = namesIn(leaf, slot)[0];
    const above = first && this.inodes.has(first.dir) ? this.#left.inodeNow(first.dir) : undefined;
    if (first === undefined || above === undefined || above === null) return;
    const name = { dir: first.dir, dirGeneration: above.generation, name: first.name.slice() };
    this.#left.passName(ino, name);
    this.#right?.passName(ino, name);
  }
}
