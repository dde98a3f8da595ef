import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import { OverlayDevice } from "../src/device/overlay.ts";
import type { ByteStore } from "../src/device/source.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import { treeBlocks } from "../src/tree/blocks.ts";
import { NodeTree } from "../src/tree/tree.ts";
import { listTrees } from "../src/volume/trees.ts";
import { Random } from "./kernel/support/random.ts";
import { ImageHistory, stepSeeds } from "./support/image-history.ts";
import { expectSameAsModel } from "./support/same-as-model.ts";

interface Write {
  readonly at: number;
  readonly data: Uint8Array;
}

/** A store that keeps what was written between flushes. */
class RecordingStore implements ByteStore {
  readonly name = "recording";
  /** One list for each flush, and one for what came after the last. */
  epochs: Write[][] = [[]];
  readonly #store: MemoryDevice;

  constructor(store: MemoryDevice) {
    this.#store = store;
  }

  get size(): number {
    return this.#store.size;
  }

  read(at: number, target: Uint8Array): Promise<void> {
    return this.#store.read(at, target);
  }

  async write(at: number, data: Uint8Array): Promise<void> {
    this.epochs.at(-1)!.push({ at, data: data.slice() });
    await this.#store.write(at, data);
  }

  async flush(): Promise<void> {
    this.epochs.push([]);
  }

  resize(size: number): Promise<void> {
    return this.#store.resize(size);
  }
}

const TRANSACTIONS = 12;
const CRASHES = 25;

// Whatever part of the writes since the last flush has reached the device, in whatever order, torn at any sector of 512
// bytes: the filesystem opens as it was before the transaction, or as it is after it.
test("a crash at any moment leaves the filesystem as before or after", async () => {
  const random = new Random(5);
  const store = new MemoryDevice(new Uint8Array(70 << 20));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  const recording = new RecordingStore(store);
  const volume = await openWritableVolume([recording]);
  const history = new ImageHistory(60_000);
  const outcomes = { before: 0, after: 0 };
  for (let transaction = 0; transaction < TRANSACTIONS; transaction++) {
    const base = new MemoryDevice(store.bytes.slice());
    const generation = volume.volume.generation;
    recording.epochs = [[]];
    await history.run(volume, stepSeeds(random, random.between(2, 8)));
    await expectSameAsModel(store, history.model);
    for (let crash = 0; crash < CRASHES; crash++) {
      const device = new OverlayDevice(base);
      const last = random.between(0, recording.epochs.length - 1);
      for (const epoch of recording.epochs.slice(0, last))
        for (const { at, data } of epoch) await device.write(at, data);
      for (const { at, data } of shuffled(recording.epochs[last]!, random)) await writeTorn(device, at, data, random);
      const after = await openedGeneration(device);
      expect([generation, generation + 1]).toContain(after);
      if (after === generation) outcomes.before++;
      else {
        outcomes.after++;
        await expectSameAsModel(device, history.model);
      }
    }
  }
  expect(outcomes.before).toBeGreaterThan(20);
  expect(outcomes.after).toBeGreaterThan(20);
}, 120_000);

/** Opens it and reads every block of every tree. */
async function openedGeneration(device: ByteStore): Promise<number> {
  const { volume } = await openFilesystem([device], { onEvent: () => {} });
  for await (const found of listTrees(volume)) {
    if ("fault" in found) throw found.fault;
    for await (const block of treeBlocks(await NodeTree.open(volume, found))) if ("fault" in block) throw block.fault;
  }
  return volume.generation;
}

async function writeTorn(device: ByteStore, at: number, data: Uint8Array, random: Random): Promise<void> {
  const fate = random.between(0, 3);
  if (fate === 0) return;
  if (fate > 1) return device.write(at, data);
  for (let from = 0; from < data.byteLength; from += 512) {
    if (random.chance(50)) await device.write(at + from, data.subarray(from, from + 512));
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const mixed = [...items];
  for (let index = mixed.length - 1; index > 0; index--) {
    const other = random.between(0, index);
    [mixed[index], mixed[other]] = [mixed[other]!, mixed[index]!];
  }
  return mixed;
}
