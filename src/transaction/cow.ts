import { CorruptError } from "../errors.ts";
import { EXTENT_DATA_REF, SHARED_BLOCK_REF, SHARED_DATA_REF, TREE_BLOCK_REF } from "../format/key-type.ts";
import { BLOCK_HEADER_FLAGS, HEADER_BYTES, type NodeBlock, NodeHeader } from "../format/node.ts";
import { CHUNK_TREE_OBJECTID } from "../format/objectid.ts";
import { eachChild } from "./children.ts";
import type { DelayedRefs } from "./delayed-refs.ts";
import { newNode } from "./new-node.ts";
import type { Nodes } from "./nodes.ts";
import type { OpenTree } from "./open-tree.ts";
import type { Space } from "./space.ts";

/** How often a block is referenced, counting what waits to be applied, and whether its children are counted by its address. */
export interface Sharing {
  readonly refs: number;
  readonly full: boolean;
}

const RELOC = 2;

/**
 * Blocks are never changed where the last commit can see them: this makes copies, and keeps the references right, of the
 * blocks themselves and of what they lead to.
 */
export class Cow {
  readonly #nodes: Nodes;
  readonly #space: Space;
  readonly #refs: DelayedRefs;
  /** Looks a block up in the extent tree; set when there is one. */
  sharingOf: (logical: number, level: number) => Promise<Sharing> = () => {
    throw new TypeError("Cannot look up references yet");
  };

  constructor(nodes: Nodes, space: Space, refs: DelayedRefs) {
    this.#nodes = nodes;
    this.#space = space;
    this.#refs = refs;
  }

  /** A new, empty block of a tree. */
  async make(tree: OpenTree, level: number): Promise<NodeBlock> {
    const where = this.#space.allocateNode(tree.id === CHUNK_TREE_OBJECTID ? "system" : "metadata");
    const logical = typeof where === "number" ? where : await where;
    const node = newNode(this.#nodes.stamp, logical, tree.id, level);
    this.#nodes.add(node);
    this.#refs.create(logical, node.bytes.byteLength, level);
    this.#changeBlock(node, tree.id, 1);
    tree.bytesDelta += node.bytes.byteLength;
    if (tree.isShareable) tree.own.add(node);
    return node;
  }

  /** Drops a tree's reference of a block that it had to itself. */
  drop(tree: OpenTree, node: NodeBlock): void {
    this.#changeBlock(node, tree.id, -1);
    tree.bytesDelta -= node.bytes.byteLength;
  }

  /** Whether a block may be changed where it is, as far as that can be told without looking it up. */
  isWritable(tree: OpenTree, node: NodeBlock): boolean {
    if (!this.#nodes.isDirty(node.logical) || node.owner !== tree.id) return false;
    return !tree.isShareable || node === tree.root || !mayBeShared(tree, node) || tree.own.has(node);
  }

  /**
   * A block to change in place of `node`: a copy, unless nobody else can see it. The caller lets the parent lead there.
   * Its parent, which is a fresh block of `tree`, refers to it by the tree's id.
   */
  async copy(tree: OpenTree, node: NodeBlock): Promise<NodeBlock> {
    if (this.isWritable(tree, node)) return node;
    const isRoot = node === tree.root;
    // A root is named by its root item alone: a snapshot has a copy of it.
    const sharing =
      tree.isShareable && !isRoot && mayBeShared(tree, node)
        ? await this.sharingOf(node.logical, node.level)
        : NOT_SHARED;
    const { refs, full } = sharing;
    const isOwn = node.owner === tree.id;
    if (refs === 1 && !full) {
      if (!isOwn) throw foreign(tree, node);
      if (this.#nodes.isDirty(node.logical)) {
        tree.own.add(node);
        return node;
      }
    }
    const copy = await this.#duplicate(tree, node);
    if (refs === 1) {
      if (full) {
        this.changeChildren(copy, 1, tree.id);
        this.changeChildren(node, -1, undefined);
      }
    } else if (!full && isOwn) {
      // The owner leaves the block to the others: they find its children by its address.
      this.changeChildren(node, 1, undefined);
      this.#refs.setFull(node.logical, node.bytes.byteLength, node.level);
    } else {
      this.changeChildren(copy, 1, tree.id);
    }
    this.drop(tree, node);
    if (tree.isShareable) tree.own.add(copy);
    return copy;
  }

  /** A copy of a tree's root block as the root of a new tree that shares everything below. */
  async share(source: OpenTree, target: bigint): Promise<NodeBlock> {
    const where = await this.#space.allocateNode("metadata");
    const copy = this.#copyTo(where, source.root, target);
    this.#refs.create(where, copy.bytes.byteLength, copy.level);
    this.#changeBlock(copy, target, 1);
    this.changeChildren(copy, 1, target);
    return copy;
  }

  async #duplicate(tree: OpenTree, node: NodeBlock): Promise<NodeBlock> {
    const where = this.#space.allocateNode(tree.id === CHUNK_TREE_OBJECTID ? "system" : "metadata");
    const copy = this.#copyTo(typeof where === "number" ? where : await where, node, tree.id);
    this.#refs.create(copy.logical, copy.bytes.byteLength, copy.level);
    this.#changeBlock(copy, tree.id, 1);
    tree.bytesDelta += copy.bytes.byteLength;
    return copy;
  }

  #copyTo(logical: number, node: NodeBlock, owner: bigint): NodeBlock {
    const copy = newNode(this.#nodes.stamp, logical, owner, node.level);
    copy.bytes.set(node.bytes.subarray(HEADER_BYTES), HEADER_BYTES);
    const header = new NodeHeader(copy.view);
    header.nritems = node.count;
    header.flags = BLOCK_HEADER_FLAGS;
    this.#nodes.add(copy);
    return copy;
  }

  #changeBlock({ logical, level, bytes }: NodeBlock, root: bigint, delta: number): void {
    this.#refs.change(logical, bytes.byteLength, level, { type: TREE_BLOCK_REF, root }, delta);
  }

  /** Changes the references of all that a block leads to. @param root Whose they are; `undefined`: the block's address's. */
  changeChildren(node: NodeBlock, delta: number, root: bigint | undefined): void {
    const parent = BigInt(node.logical);
    eachChild(
      node,
      (logical, level) => {
        const ref =
          root === undefined
            ? ({ type: SHARED_BLOCK_REF, parent } as const)
            : ({ type: TREE_BLOCK_REF, root } as const);
        this.#refs.change(logical, node.bytes.byteLength, level, ref, delta);
      },
      ({ logical, length, objectid, offset }) => {
        const ref =
          root === undefined
            ? ({ type: SHARED_DATA_REF, parent, count: 1 } as const)
            : ({ type: EXTENT_DATA_REF, root, objectid, offset, count: 1 } as const);
        this.#refs.change(logical, length, -1, ref, delta);
      },
    );
  }
}

const NOT_SHARED: Sharing = { refs: 1, full: false };

function mayBeShared(tree: OpenTree, node: NodeBlock): boolean {
  const isRelocated = (node.view.getUint32(NodeHeader.offsets.flags, true) & RELOC) !== 0;
  return isRelocated || node.generation <= tree.lastSnapshot || node.owner !== tree.id;
}

function foreign(tree: OpenTree, node: NodeBlock): CorruptError {
  return new CorruptError(
    `Cannot change node: tree ${node.owner} owns it and has its only reference, it was found in tree ${tree.id}`,
    node.where,
  );
}
