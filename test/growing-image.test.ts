import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import * as edit from "../src/edit/index.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";

const MIB = 1_048_576;
const ROOT = 256n;

async function smallStore(): Promise<MemoryDevice> {
  const store = new MemoryDevice(new Uint8Array(24 * MIB));
  await makeFilesystem(store, { metadata: "single" });
  return store;
}

/** Bytes that no algorithm makes smaller. */
function noise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  let state = seed;
  for (let index = 0; index < words.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[index] = state;
  }
  return new Uint8Array(words.buffer);
}

test("a filesystem that may grow takes its store along, in one transaction and over several, and is cut to fit", async () => {
  const store = await smallStore();
  const volume = await openWritableVolume([store], { enlarge: true });
  const files = [40, 3, 30].map((mib, index) => noise(mib * MIB, index + 1));
  for (const [index, data] of files.entries()) {
    await volume.transaction(async (tx) => {
      const at = { tx, tree: 5n, now: 0n };
      const inode = await edit.createFile(at, ROOT, `file-${index}`);
      for (let from = 0; from < data.byteLength; from += MIB) {
        await edit.writeFile(at, inode, BigInt(from), data.subarray(from, from + MIB));
      }
    });
  }
  const grown = store.size;
  expect(grown).toBeGreaterThan(73 * MIB);
  const size = await volume.shrinkToFit(MIB);
  expect([store.size, size <= grown]).toEqual([size, true]);
  expect(volume.volume.superblock.totalBytes).toBe(BigInt(size));
  expect(volume.volume.devices.get(1)!.totalBytes).toBe(size);

  const filesystem = await openFilesystem([store]);
  for (const [index, data] of files.entries()) {
    const read = new Uint8Array(data.byteLength);
    await (await filesystem.lookup(`file-${index}`)).openFile().read(0n, read);
    expect(Buffer.compare(read, data)).toBe(0);
  }
  // What was cut can be written again, and grows again.
  const again = await openWritableVolume([store], { enlarge: true });
  await again.transaction(async (tx) => {
    const at = { tx, tree: 5n, now: 0n };
    const inode = await edit.createFile(at, ROOT, "more");
    for (let from = 0; from < 20; from++)
      await edit.writeFile(at, inode, BigInt(from * MIB), files[1]!.subarray(0, MIB));
  });
  expect(store.size).toBeGreaterThan(size);
});

test("growth that was not committed is no part of the filesystem", async () => {
  const store = await smallStore();
  const volume = await openWritableVolume([store], { enlarge: true });
  const before = volume.volume.superblock.totalBytes;
  const failing = volume.transaction(async (tx) => {
    const at = { tx, tree: 5n, now: 0n };
    const inode = await edit.createFile(at, ROOT, "file");
    for (let from = 0; from < 30; from++) await edit.writeFile(at, inode, BigInt(from * MIB), noise(MIB, from));
    throw new Error("changed my mind");
  });
  await expect(failing).rejects.toThrow("changed my mind");
  expect(store.size).toBeGreaterThan(24 * MIB);
  expect(volume.volume.superblock.totalBytes).toBe(before);
  expect(await volume.shrinkToFit()).toBeLessThan(24 * MIB);
});

test("without leave a filesystem does not grow", async () => {
  const volume = await openWritableVolume([await smallStore()]);
  const full = volume.transaction(async (tx) => {
    const at = { tx, tree: 5n, now: 0n };
    const inode = await edit.createFile(at, ROOT, "file");
    for (let from = 0; from < 30; from++) await edit.writeFile(at, inode, BigInt(from * MIB), noise(MIB, from));
  });
  await expect(full).rejects.toMatchObject({ code: "space" });
});
