import { type Key, keyOf } from "../format/key.ts";
import { ITEM_HEADER_BYTES, type NodeBlock, slotKey } from "../format/node.ts";
import { innerCapacity, insertPointer } from "../transaction/inner.ts";
import { insertItem, leafCapacity } from "../transaction/leaf.ts";
import { type NodeStamp, newNode } from "../transaction/new-node.ts";

export interface Item {
  readonly key: Key;
  readonly data: Uint8Array;
}

/** Levels of a tree from the leaves up: how many entries each block of each level holds. */
type Shape = readonly (readonly number[])[];

/** @param sizes Bytes of the data of each item, in the order of the keys. */
export function shapeOf(sizes: readonly number[], nodeSize: number): Shape {
  const leaves: number[] = [];
  let free = 0;
  for (const size of sizes) {
    const footprint = size + ITEM_HEADER_BYTES;
    if (leaves.length === 0 || footprint > free) {
      leaves.push(0);
      free = leafCapacity(nodeSize);
    }
    leaves[leaves.length - 1]!++;
    free -= footprint;
  }
  const levels = [leaves.length === 0 ? [0] : leaves];
  const capacity = innerCapacity(nodeSize);
  for (let below = levels[0]!.length; below > 1; below = levels.at(-1)!.length) {
    const full = Math.floor(below / capacity);
    const rest = below - full * capacity;
    levels.push([...new Array<number>(full).fill(capacity), ...(rest > 0 ? [rest] : [])]);
  }
  return levels;
}

/** Level of each block of a tree of this shape, leaves first; the last one is the root. */
export function levelsOf(shape: Shape): number[] {
  return shape.flatMap((row, level) => row.map(() => level));
}

/**
 * Packs sorted items into the blocks of a tree: leaves first, the root last.
 *
 * @param addresses Logical addresses, as many as the tree has blocks.
 */
export function packTree(
  stamp: NodeStamp,
  id: bigint,
  items: readonly Item[],
  addresses: readonly number[],
): NodeBlock[] {
  const shape = shapeOf(
    items.map(({ data }) => data.byteLength),
    stamp.nodeSize,
  );
  const blocks: NodeBlock[] = [];
  let below: NodeBlock[] = [];
  shape.forEach((groups, level) => {
    const row: NodeBlock[] = [];
    let next = 0;
    for (const count of groups) {
      const node = newNode(stamp, addresses[blocks.length]!, id, level);
      for (let slot = 0; slot < count; slot++, next++) {
        if (level === 0) insertItem(node, slot, items[next]!.key, items[next]!.data.byteLength).set(items[next]!.data);
        else insertPointer(node, slot, slotKey(below[next]!, 0), below[next]!.logical, stamp.generation);
      }
      blocks.push(node);
      row.push(node);
    }
    below = row;
  });
  return blocks;
}

export function item(objectid: bigint, type: number, offset: bigint, data: Uint8Array = new Uint8Array(0)): Item {
  return { key: keyOf(objectid, type, offset), data };
}
