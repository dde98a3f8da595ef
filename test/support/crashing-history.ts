import { expect } from "vitest";
import type { ByteSource, ByteStore } from "../../src/device/source.ts";
import { openFilesystem } from "../../src/fs/filesystem.ts";
import { openWritableVolume } from "../../src/transaction/writable.ts";
import { treeBlocks } from "../../src/tree/blocks.ts";
import { NodeTree } from "../../src/tree/tree.ts";
import { listTrees } from "../../src/volume/trees.ts";
import type { Random } from "../kernel/support/random.ts";
import { CrashLog, RecordingStore } from "./crash.ts";
import { ImageHistory, stepSeeds } from "./image-history.ts";
import { expectSameAsModel } from "./same-as-model.ts";

export interface CrashingOptions {
  readonly random: Random;
  readonly transactions: number;
  /** Besides one at each boundary of a flush. */
  readonly crashes: number;
  /** What the devices hold now, to be kept while the transaction changes them. */
  readonly copyOf: (device: number) => Promise<ByteSource>;
  /** Another look at a state after a crash. */
  readonly look?: (devices: readonly ByteSource[], outcome: "before" | "after") => Promise<void>;
}

/**
 * A history whose every transaction is cut off again and again, at each flush and at random moments. Whatever has reached
 * the devices, all their trees can be read, and they hold what they held before the transaction, or after it.
 */
export async function crashHistory(
  stores: readonly ByteStore[],
  { random, transactions, crashes, copyOf, look }: CrashingOptions,
): Promise<{ before: number; after: number }> {
  const log = new CrashLog();
  const volume = await openWritableVolume(stores.map((store, device) => new RecordingStore(store, log, device)));
  const history = new ImageHistory(60_000);
  const outcomes = { before: 0, after: 0 };
  for (let transaction = 0; transaction < transactions; transaction++) {
    const bases = await Promise.all(stores.map((_, device) => copyOf(device)));
    const { generation } = volume.volume;
    const before = history.model.copy();
    log.clear();
    await history.run(volume, stepSeeds(random, random.between(2, 8)));
    await expectSameAsModel(stores, history.model);
    const times = [...log.boundaries];
    while (times.length < crashes + log.boundaries.length) times.push(random.between(0, log.time));
    for (const time of times) {
      const devices = await log.crashed(bases, time, random);
      const found = await openedGeneration(devices);
      expect([generation, generation + 1]).toContain(found);
      const outcome = found === generation ? "before" : "after";
      outcomes[outcome]++;
      // A torn superblock has copies.
      await expectSameAsModel(devices, outcome === "before" ? before : history.model, /superblock|stale/);
      await look?.(devices, outcome);
    }
    for (const base of bases) await base.close?.();
  }
  return outcomes;
}

/** Opens it and reads every block of every tree. */
async function openedGeneration(devices: readonly ByteSource[]): Promise<number> {
  const { volume } = await openFilesystem(devices, { onEvent: () => {} });
  for await (const found of listTrees(volume)) {
    if ("fault" in found) throw found.fault;
    const tree = await NodeTree.open(volume, found);
    for await (const block of treeBlocks(tree, { first: found.first })) if ("fault" in block) throw block.fault;
  }
  return volume.generation;
}
