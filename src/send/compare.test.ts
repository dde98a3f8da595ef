import { expect, test } from "vitest";
import { BuiltTree } from "../../test/support/build-tree.ts";
import { keyOf } from "../format/key.ts";
import { STRING_ITEM } from "../format/key-type.ts";
import { slotKey } from "../format/node.ts";
import type { LeavesAhead } from "../tree/source.ts";
import { NodeTree } from "../tree/tree.ts";
import { compareTrees, walkTree } from "./compare.ts";

// The image's trees of two snapshots share every block that did not change. Here the second tree is made of the first by
// copying the path to one leaf, as a transaction does.

const COUNT = 3 ** 6;
const NAMES = ["same", "new", "changed", "gone"];

async function bothTrees() {
  const items = Array.from({ length: COUNT }, (_, at) => ({
    key: keyOf(BigInt(at), STRING_ITEM, 0n),
    data: Uint8Array.of(1, 2, 3, 4, 5),
  }));
  const before = new BuiltTree(items, 3, 4096, 256n);
  return { before, after: before.copyPath(BigInt(COUNT / 3), (data) => data.fill(9)) };
}

test("comparing reads the blocks that differ, however large the trees are", async () => {
  const { before, after } = await bothTrees();
  const left = await NodeTree.open(before, after);
  const right = await NodeTree.open(before, before.root);
  before.reads = [];
  const found: string[] = [];
  await compareTrees(left, right, {
    passSame: (_leaf, _slot, count) => count,
    onItem(result, a, aSlot, b, bSlot) {
      const key = slotKey((a ?? b)!, a === undefined ? bSlot : aSlot);
      found.push(`${NAMES[result]} ${key.objectid}`);
      return undefined;
    },
  });
  expect(found).toEqual([`changed ${COUNT / 3}`]);
  // One block a level and tree, without the roots.
  expect(before.root.level).toBe(5);
  expect(before.reads.length).toBe(2 * 5);
});

test("a walk announces every leaf, in its order", async () => {
  const { before } = await bothTrees();
  const tree = await NodeTree.open(before, before.root);
  before.reads = [];
  const announced: number[] = [];
  const announce: LeavesAhead["announce"] = (leaves) => void announced.push(...leaves.map(({ logical }) => logical));
  await walkTree(tree, () => undefined, { announce, take: () => false });
  const leaves = before.reads.filter((logical) => before.nodes.get(logical)!.level === 0);
  expect(leaves.length).toBe(COUNT / 3);
  expect(announced).toEqual(leaves);
});
