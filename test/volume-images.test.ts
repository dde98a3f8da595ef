import { expect, test } from "vitest";
import { isSubvolumeId } from "../src/format/objectid.ts";
import type { VolumeEvent } from "../src/volume/events.ts";
import { openVolume } from "../src/volume/open.ts";
import { everyNode, regularExtents, treeIds } from "./support/volume-walk.ts";
import { imageFixtures, imageSource } from "./support.ts";

// What `btrfs scrub` looks at: every node of every tree and every extent of every subvolume, each against its checksum.
test.for(imageFixtures())("$name: all nodes and all data are what their checksums say", async ({ name, devices }) => {
  const events: VolumeEvent[] = [];
  const sources = Array.from({ length: devices }, (_, index) => imageSource(name, index + 1));
  const volume = await openVolume(sources.reverse(), { onEvent: (event) => events.push(event) });
  let nodes = 0;
  for await (const { node, expect: expected } of everyNode(volume)) {
    for (const copy of volume.copiesOf(node.logical, volume.nodeSize)) await volume.readNodeCopy(copy, expected);
    nodes++;
  }
  expect(nodes).toBeGreaterThan(5);
  let bytes = 0;
  for (const id of await treeIds(volume)) {
    if (!isSubvolumeId(id)) continue;
    for (const extent of await regularExtents(volume, id)) {
      // Parts of a preallocated extent that were never written have no checksums, so only what is referenced.
      const plain = extent.compression === 0;
      const logical = extent.logical + (plain ? extent.offset : 0);
      const length = plain ? extent.numBytes : extent.diskBytes;
      const checksums = await volume.readChecksums(logical, length);
      if (checksums.present?.every((there) => there === 0)) continue;
      await volume.readData(logical, new Uint8Array(length), { checksums });
      bytes += length;
    }
  }
  expect(bytes).toBeGreaterThan(10_000);
  expect(events).toEqual([]);
});
