import { expect, test } from "vitest";
import { promptVolume } from "../../test/support/packed-volume.ts";
import { subvolumeIds } from "../../test/support/subvolume-ids.ts";
import type { NodeBlock } from "../format/node.ts";
import { treeBlocks } from "../tree/blocks.ts";
import type { ChildPlace } from "../tree/source.ts";
import { openVolume } from "../volume/open.ts";
import type { Volume } from "../volume/volume.ts";
import { LeafReading, sharedLeaves, WantedLeaves } from "./leaf-ring.ts";

// Both sides on one thread: the one that reads does so whenever it would be woken.

/** A side that wants leaves, whose other side reads them at once. */
function ring(volume: Volume, reads = true): WantedLeaves {
  const shared = sharedLeaves(volume.nodeSize);
  const reading = new LeafReading(shared, volume);
  return new WantedLeaves(shared, () => (reads ? reading.read() : undefined));
}

async function leavesOf(volume: Volume): Promise<NodeBlock[]> {
  const leaves: NodeBlock[] = [];
  for (const id of (await subvolumeIds(volume)).values()) {
    for await (const block of treeBlocks(await volume.openTree(id))) {
      if ("node" in block && block.node.level === 0) leaves.push(block.node);
    }
  }
  return leaves;
}

const placeOf = ({ logical, generation, owner }: NodeBlock): ChildPlace => ({ logical, generation, owner });

test("gives the leaves that were announced, many times as many as are under way, and no others", async () => {
  await using volume = await openVolume(promptVolume("everything", "send"));
  const leaves = await leavesOf(volume);
  expect(leaves.length).toBeGreaterThan(3);
  const wanted = ring(volume);
  const many = Array.from({ length: 700 }, (_, at) => leaves[at % leaves.length]!);
  const bytes = new Uint8Array(volume.nodeSize);
  expect(wanted.take(leaves[0]!.logical, leaves[0]!.generation, bytes)).toBe(false);
  let taken = 0;
  for (let first = 0; first < many.length; first += leaves.length) {
    const some = many.slice(first, first + leaves.length);
    wanted.announce(some.map(placeOf));
    for (const leaf of some) {
      if (!wanted.take(leaf.logical, leaf.generation, bytes)) continue;
      taken++;
      expect(Buffer.compare(bytes, leaf.bytes)).toBe(0);
    }
  }
  expect(taken).toBeGreaterThan(600);
});

test("what was not read yet, is of another generation, or is not good is left to the caller", async () => {
  await using volume = await openVolume(promptVolume("everything", "send"));
  const [first, second] = await leavesOf(volume);
  const bytes = new Uint8Array(volume.nodeSize);
  const slow = ring(volume, false);
  slow.announce([placeOf(first!)]);
  expect(slow.take(first!.logical, first!.generation, bytes)).toBe(false);
  const wanted = ring(volume);
  wanted.announce([placeOf(first!), { ...placeOf(second!), generation: second!.generation + 1 }]);
  expect(wanted.take(first!.logical, first!.generation + 1, bytes)).toBe(false);
  expect(wanted.take(second!.logical, second!.generation + 1, bytes)).toBe(false);
});

test("leaves that nobody takes do not stop the others", async () => {
  await using volume = await openVolume(promptVolume("everything", "send"));
  const [never, ...others] = await leavesOf(volume);
  const wanted = ring(volume);
  const bytes = new Uint8Array(volume.nodeSize);
  const nowhere = (at: number): ChildPlace => ({ ...placeOf(never!), logical: never!.logical + (at + 1) * 2 ** 40 });
  let taken = 0;
  for (let round = 0; round < 100; round++) {
    wanted.announce([nowhere(round), nowhere(round + 1000), ...others.slice(0, 3).map(placeOf)]);
    for (const leaf of others.slice(0, 3)) if (wanted.take(leaf.logical, leaf.generation, bytes)) taken++;
  }
  expect(taken).toBeGreaterThan(250);
});
