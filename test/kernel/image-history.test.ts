import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { type MakeOptions, makeFilesystem } from "../../src/mkfs/mkfs.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { openWritableVolume } from "../../src/transaction/writable.ts";
import { ImageHistory } from "../support/image-history.ts";
import type { ImageModel, ModelDirectory } from "../support/image-model.ts";
import { expectMountedSameAsModel, expectSameAsModel } from "../support/same-as-model.ts";
import { describeKernel } from "./support/host.ts";
import { Random } from "./support/random.ts";
import { WrittenImage } from "./support/written.ts";

const FIRST_SEED = Number(process.env.BTRKIT_HISTORY_SEED ?? 1);
const TRANSACTIONS = Number(process.env.BTRKIT_HISTORY_TRANSACTIONS ?? 8);
const CASES: readonly (readonly [number, MakeOptions])[] = [
  [FIRST_SEED, { nodeSize: 4096 }],
  [FIRST_SEED + 1, { nodeSize: 16384 }],
  [FIRST_SEED + 2, { nodeSize: 4096, noHoles: false, checksum: "sha256" }],
  [FIRST_SEED + 3, { nodeSize: 4096, blockGroupTree: true, checksum: "xxhash64", metadata: "single", data: "dup" }],
  [FIRST_SEED + 4, { nodeSize: 65536, freeSpaceTree: false }],
];

describeKernel("histories of images", () => {
  // After every transaction `btrfs check` finds nothing, in both modes, and the image holds what the model holds. Then
  // the kernel mounts it, finds the same, and writes; and btrkit goes on from there.
  test.each(CASES)(
    "history %i with %j is clean after every transaction, and the kernel agrees",
    async (seed, options) => {
      await using image = new WrittenImage(200);
      const history = new ImageHistory(new Random(seed));
      const { model } = history;
      try {
        await image.open((store) => makeFilesystem(store, options));
        await goOn(image, history, TRANSACTIONS);
        await image.mounted(async (directory) => {
          await expectMountedSameAsModel(directory, model);
          writeByKernel(directory, model, history.random);
        });
        await image.check();
        await goOn(image, history, Math.ceil(TRANSACTIONS / 2));
        await image.mounted((directory) => expectMountedSameAsModel(directory, model));
        await image.check();
      } catch (error) {
        process.stderr.write(`${history.log.slice(-80).join("\n")}\n`);
        throw error;
      }
    },
  );
});

async function goOn(image: WrittenImage, history: ImageHistory, transactions: number): Promise<void> {
  const store = await openFileDevice(image.path, { writable: true });
  await using volume = await openWritableVolume([store]);
  for (let transaction = 0; transaction < transactions; transaction++) {
    history.log.push(`-- transaction ${transaction}`);
    await history.run(volume, history.random.between(1, 12));
    await expectSameAsModel(store, history.model);
    await image.check();
  }
}

/** Files that come and go, so that free space becomes many pieces. */
function writeByKernel(directory: string, model: ImageModel, random: Random): void {
  const name = "by the kernel";
  const entries: ModelDirectory["entries"] = new Map();
  mkdirSync(join(directory, name));
  for (let file = 0; file < 60; file++) {
    const content = Uint8Array.from({ length: file * 700 }, () => random.between(0, 255));
    writeFileSync(join(directory, name, `k${file}`), content);
    entries.set(`k${file}`, { kind: "file", content, xattrs: new Map() });
  }
  for (let file = 0; file < 60; file += 3) {
    rmSync(join(directory, name, `k${file}`));
    entries.delete(`k${file}`);
  }
  model.subvolumes.get(5n)!.root.entries.set(name, { kind: "directory", entries });
}
