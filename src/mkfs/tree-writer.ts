import { viewOf } from "../bytes/bytes.ts";
import { encodeKey, KEY_BYTES } from "../format/key.ts";
import { HEADER_BYTES, ITEM_HEADER_BYTES, ItemHeader, KEY_POINTER_BYTES, NodeBlock } from "../format/node.ts";
import { innerCapacity } from "../transaction/inner.ts";
import { leafCapacity, setCount } from "../transaction/leaf.ts";
import { initNode, type NodeStamp } from "../transaction/new-node.ts";
import type { Item } from "./item.ts";

/** Where a tree begins. */
export interface TreeRoot {
  readonly logical: number;
  readonly level: number;
  /** Tree blocks that it has. */
  readonly blocks: number;
}

/** Where the blocks of a tree go. */
export interface BlockTarget {
  /** The address of the next block. */
  place(level: number): number;
  /** Takes a complete block, all but its checksum; its bytes are lent. */
  put(node: NodeBlock): void;
}

/**
 * Writes a tree from its items, which come sorted: one open block a level, and nothing is ever looked at again.
 *
 * A block gets its address when it is full, and its parent's comes later.
 */
export class TreeWriter {
  readonly #stamp: NodeStamp;
  readonly #id: bigint;
  readonly #target: BlockTarget;
  readonly #levels: OpenBlock[] = [];
  readonly #capacity: number;
  #blocks = 0;
  /** Bytes of the open leaf, and where in them the data of the item that was added last lies. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at = 0;
  /** Bytes between item headers and data of the open leaf. */
  #free: number;

  constructor(stamp: NodeStamp, id: bigint, target: BlockTarget) {
    this.#stamp = stamp;
    this.#id = id;
    this.#target = target;
    this.#capacity = innerCapacity(stamp.nodeSize);
    this.#free = leafCapacity(stamp.nodeSize);
    const leaf = new OpenBlock(stamp.nodeSize);
    this.#levels.push(leaf);
    this.bytes = leaf.bytes;
    this.view = leaf.view;
  }

  /**
   * Makes room for the next item; its data, zeros, begin at `at` of `bytes` until the next one is added.
   *
   * @param objectid, offset Negative ones count down from 2^64.
   */
  add(objectid: number, type: number, offset: number, size: number): void {
    const header = this.#open(size);
    putU64(this.view, header, objectid);
    this.view.setUint8(header + ItemHeader.offsets.type, type);
    putU64(this.view, header + ItemHeader.offsets.keyOffset, offset);
  }

  addItem({ key, data }: Item): void {
    encodeKey(key, this.view, this.#open(data.byteLength));
    this.bytes.set(data, this.at);
  }

  /** Writes what is open. No item may follow. */
  finish(): TreeRoot {
    for (let level = 0; ; level++) {
      const isTop = level === this.#levels.length - 1;
      const logical = this.#seal(level, !isTop);
      if (isTop) return { logical, level, blocks: this.#blocks };
    }
  }

  /** @returns Where its header lies. */
  #open(size: number): number {
    const footprint = ITEM_HEADER_BYTES + size;
    if (this.#free < footprint) {
      if (footprint > leafCapacity(this.#stamp.nodeSize)) {
        throw new RangeError(`Cannot add item of ${size} bytes: a leaf has ${leafCapacity(this.#stamp.nodeSize)}`);
      }
      this.#seal(0, true);
      this.#free = leafCapacity(this.#stamp.nodeSize);
    }
    const leaf = this.#levels[0]!;
    const header = HEADER_BYTES + leaf.count * ITEM_HEADER_BYTES;
    this.#free -= footprint;
    leaf.count++;
    // Headers and data meet in the middle: what is free lies between.
    const start = leaf.count * ITEM_HEADER_BYTES + this.#free;
    this.at = HEADER_BYTES + start;
    this.view.setUint32(header + ItemHeader.offsets.offset, start, true);
    this.view.setUint32(header + ItemHeader.offsets.size, size, true);
    return header;
  }

  #seal(level: number, withParent: boolean): number {
    const open = this.#levels[level]!;
    const logical = this.#target.place(level);
    const node = new NodeBlock(open.bytes, { logical, tree: this.#id });
    initNode(node, this.#stamp, logical, this.#id, level);
    setCount(node, open.count);
    this.#target.put(node);
    this.#blocks++;
    if (withParent) this.#point(level + 1, open.bytes, logical);
    open.bytes.fill(0);
    open.count = 0;
    return logical;
  }

  #point(level: number, child: Uint8Array, logical: number): void {
    if (level === this.#levels.length) this.#levels.push(new OpenBlock(this.#stamp.nodeSize));
    if (this.#levels[level]!.count === this.#capacity) this.#seal(level, true);
    const { bytes, view, count } = this.#levels[level]!;
    const at = HEADER_BYTES + count * KEY_POINTER_BYTES;
    bytes.set(child.subarray(HEADER_BYTES, HEADER_BYTES + KEY_BYTES), at);
    putU64(view, at + KEY_BYTES, logical);
    putU64(view, at + KEY_BYTES + 8, this.#stamp.generation);
    this.#levels[level]!.count++;
  }
}

class OpenBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  count = 0;

  constructor(nodeSize: number) {
    this.bytes = new Uint8Array(nodeSize);
    this.view = viewOf(this.bytes);
  }
}

/** How many leaves a tree needs whose items come one by one. */
export class LeafCount {
  readonly #capacity: number;
  #free = 0;
  count = 0;

  constructor(nodeSize: number) {
    this.#capacity = leafCapacity(nodeSize);
  }

  add(size: number): void {
    const footprint = ITEM_HEADER_BYTES + size;
    if (this.#free < footprint) {
      this.count++;
      this.#free = this.#capacity;
    }
    this.#free -= footprint;
  }
}

/** Level of each block of a tree with so many leaves, in the order in which `TreeWriter` places them. */
export function placeOrder(leaves: number, nodeSize: number): number[] {
  const capacity = innerCapacity(nodeSize);
  const order: number[] = [];
  /** Pointers in the open block of each level. */
  const open = [0];
  const seal = (level: number): void => {
    order.push(level);
    if (level + 1 === open.length) open.push(0);
    if (open[level + 1] === capacity) {
      seal(level + 1);
      open[level + 1] = 0;
    }
    open[level + 1]!++;
  };
  for (let leaf = 1; leaf < leaves; leaf++) seal(0);
  for (let level = 0; ; level++) {
    if (level === open.length - 1) return [...order, level];
    seal(level);
  }
}

/** Writes a u64; a negative number counts down from 2^64. */
export function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000) >>> 0, true);
}
