import type { Key, KeyRange } from "../format/key.ts";
import type { Leaf, NodeBlock } from "../format/node.ts";
import type { KnownLeaf } from "./same-items.ts";

/** What the parent, the root item or the superblock says about a node before it is read. */
export interface NodeExpectation {
  readonly level: number;
  readonly generation: number;
  /** Object id of the tree that is read. Blocks of subvolumes may be any subvolume's; 0 leaves the owner unchecked. */
  readonly owner: bigint;
  /** Key in the parent. */
  readonly firstKey?: Key | undefined;
  /** Next key in the parent: every key of the node is below it. */
  readonly endKey?: Key | undefined;
}

/** What a tree needs of the world: the verified node at a logical address. Each mirror is judged by what the parent expects. */
export interface LogicalSource {
  /**
   * The node at `logical`, of which checksum and `checkNode` hold; tries the mirrors until one passes.
   *
   * @throws {CorruptError} when none does.
   */
  readNode(logical: number, expect: NodeExpectation): Promise<NodeBlock>;
  /** Without waiting, when the cache has it. The tree looks at the expectation again. */
  cached(logical: number, expect: NodeExpectation): NodeBlock | undefined;
  /** As `readNode`, without waiting: where the devices can be read so, and the first copy is good. */
  readNow?(logical: number, expect: NodeExpectation): NodeBlock | undefined;
  /**
   * As `readNow`, into `bytes` of the caller's own, who may read into them again and has to take them back at the end.
   * Until either, `cached` gives copies.
   *
   * @param known A leaf that was read before: items that both have are not checked again. It hears which.
   */
  lend?(logical: number, expect: NodeExpectation, bytes: Uint8Array, known?: KnownLeaf): NodeBlock | undefined;
  takeBack?(bytes: Uint8Array): void;
  /** A node that is lent, to be looked at before the next call: `cached` would copy it. The tree looks at the expectation again. */
  lentNow?(logical: number, generation: number): NodeBlock | undefined;
  /** A hint that these nodes will be wanted soon, in this order. */
  prefetch?(logicals: readonly number[]): void;
}

/** Leaves that another thread reads and verifies before they are wanted. */
export interface LeavesAhead {
  /** These will be wanted soon, roughly in this order. */
  announce(leaves: readonly ChildPlace[]): void;
  /** Fills `bytes` with a leaf that was announced; `false` where that can't be, so it has to be read. */
  take(logical: number, generation: number, bytes: Uint8Array): boolean;
}

/** What a pointer of an inner node says, and whose it is. */
export interface ChildPlace {
  readonly logical: number;
  readonly generation: number;
  readonly owner: bigint;
}

/** Where a tree starts: from the superblock or a root item. */
export interface TreeRoot {
  /** Object id of the tree. */
  readonly id: bigint;
  readonly logical: number;
  readonly level: number;
  readonly generation: number;
}

/** Items `first` to `last` (exclusive) of one leaf. */
export interface LeafSpan {
  readonly leaf: Leaf;
  readonly first: number;
  readonly last: number;
}

export interface LeavesOptions {
  /** Skips subtrees that were last written before this generation. */
  readonly minGeneration?: number;
  readonly signal?: AbortSignal;
}

/** Items by key: an image's tree, or a live one through tree search. */
export interface Tree {
  /** The item with this key, or the last one at or before it: a span of one item. */
  find(key: Key, match: "exact" | "atOrBefore"): Promise<LeafSpan | undefined>;
  /**
   * As `find`, without waiting; `null` where that can't be. A leaf that is lent stays as it is until the next one is lent.
   *
   * @param key A packed `btrfs_disk_key`.
   */
  findNow(key: DataView, match: "exact" | "atOrBefore"): LeafSpan | undefined | null;
  /** Items of a range in key order, leaf by leaf; spans are never empty. */
  leaves(range?: KeyRange, options?: LeavesOptions): AsyncIterable<LeafSpan>;
}

/** A tree whose node pointers can be seen, so that shared subtrees are skipped by address. An image has it; a live source does not. */
export interface BlockTree extends Tree {
  readonly id: bigint;
  readonly root: NodeBlock;
  /** The child in `slot` of an inner node of this tree. Levels only fall, so a descent ends. */
  child(node: NodeBlock, slot: number): Promise<NodeBlock>;
  /** As `child`, without waiting; `undefined` where that can't be. */
  childNow(node: NodeBlock, slot: number): NodeBlock | undefined;
  /**
   * As `childNow`, for leaves that are passed once: a leaf that is not in memory is read into `bytes`. Lookups find
   * it there.
   *
   * @param bytes As many as a node has. They stay as they are for two more calls, then go with `takeBack`.
   * @param known A leaf of such a tree that may have much in common with it, which is not checked again. It hears what.
   */
  lendNow(node: NodeBlock, slot: number, bytes: Uint8Array, known?: KnownLeaf): NodeBlock | undefined;
  takeBack(bytes: Uint8Array): void;
}
