import { expect, test } from "vitest";
import { equalBytes } from "../src/bytes/bytes.ts";
import { MemoryDevice } from "../src/device/memory.ts";
import { OverlayDevice } from "../src/device/overlay.ts";
import type { ByteStore } from "../src/device/source.ts";
import * as edit from "../src/edit/index.ts";
import { BtrfsError } from "../src/errors.ts";
import { BLOCK_GROUP_DATA } from "../src/format/chunk.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { type MakeOptions, makeFilesystem } from "../src/mkfs/mkfs.ts";
import type { Transaction } from "../src/transaction/transaction.ts";
import { openWritableVolume, type WritableVolume } from "../src/transaction/writable.ts";
import { Random } from "./kernel/support/random.ts";
import { ImageHistory, stepSeeds } from "./support/image-history.ts";
import { expectSameAsModel } from "./support/same-as-model.ts";

const TOP = 256n;
const NO_ROOM = new BtrfsError("space", "Cannot allocate: no room, says the test");

/** Lets the allocation of this number in a transaction find no room, and all after it. */
function failFrom(tx: Transaction, number: number): void {
  const { space } = tx;
  let count = 0;
  const allocate = space.allocate.bind(space);
  space.allocate = (kind, length, align) => {
    if (count++ >= number) throw NO_ROOM;
    return allocate(kind, length, align);
  };
}

async function fillUp(volume: WritableVolume, bytes: number): Promise<number> {
  let made = 0;
  for (let batch = 64; batch > 0; ) {
    try {
      await volume.transaction(async (tx) => {
        const at = place(tx);
        for (let index = made; index < made + batch; index++) {
          const inode = await edit.createFile(at, TOP, `file ${index}`);
          await edit.writeFile(at, inode, 0n, new Uint8Array(bytes).fill(index));
        }
      });
      made += batch;
    } catch (error) {
      expect(error).toMatchObject({ code: "space" });
      batch = Math.floor(batch / 2);
    }
  }
  return made;
}

function place(tx: Transaction): edit.Place {
  return { tx, tree: 5n, now: 1_700_000_000_000_000_000n };
}

const TRANSACTIONS = 8;
/** So many allocations from the first on fail in turn; of those behind, each eighth part later. */
const EACH_POINT = 16;

// Whichever allocation of a transaction finds no room, of data, of a tree block, in a step or in the commit: the caller
// hears so, the filesystem is what it was, and the same volume goes on.
test("a transaction that finds no room at any point changes nothing", async () => {
  const random = new Random(11);
  const store: ByteStore = new OverlayDevice(new MemoryDevice(new Uint8Array(120 << 20)));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  const history = new ImageHistory(60_000);
  const volume = await openWritableVolume([store]);
  await history.run(volume, stepSeeds(random, 25));
  let points = 0;
  for (let transaction = 0; transaction < TRANSACTIONS; transaction++) {
    const seeds = stepSeeds(random, random.between(1, 5));
    for (let number = 0; ; number += Math.max(1, Math.floor((number - EACH_POINT) / 8))) {
      const before = history.model.copy();
      const { generation } = volume.volume;
      const running = volume.transaction(async (tx) => {
        failFrom(tx, number);
        for (const seed of seeds) await history.step(tx, seed);
      });
      const error = await running.then(
        () => undefined,
        (failure: unknown) => failure,
      );
      if (error === undefined) {
        expect(volume.volume.generation).toBe(generation + 1);
        await expectSameAsModel(store, history.model);
        break;
      }
      expect(isNoRoom(error)).toBe(true);
      history.model = before;
      points++;
      expect(volume.volume.generation).toBe(generation);
      if (number % 7 === 0) await expectSameAsModel(store, before);
    }
    await expectSameAsModel(store, history.model);
  }
  expect(points).toBeGreaterThan(60);
}, 120_000);

function isNoRoom(error: unknown): boolean {
  return error === NO_ROOM || (error instanceof BtrfsError && error.cause === NO_ROOM);
}

const CASES: readonly (readonly [string, number, MakeOptions, number])[] = [
  ["small files in 4K nodes", 7, { nodeSize: 4096, metadata: "single" }, 1500],
  ["small files in 16K nodes, twice", 18, { nodeSize: 16384, metadata: "dup" }, 1500],
  ["data", 12, { nodeSize: 4096, metadata: "single" }, 60_000],
];

// Tree blocks have to be copied to remove anything: a part of them is kept for that.
test.each(CASES)(
  "a filesystem full of %s can be emptied, and filled again",
  async (_, sizeMiB, options, bytes) => {
    const store = new MemoryDevice(new Uint8Array(sizeMiB << 20));
    await makeFilesystem(store, options);
    const volume = await openWritableVolume([store]);
    const made = await fillUp(volume, bytes);
    expect(made).toBeGreaterThan(20);
    // One by one while it is full, then several at once.
    for (let gone = 0; gone < made; ) {
      const batch = Math.min(made - gone, gone < 100 ? 1 : 10);
      await volume.transaction(async (tx) => {
        for (let left = batch; left > 0; left--) await edit.unlink(place(tx), TOP, `file ${(gone++ * 7919) % made}`);
      });
    }
    expect(await fillUp(volume, bytes)).toBeGreaterThan(made * 0.8);
  },
  120_000,
);

// What is free lies in several chunks, none of which has room for the whole, nor was looked at before.
test("a file is written into what several chunks have left", async () => {
  const store = new MemoryDevice(new Uint8Array(100 << 20));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single" });
  const first = await openWritableVolume([store]);
  const made = await fillUp(first, 2_000_000);
  for (let index = 0; index < made; index += 3)
    await first.transaction((tx) => edit.unlink(place(tx), TOP, `file ${index}`));
  const { chunks } = first.volume.chunks;
  const longest = Math.max(...chunks.filter(({ type }) => type === BLOCK_GROUP_DATA).map(({ length }) => length));
  const content = new Uint8Array(Math.floor(made / 3) * 2_000_000).fill(7);
  expect(content.byteLength).toBeGreaterThan(longest);
  const volume = await openWritableVolume([store]);
  await volume.transaction(async (tx) => {
    await edit.writeFile(place(tx), await edit.createFile(place(tx), TOP, "in pieces"), 0n, content);
  });
  const filesystem = await openFilesystem([store]);
  const read = new Uint8Array(content.byteLength);
  await (await filesystem.lookup("/in pieces")).openFile().read(0n, read);
  expect(equalBytes(read, content)).toBe(true);
});
