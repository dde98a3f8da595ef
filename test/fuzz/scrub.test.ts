import { expect, test } from "vitest";
import { OverlayDevice } from "../../src/device/overlay.ts";
import { BtrfsError } from "../../src/errors.ts";
import type { NodeBlock } from "../../src/format/node.ts";
import { scrub } from "../../src/scrub/scrub.ts";
import { openVolume } from "../../src/volume/open.ts";
import { seal } from "../support/damage.ts";
import { packedVolume } from "../support/packed-volume.ts";
import { everyNode } from "../support/volume-walk.ts";
import { Random } from "./mutate.ts";

// Damage with right checksums in the trees that scrub goes by: extents of any place and length, references of any kind,
// checksums of anything. It ends, with findings or a BtrfsError, also while it repairs.

const MAX_MILLISECONDS = 10_000;
const RUNS = Number(process.env.FUZZ_RUNS ?? 12);

test.each([
  ["dup", "extent tree", 2n],
  ["raid6", "extent tree", 2n],
  ["raid6", "checksum tree", 7n],
] as const)("%s: a hostile %s is survived", async (name, _, tree) => {
  const devices = packedVolume(name);
  const sound = await openVolume(devices);
  const nodes: NodeBlock[] = [];
  for await (const { node } of everyNode(sound)) if (node.owner === tree) nodes.push(node);
  let ended = 0;
  for (let seed = 0; seed < RUNS; seed++) {
    const random = new Random(seed);
    const stores = devices.map((device) => new OverlayDevice(device));
    const node = nodes[random.below(nodes.length)]!;
    const data = node.bytes.slice();
    const used = Math.min(data.byteLength - 101, 60 * node.count);
    for (let count = 1 + random.below(3); count > 0; count--) {
      const at = random.below(2) === 0 ? 101 + random.below(25 * node.count) : data.byteLength - 1 - random.below(used);
      data[at] = random.below(2) === 0 ? random.below(256) : data[at]! ^ (1 << random.below(8));
    }
    await seal(data, sound.checksum.type);
    for (const copy of sound.copiesOf(node.logical, sound.nodeSize)) {
      if (copy.kind === "stored") await stores[copy.devid - 1]!.write(copy.physical, data);
    }
    const started = performance.now();
    try {
      const report = await scrub(await openVolume(stores), { repair: seed % 2 === 0 });
      expect(report.superblocks).toBeGreaterThan(0);
      ended++;
    } catch (error) {
      if (!(error instanceof BtrfsError)) throw new Error(`seed ${seed} gives ${String(error)}`, { cause: error });
    }
    expect(performance.now() - started, `seed ${seed}`).toBeLessThan(MAX_MILLISECONDS);
  }
  expect(ended).toBeGreaterThan(0);
});
