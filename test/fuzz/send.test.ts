import { expect, test } from "vitest";
import { concatBytes } from "../../src/bytes/bytes.ts";
import { OverlayDevice } from "../../src/device/overlay.ts";
import { BtrfsError } from "../../src/errors.ts";
import { ImageSource, send } from "../../src/send/index.ts";
import { readStream } from "../../src/stream/index.ts";
import { openVolume } from "../../src/volume/open.ts";
import { seal } from "../support/damage.ts";
import { packedVolume } from "../support/packed-volume.ts";
import { subvolumeIds } from "../support/subvolume-ids.ts";
import { everyNode } from "../support/volume-walk.ts";
import { Random } from "./mutate.ts";

// Damage with checksums that are right again, in any tree block: what comes out is a stream whose commands can be read, or a
// `BtrfsError`, soon, and nothing else.

const RUNS = Number(process.env.FUZZ_RUNS ?? 12);
const MAX_MILLISECONDS = 20_000;

test.each(Array.from({ length: RUNS }, (_, seed) => seed))(
  "a damaged tree gives a stream or a located error: seed %i",
  async (seed) => {
    const random = new Random(seed);
    const [device] = packedVolume(random.pick(["everything", "shared-zstd"]), "send");
    const store = new OverlayDevice(device!);
    const whole = await openVolume([device!]);
    const nodes: { logical: number; physical: number[] }[] = [];
    for await (const { node } of everyNode(whole)) {
      nodes.push({
        logical: node.logical,
        physical: whole.copiesOf(node.logical, whole.nodeSize).map(({ physical }) => physical),
      });
    }
    const ids = await subvolumeIds(whole);
    const checksumType = whole.checksum.type;
    for (let count = 1 + random.below(3); count > 0; count--) {
      const { physical } = random.pick(nodes);
      const block = new Uint8Array(whole.nodeSize);
      await store.read(physical[0]!, block);
      // Behind the header: item headers, keys, data.
      for (let changes = 1 + random.below(4); changes > 0; changes--) {
        const at = 101 + random.below(block.byteLength - 101);
        if (random.below(2) === 0) block[at]! ^= 1 << random.below(8);
        else block.fill(random.below(2) * 255, at, Math.min(at + 1 + random.below(8), block.byteLength));
      }
      await seal(block, checksumType);
      for (const at of physical) await store.write(at, block);
    }
    const started = performance.now();
    const [snapshot, parent] = [ids.get("s2")!, ids.get("s1")!];
    for (const options of [
      { snapshot, protocol: 1 },
      { snapshot, parent, protocol: 2, compressedData: true },
      { snapshot, protocol: 2, skipDamaged: true },
    ] as const) {
      const chunks: Uint8Array[] = [];
      try {
        await using volume = await openVolume([store]);
        await send(new ImageSource(volume), options, { write: (chunk) => void chunks.push(chunk.slice()) });
      } catch (error) {
        if (!(error instanceof BtrfsError)) throw new Error(`seed ${seed} gives ${String(error)}`, { cause: error });
        continue;
      }
      let last = "";
      for await (const { name } of readStream(concatBytes(chunks))) last = name;
      expect(last).toBe("end");
    }
    expect(performance.now() - started).toBeLessThan(MAX_MILLISECONDS);
  },
);
