import { comparePackedKeys, type Key, type KeyRange, packKey } from "../format/key.ts";
import { childLogical, HEADER_BYTES, ITEM_HEADER_BYTES, keyAt, lowerBound, type NodeBlock } from "../format/node.ts";
import { checkExpectation } from "./check.ts";
import { ChildExpectation, childSlot } from "./child.ts";
import type { KnownLeaf } from "./same-items.ts";
import type { BlockTree, LeafSpan, LeavesOptions, LogicalSource, NodeExpectation, TreeRoot } from "./source.ts";
import { LeafWalk } from "./walk.ts";

/** A tree of an image. */
export class NodeTree implements BlockTree {
  readonly id: bigint;
  readonly root: NodeBlock;
  readonly source: LogicalSource;
  /** Searches mostly go where the one before went. */
  #lastLeaf: NodeBlock | undefined;
  /** Their bytes are lent, and become other leaves'. */
  #lentLeaf: NodeBlock | undefined;
  #lentBefore: NodeBlock | undefined;

  private constructor(source: LogicalSource, id: bigint, root: NodeBlock) {
    this.source = source;
    this.id = id;
    this.root = root;
  }

  /** @throws {CorruptError} when the root node is not what `root` says. */
  static async open(source: LogicalSource, root: TreeRoot): Promise<NodeTree> {
    const expect: NodeExpectation = { level: root.level, generation: root.generation, owner: root.id };
    const node = source.cached(root.logical, expect) ?? (await source.readNode(root.logical, expect));
    checkExpectation(node, expect);
    return new NodeTree(source, root.id, node);
  }

  async find(key: Key, match: "exact" | "atOrBefore"): Promise<LeafSpan | undefined> {
    const packed = packKey(key);
    const found = this.findNow(packed, match);
    if (found !== null) return found;
    let node = this.root;
    let expect: ChildExpectation | undefined;
    while (node.level > 0) {
      const slot = childSlot(node, packed);
      expect = new ChildExpectation(node, slot, this.id, expect);
      const logical = childLogical(node, slot);
      node = this.source.cached(logical, expect) ?? (await this.source.readNode(logical, expect));
      expect.check(node);
    }
    return findInLeaf(node, packed, match);
  }

  findNow(key: DataView, match: "exact" | "atOrBefore"): LeafSpan | undefined | null {
    const leaf = this.#lastLeaf;
    if (leaf !== undefined && holds(leaf, key)) return findInLeaf(leaf, key, match);
    const lent = this.#lentLeaf;
    if (lent !== undefined && holds(lent, key)) return findInLeaf(lent, key, match);
    const before = this.#lentBefore;
    if (before !== undefined && holds(before, key)) return findInLeaf(before, key, match);
    let node = this.root;
    let expect: ChildExpectation | undefined;
    while (node.level > 0) {
      const slot = childSlot(node, key);
      expect = new ChildExpectation(node, slot, this.id, expect);
      const logical = childLogical(node, slot);
      const older = node.level === 1 ? this.source.lentNow?.(logical, expect.generation) : undefined;
      if (older !== undefined) {
        expect.check(older);
        return findInLeaf(older, key, match);
      }
      const child = this.#childNow(logical, expect);
      if (child === undefined) return null;
      node = child;
    }
    this.#lastLeaf = node;
    return findInLeaf(node, key, match);
  }

  leaves(range?: KeyRange, options?: LeavesOptions): AsyncIterable<LeafSpan> {
    return spansOf(this.walk(range, options));
  }

  /** The same as `leaves`, for loops that do not want to wait for what is cached. */
  walk(range?: KeyRange, options?: LeavesOptions): LeafWalk {
    return new LeafWalk(this.source, this.id, this.root, range, options);
  }

  async child(node: NodeBlock, slot: number): Promise<NodeBlock> {
    if (node.level === 0 || slot < 0 || slot >= node.count) {
      throw new RangeError(`Cannot go to child ${slot}: node has ${node.level === 0 ? "no" : node.count} children`);
    }
    const expect = new ChildExpectation(node, slot, this.id);
    const logical = childLogical(node, slot);
    const child = this.source.cached(logical, expect) ?? (await this.source.readNode(logical, expect));
    expect.check(child);
    return child;
  }

  childNow(node: NodeBlock, slot: number): NodeBlock | undefined {
    return this.#childNow(childLogical(node, slot), new ChildExpectation(node, slot, this.id));
  }

  lendNow(node: NodeBlock, slot: number, bytes: Uint8Array, known?: KnownLeaf): NodeBlock | undefined {
    const expect = new ChildExpectation(node, slot, this.id);
    const logical = childLogical(node, slot);
    const leaf = this.source.cached(logical, expect) ?? this.source.lend?.(logical, expect, bytes, known);
    if (leaf === undefined) {
      // What was lent before is not known to last as long as this tree would go on using it.
      this.#lentLeaf = undefined;
      this.#lentBefore = undefined;
      return this.#childNow(logical, expect);
    }
    expect.check(leaf);
    this.#lentBefore = this.#lentLeaf;
    this.#lentLeaf = leaf;
    return leaf;
  }

  takeBack(bytes: Uint8Array): void {
    this.#lentLeaf = undefined;
    this.#lentBefore = undefined;
    this.source.takeBack?.(bytes);
  }

  #childNow(logical: number, expect: ChildExpectation): NodeBlock | undefined {
    const child = this.source.cached(logical, expect) ?? this.source.readNow?.(logical, expect);
    if (child !== undefined) expect.check(child);
    return child;
  }
}

/** Whether what a search for `key` finds is in this leaf: it lies between two of its keys. */
function holds(leaf: NodeBlock, key: DataView): boolean {
  const { view, count } = leaf;
  return (
    count > 0 &&
    comparePackedKeys(view, HEADER_BYTES, key, 0) <= 0 &&
    comparePackedKeys(view, HEADER_BYTES + (count - 1) * ITEM_HEADER_BYTES, key, 0) >= 0
  );
}

/** A child begins with its pointer's key, so an item before `key` is in this leaf or nowhere. */
function findInLeaf(leaf: NodeBlock, key: DataView, match: "exact" | "atOrBefore"): LeafSpan | undefined {
  const slot = lowerBound(leaf, key);
  if (slot < leaf.count && comparePackedKeys(leaf.view, keyAt(leaf, slot), key, 0) === 0) {
    return { leaf, first: slot, last: slot + 1 };
  }
  return match === "exact" || slot === 0 ? undefined : { leaf, first: slot - 1, last: slot };
}

async function* spansOf(walk: LeafWalk): AsyncGenerator<LeafSpan> {
  for (;;) {
    const next = walk.next();
    const span = next instanceof Promise ? await next : next;
    if (span === undefined) return;
    yield span;
  }
}
