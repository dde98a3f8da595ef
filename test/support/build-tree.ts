import { encodeKey, type Key } from "../../src/format/key.ts";
import {
  childLogical,
  HEADER_BYTES,
  ITEM_HEADER_BYTES,
  itemBytes,
  KEY_POINTER_BYTES,
  NodeBlock,
  NodeHeader,
  slotKey,
} from "../../src/format/node.ts";
import { checkNode } from "../../src/tree/check.ts";
import type { NodeLimits } from "../../src/tree/limits.ts";
import type { LogicalSource, NodeExpectation, TreeRoot } from "../../src/tree/source.ts";

export interface BuiltItem {
  readonly key: Key;
  readonly data: Uint8Array;
}

export const BUILT_FSID = Uint8Array.from({ length: 16 }, (_, at) => at + 1);
const GENERATION = 7;

/** Nodes by address, checked when read; counts what was read. Holds no cache until told to. */
export class BuiltTree implements LogicalSource {
  readonly nodes = new Map<number, NodeBlock>();
  readonly limits: NodeLimits;
  readonly owner: bigint;
  root: TreeRoot;
  reads: number[] = [];
  announced: number[] = [];
  /** Addresses that `cached` answers. */
  readonly inCache = new Set<number>();

  /** Packs `items`, which are sorted, into leaves of at most `perNode` items and nodes of at most `perNode` children. */
  constructor(items: readonly BuiltItem[], perNode = 3, nodeSize = 4096, owner = 5n) {
    this.owner = owner;
    this.limits = {
      nodeSize,
      sectorSize: 4096,
      checksumSize: 4,
      fsid: BUILT_FSID,
      generation: GENERATION,
    };
    let level = 0;
    let nodes = inGroups(items, perNode).map((group) => this.#leaf(group));
    while (nodes.length > 1) {
      level++;
      nodes = inGroups(nodes, perNode).map((group) => this.#inner(group, level));
    }
    this.root = { id: owner, logical: nodes[0]!.logical, level, generation: GENERATION };
  }

  cached(logical: number): NodeBlock | undefined {
    return this.inCache.has(logical) ? this.nodes.get(logical) : undefined;
  }

  async readNode(logical: number, expect: NodeExpectation): Promise<NodeBlock> {
    this.reads.push(logical);
    const node = this.nodes.get(logical)!;
    checkNode(node, logical, expect, this.limits);
    return node;
  }

  prefetch(logicals: readonly number[]): void {
    this.announced.push(...logicals);
  }

  /** The root of a tree that has the data of one item changed, and shares all blocks that do not lead there. */
  copyPath(objectid: bigint, edit: (data: Uint8Array) => void): TreeRoot {
    const copy = (from: NodeBlock): NodeBlock => {
      const node = this.#node(from.level, from.count);
      node.bytes.set(from.bytes.subarray(HEADER_BYTES), HEADER_BYTES);
      let slot = 0;
      while (slot + 1 < from.count && slotKey(from, slot + 1).objectid <= objectid) slot++;
      if (from.level === 0) edit(itemBytes(node, slot));
      else redirect(node, slot, copy(this.nodes.get(childLogical(from, slot))!).logical);
      return node;
    };
    const root = copy(this.nodes.get(this.root.logical)!);
    return { ...this.root, logical: root.logical };
  }

  #node(level: number, count: number): NodeBlock {
    const logical = (this.nodes.size + 1) * 65536;
    const node = new NodeBlock(new Uint8Array(this.limits.nodeSize), { logical });
    const header = new NodeHeader(node.view);
    header.fsid = BUILT_FSID;
    header.bytenr = BigInt(logical);
    header.flags = 1n | (1n << 56n);
    header.generation = BigInt(GENERATION);
    header.owner = this.owner;
    header.nritems = count;
    header.level = level;
    this.nodes.set(logical, node);
    return node;
  }

  #leaf(items: readonly BuiltItem[]): NodeBlock {
    const node = this.#node(0, items.length);
    let end = this.limits.nodeSize - HEADER_BYTES;
    items.forEach(({ key, data }, slot) => {
      const at = HEADER_BYTES + slot * ITEM_HEADER_BYTES;
      end -= data.byteLength;
      encodeKey(key, node.view, at);
      node.view.setUint32(at + 17, end, true);
      node.view.setUint32(at + 21, data.byteLength, true);
      node.bytes.set(data, HEADER_BYTES + end);
    });
    return node;
  }

  #inner(children: readonly NodeBlock[], level: number): NodeBlock {
    const node = this.#node(level, children.length);
    children.forEach((child, slot) => {
      const at = HEADER_BYTES + slot * KEY_POINTER_BYTES;
      node.bytes.set(child.bytes.subarray(HEADER_BYTES, HEADER_BYTES + 17), at);
      node.view.setBigUint64(at + 17, BigInt(child.logical), true);
      node.view.setBigUint64(at + 25, BigInt(child.generation), true);
    });
    return node;
  }
}

function inGroups<T>(all: readonly T[], size: number): T[][] {
  const groups: T[][] = [];
  for (let at = 0; at < all.length; at += size) groups.push(all.slice(at, at + size));
  return groups.length > 0 ? groups : [[]];
}

/** Makes the pointer in `slot` of `node` lead elsewhere, under another key if one is given. */
export function redirect(node: NodeBlock, slot: number, logical: number, key?: Key): void {
  const at = HEADER_BYTES + slot * KEY_POINTER_BYTES;
  node.view.setBigUint64(at + 17, BigInt(logical), true);
  if (key !== undefined) encodeKey(key, node.view, at);
}
