import type { Key } from "../format/key.ts";
import type { NodeBlock } from "../format/node.ts";
import { isSubvolumeId } from "../format/objectid.ts";
import type { DelayedItems } from "./delayed-items.ts";
import type { Path } from "./descent.ts";

/** A tree as a transaction has it so far. */
export class OpenTree {
  readonly id: bigint;
  root: NodeBlock;
  /** Key of its root item; root and chunk tree have none. */
  readonly itemKey: Key | undefined;
  /** Blocks of this generation and older may be shared with snapshots. */
  lastSnapshot: number;
  /** Whether its blocks can be shared at all: those of subvolumes can. */
  readonly isShareable: boolean;
  /** The root block that its root item names. */
  recordedRoot: number;
  /** Bytes of blocks that were added, less those dropped, since its root item was written. */
  bytesDelta = 0;
  /** When an inode changed, in nanoseconds since 1970; until its root item says so. */
  changedAt: bigint | undefined;
  /** Items that are not in the tree yet, of a subvolume. */
  delayed: DelayedItems | undefined;
  /** Blocks that were looked up since the last snapshot in this transaction: nobody else has them. */
  readonly own = new Set<NodeBlock>();
  /** The way to where the tree was changed last, for as long as all blocks on it may be changed and stay where they are. */
  finger: Path | undefined;

  constructor(id: bigint, root: NodeBlock, itemKey: Key | undefined, lastSnapshot: number) {
    this.id = id;
    this.root = root;
    this.itemKey = itemKey;
    this.lastSnapshot = lastSnapshot;
    this.isShareable = isSubvolumeId(id);
    this.recordedRoot = root.logical;
  }
}
