import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import * as edit from "../src/edit/index.ts";
import { encodedWriter } from "../src/encoded/write.ts";
import { INODE_APPEND, INODE_IMMUTABLE } from "../src/format/inode.ts";
import { INCOMPAT_COMPRESS_ZSTD } from "../src/format/superblock.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { openWritableVolume, type WritableVolume } from "../src/transaction/writable.ts";
import { encodedIo, Z } from "./contract/encoded-data.ts";
import { describeEncodedWrites } from "./contract/encoded-io.ts";
import { ImageWrites } from "./support/image-writes.ts";

async function emptyStore(): Promise<MemoryDevice> {
  const store = new MemoryDevice(new Uint8Array(80 << 20));
  await makeFilesystem(store, { metadata: "single" });
  return store;
}

describeEncodedWrites("encoded writes to an image", async () => ImageWrites.open(await emptyStore()));

// What the kernel looks at when a file is opened, an image looks at when it is written.
test("an immutable file, one to append to, and a read-only subvolume are refused", async () => {
  const volume = await openWritableVolume([await emptyStore()]);
  const make = (flags: number) =>
    change(volume, (at) => edit.createFile(at, 256n, `${flags}`, { flags: BigInt(flags) }));
  const write = (inode: bigint, tree = 5n) =>
    change(volume, (at) => encodedWriter(at, inode).writeEncoded(encodedIo({}), Z), tree);
  const immutable = await make(INODE_IMMUTABLE);
  await expect(write(immutable)).rejects.toMatchObject({ errno: "EPERM" });
  const append = await make(INODE_APPEND);
  expect(await write(append)).toBe(Z.byteLength);
  await expect(write(append)).rejects.toMatchObject({ errno: "EPERM" });
  const snapshot = await change(volume, (at) => edit.snapshotSubvolume(at, 5n, 256n, "snapshot", { readOnly: true }));
  await expect(write(append, snapshot)).rejects.toMatchObject({ errno: "EROFS" });
});

test("the superblock says which algorithms are needed", async () => {
  const volume = await openWritableVolume([await emptyStore()]);
  expect(volume.volume.superblock.incompatFlags & INCOMPAT_COMPRESS_ZSTD).toBe(0n);
  await change(volume, async (at) =>
    encodedWriter(at, await edit.createFile(at, 256n, "a")).writeEncoded(encodedIo({}), Z),
  );
  expect(volume.volume.superblock.incompatFlags & INCOMPAT_COMPRESS_ZSTD).not.toBe(0n);
});

function change<T>(volume: WritableVolume, step: (at: edit.Place) => Promise<T>, tree = 5n): Promise<T> {
  return volume.transaction((tx) => step({ tx, tree, now: 0n }));
}
