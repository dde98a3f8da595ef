import { expect, test } from "vitest";
import { describedJson, describedLines } from "../src/cli/described.ts";
import { describeItem } from "../src/format/describe/item.ts";
import { keyTypeName } from "../src/format/key-type.ts";
import { slotType } from "../src/format/node.ts";
import { treeBlocks } from "../src/tree/blocks.ts";
import { NodeTree } from "../src/tree/tree.ts";
import { openVolume } from "../src/volume/open.ts";
import { listTrees } from "../src/volume/trees.ts";
import { imageFixtures, imageSource } from "./support.ts";

// Every item of every tree of every fixture is put into words and into JSON: none is unknown, none fails.
test("every item that the kernel wrote can be described", async () => {
  const seen = new Set<string>();
  const wrong: string[] = [];
  for (const { name, devices } of imageFixtures()) {
    const volume = await openVolume(Array.from({ length: devices }, (_, index) => imageSource(name, index + 1)));
    const sizes = { sectorSize: volume.sectorSize, checksumSize: volume.checksum.byteLength };
    for await (const listed of listTrees(volume)) {
      if ("fault" in listed) throw listed.fault;
      for await (const found of treeBlocks(await NodeTree.open(volume, listed), { first: listed.first })) {
        if ("fault" in found) throw found.fault;
        for (let slot = 0; found.node.level === 0 && slot < found.node.count; slot++) {
          const described = describeItem(found.node, slot, sizes);
          const text = describedLines(described, "").join("\n");
          const json = JSON.stringify(describedJson(described));
          if ("data_hex" in described || /undefined|NaN|\[object/.test(text + json)) wrong.push(text);
          seen.add(keyTypeName(slotType(found.node, slot)));
        }
      }
    }
  }
  expect(wrong).toEqual([]);
  expect([...seen].sort()).toEqual(
    expect.arrayContaining(["CHUNK_ITEM", "DEV_EXTENT", "EXTENT_CSUM", "EXTENT_DATA", "INODE_ITEM", "METADATA_ITEM"]),
  );
  expect(seen.size).toBeGreaterThanOrEqual(25);
});
