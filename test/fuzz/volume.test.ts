import { describe, expect, test } from "vitest";
import { OverlayDevice } from "../../src/device/overlay.ts";
import { BtrfsError } from "../../src/errors.ts";
import type { NodeBlock } from "../../src/format/node.ts";
import { Superblock } from "../../src/format/superblock.ts";
import { openVolume } from "../../src/volume/open.ts";
import type { Volume } from "../../src/volume/volume.ts";
import { rewriteSuperblock, seal } from "../support/damage.ts";
import { packedVolume } from "../support/packed-volume.ts";
import { everyNode, regularExtents } from "../support/volume-walk.ts";

// Damage with checksums that are right again, so that every parser is reached: in the superblock with its chunk array
// and backup roots, and in the chunk tree and root tree. All that may come out is a BtrfsError, soon.

const MAX_MILLISECONDS = 5000;

class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed * 2654435761 + 1;
  }
  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }
}

/** Changes one to four places of `data`, from byte `from` to byte `to`: bits, extremes, small numbers. */
function mutate(data: Uint8Array, from: number, to: number, random: Random): void {
  for (let count = 1 + random.below(4); count > 0; count--) {
    const at = from + random.below(to - from);
    const kind = random.below(4);
    if (kind === 0) data[at]! ^= 1 << random.below(8);
    else if (kind === 1) data[at] = random.below(256);
    else if (kind === 2) data.fill(random.below(2) * 255, at, Math.min(at + 1 + random.below(8), to));
    else data[at] = random.below(4);
  }
}

/** Opens, walks all nodes, reads all data: whatever can be reached. */
async function readAll(devices: OverlayDevice[], degraded: boolean): Promise<void> {
  const volume = await openVolume(devices, { degraded });
  let nodes = 0;
  for await (const { node } of everyNode(volume)) {
    for (const copy of volume.copiesOf(node.logical, volume.nodeSize)) {
      await volume.readCopy(copy, new Uint8Array(volume.nodeSize)).catch(onlyBtrfs);
    }
    if (++nodes > 2000) throw new Error("more nodes than the image has");
  }
  for (const { logical, diskBytes } of await regularExtents(volume, 5n)) {
    if (diskBytes > 2 ** 20) continue;
    const checksums = await volume.readChecksums(logical, diskBytes);
    await volume.readData(logical, new Uint8Array(diskBytes), { checksums, onUnreadable: () => {} });
  }
}

function onlyBtrfs(error: unknown): void {
  if (!(error instanceof BtrfsError)) throw error;
}

async function bounded(seed: number, run: () => Promise<void>): Promise<void> {
  const started = performance.now();
  try {
    await run();
  } catch (error) {
    if (!(error instanceof BtrfsError)) throw new Error(`seed ${seed} gives ${String(error)}`, { cause: error });
  }
  expect(performance.now() - started, `seed ${seed}`).toBeLessThan(MAX_MILLISECONDS);
}

async function nodesOf(volume: Volume, tree: bigint): Promise<NodeBlock[]> {
  const found: NodeBlock[] = [];
  for await (const { node } of everyNode(volume)) if (node.owner === tree) found.push(node);
  return found;
}

const RUNS = Number(process.env.FUZZ_RUNS ?? 8);
const { offsets } = Superblock;

describe.each(["dup", "raid10", "raid6"])("%s", (name) => {
  test.each([
    ["fields", 0x20, offsets.devItem],
    ["device item", offsets.devItem, offsets.label],
    ["chunk array", offsets.sysChunkArray, offsets.sysChunkArray + 260],
    ["backup roots", offsets.backup0, offsets.padding],
  ] as const)("a damaged superblock gives a BtrfsError or is survived: %s", async (_, from, to) => {
    const devices = packedVolume(name);
    for (let seed = 0; seed < RUNS; seed++) {
      const stores = devices.map((device) => new OverlayDevice(device));
      await rewriteSuperblock(stores[0]!, (data) => mutate(data, from, to, new Random(seed)));
      await bounded(seed, () => readAll(stores, seed % 2 === 0));
    }
  });

  test.each([
    ["chunk tree", 3n],
    ["root tree", 1n],
    ["checksum tree", 7n],
  ] as const)("damage in the nodes of a tree gives a BtrfsError or is survived: %s", async (_, tree) => {
    const devices = packedVolume(name);
    const sound = await openVolume(devices);
    const nodes = await nodesOf(sound, tree);
    for (let seed = 0; seed < RUNS; seed++) {
      const random = new Random(seed);
      const stores = devices.map((device) => new OverlayDevice(device));
      const node = nodes[random.below(nodes.length)]!;
      const data = node.bytes.slice();
      // Headers, and where the items' data is: the middle of a node is mostly free.
      if (random.below(2) === 0) mutate(data, 0x20, 101 + 25 * Math.max(node.count, 1), random);
      else mutate(data, data.byteLength - Math.min(data.byteLength - 101, 120 * node.count), data.byteLength, random);
      await seal(data, sound.checksum.type);
      for (const copy of sound.copiesOf(node.logical, sound.nodeSize)) {
        if (copy.kind === "stored") await stores[copy.devid - 1]!.write(copy.physical, data);
      }
      await bounded(seed, () => readAll(stores, seed % 2 === 0));
    }
  });
});
