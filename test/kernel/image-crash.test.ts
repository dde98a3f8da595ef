import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MemoryDevice } from "../../src/device/memory.ts";
import type { ByteSource } from "../../src/device/source.ts";
import { SUPERBLOCK_OFFSETS } from "../../src/format/superblock.ts";
import { type MakeOptions, makeFilesystem } from "../../src/mkfs/mkfs.ts";
import { readSuperblockCopies } from "../../src/volume/superblock.ts";
import { crashHistory } from "../support/crashing-history.ts";
import { makeWorkDirectory, removeWorkDirectory } from "./support/cleanup.ts";
import { makeSparse, TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { Random } from "./support/random.ts";
import { tryRun } from "./support/run.ts";
import { checkClean } from "./support/written.ts";

const PIECE_BYTES = 1 << 20;
/** Each so-manieth state is mounted as well. */
const MOUNT_EVERY = 25;

/** Writes what a device holds to a file, sparse. */
async function dump(device: ByteSource, path: string): Promise<void> {
  rmSync(path, { force: true });
  makeSparse(path, device.size);
  const fd = openSync(path, "r+");
  try {
    const piece = new Uint8Array(PIECE_BYTES);
    for (let at = 0; at < device.size; at += PIECE_BYTES) {
      const part = piece.subarray(0, Math.min(PIECE_BYTES, device.size - at));
      await device.read(at, part);
      if (part.some((byte) => byte !== 0)) writeSync(fd, part, 0, part.byteLength, at);
    }
  } finally {
    closeSync(fd);
  }
}

const IMAGES: readonly MakeOptions[] = [
  { nodeSize: 4096, metadata: "single" },
  { nodeSize: 16384, blockGroupTree: true },
];

describeKernel("images after a crash", () => {
  // Of what was written since the last flush any part has reached the device, in any order, torn at any 512 bytes. Where
  // that has torn the primary superblock, btrfs-progs is told to take a copy, as a person would tell it.
  test.each(IMAGES)("made with %j are clean for btrfs check, and the kernel mounts them", async (options) => {
    const store = new MemoryDevice(new Uint8Array(70 << 20));
    await makeFilesystem(store, options);
    const work = makeWorkDirectory();
    const path = join(work, "crashed");
    let states = 0;
    const expectClean = async (device: ByteSource): Promise<void> => {
      await dump(device, path);
      const [primary] = await readSuperblockCopies(device);
      if (primary!.problem !== undefined) {
        // It ends with 2 where it has recovered one.
        expect((await tryRun("btrfs", ["rescue", "super-recover", "-y", path])).code).toBe(2);
      }
      const isMounted = states++ % MOUNT_EVERY === 0;
      await checkClean(path, isMounted ? ["original", "lowmem"] : ["original"]);
      if (!isMounted) return;
      const filesystem = await TestFilesystem.make({ images: [path], mount: "subvolid=5" });
      await filesystem.unmount();
      await filesystem[Symbol.asyncDispose]();
      await checkClean(path, ["original"]);
    };
    try {
      const outcomes = await crashHistory([store], {
        random: new Random(77),
        transactions: 4,
        crashes: 8,
        copyOf: async () => new MemoryDevice(store.bytes.slice()),
        look: ([device]) => expectClean(device!),
      });
      expect(Math.min(outcomes.before, outcomes.after)).toBeGreaterThan(8);
      const torn = new MemoryDevice(store.bytes.slice());
      torn.bytes.fill(0, SUPERBLOCK_OFFSETS[0]! + 512, SUPERBLOCK_OFFSETS[0]! + 1024);
      expect((await readSuperblockCopies(torn))[0]!.problem).toBeDefined();
      await expectClean(torn);
    } finally {
      removeWorkDirectory(work);
    }
  });
});
