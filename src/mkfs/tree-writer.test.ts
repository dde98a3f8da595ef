import { expect, test } from "vitest";
import type { NodeBlock } from "../format/node.ts";
import { LeafCount, placeOrder, TreeWriter } from "./tree-writer.ts";

const STAMP = { nodeSize: 4096, fsid: new Uint8Array(16), chunkTreeUuid: new Uint8Array(16), generation: 1 };

// The extent tree has items for its own blocks, so their number and levels are reckoned before they are written.
test.each([0, 1, 2, 121, 122, 123, 5000, 15_000])(
  "the blocks of a tree of %i items are those that were foreseen",
  (items) => {
    const placed: number[] = [];
    const put: number[] = [];
    const writer = new TreeWriter(STAMP, 5n, {
      place: (level) => 65_536 + 4096 * (placed.push(level) - 1),
      put: (node: NodeBlock) => void put.push(node.level),
    });
    const leaves = new LeafCount(STAMP.nodeSize);
    for (let number = 0; number < items; number++) {
      const size = (number * 7919) % 1000;
      writer.add(256 + number, 1, 0, size);
      leaves.add(size);
    }
    const root = writer.finish();
    expect(placed).toEqual(placeOrder(Math.max(leaves.count, 1), STAMP.nodeSize));
    expect(put).toEqual(placed);
    expect(root).toEqual({ logical: 65_536 + 4096 * (placed.length - 1), level: placed.at(-1), blocks: placed.length });
  },
);
