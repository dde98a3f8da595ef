import { describe, expect, test } from "vitest";
import { viewOf } from "../bytes/bytes.ts";
import { SUPERBLOCK_MAGIC } from "../format/superblock.ts";
import { MemoryDevice } from "./memory.ts";
import { locateFilesystem, readPartitions } from "./partition.ts";

const MIB = 1024 * 1024;

function disk(mib = 16): { bytes: Uint8Array; view: DataView; device: MemoryDevice } {
  const bytes = new Uint8Array(mib * MIB);
  return { bytes, view: viewOf(bytes), device: new MemoryDevice(bytes, "disk") };
}

function putMbr(
  view: DataView,
  at: number,
  entries: readonly (readonly [type: number, start: number, size: number])[],
): void {
  view.setUint16(at + 510, 0xaa55, true);
  entries.forEach(([type, start, size], index) => {
    const entry = at + 446 + index * 16;
    view.setUint8(entry + 4, type);
    view.setUint32(entry + 8, start / 512, true);
    view.setUint32(entry + 12, size / 512, true);
  });
}

function putGpt(view: DataView, sector: number, partitions: readonly (readonly [start: number, size: number])[]): void {
  putMbr(view, 0, [[0xee, 512, 4096]]);
  view.setBigUint64(sector, 0x5452_4150_2049_4645n, true);
  view.setBigUint64(sector + 72, 2n, true);
  view.setUint32(sector + 80, 128, true);
  view.setUint32(sector + 84, 128, true);
  partitions.forEach(([start, size], index) => {
    const entry = 2 * sector + index * 128;
    view.setBigUint64(entry, 1n, true);
    view.setBigUint64(entry + 32, BigInt(start / sector), true);
    view.setBigUint64(entry + 40, BigInt((start + size) / sector - 1), true);
  });
}

const putMagic = (view: DataView, start: number): void => view.setBigUint64(start + 0x1_0040, SUPERBLOCK_MAGIC, true);

describe("the btrfs partition is found", () => {
  test("in a master boot record, among primary and logical partitions", async () => {
    const { view, device } = disk();
    putMbr(view, 0, [
      [0x83, MIB, MIB],
      [0x05, 4 * MIB, 8 * MIB],
    ]);
    putMbr(view, 4 * MIB, [
      [0x83, 512 * 8, MIB],
      [0x05, 2 * MIB, 2 * MIB],
    ]);
    putMbr(view, 6 * MIB, [[0x83, 512 * 8, MIB]]);
    putMagic(view, 6 * MIB + 4096);
    expect((await readPartitions(device)).map(({ number, start }) => [number, start])).toEqual([
      [1, MIB],
      [5, 4 * MIB + 4096],
      [6, 6 * MIB + 4096],
    ]);
    const found = await locateFilesystem(device);
    expect([found.size, found.name]).toEqual([MIB, `disk+${6 * MIB + 4096}`]);
  });

  test.for([512, 4096])("in a GUID partition table with sectors of %i bytes", async (sector) => {
    const { view, device } = disk();
    putGpt(view, sector, [
      [MIB, MIB],
      [2 * MIB, 100 * MIB],
    ]);
    putMagic(view, 2 * MIB);
    expect((await locateFilesystem(device)).size).toBe(14 * MIB);
    expect((await locateFilesystem(device, { partition: 1 })).size).toBe(MIB);
    await expect(locateFilesystem(device, { partition: 3 })).rejects.toThrow("the disk has partition 1, 2");
  });
});

test("several filesystems are listed, and one must be named", async () => {
  const { view, device } = disk();
  putGpt(view, 512, [
    [MIB, MIB],
    [2 * MIB, MIB],
  ]);
  putMagic(view, MIB);
  putMagic(view, 2 * MIB);
  await expect(locateFilesystem(device)).rejects.toThrow("partition 1 (1048576 bytes), partition 2 (1048576 bytes)");
  expect((await locateFilesystem(device, { offset: 2 * MIB })).size).toBe(14 * MIB);
});

test("a filesystem on the whole disk is the whole disk, a boot sector or not", async () => {
  const { view, device } = disk();
  putMagic(view, 0);
  expect(await locateFilesystem(device)).toBe(device);
  view.setUint16(510, 0xaa55, true);
  expect(await locateFilesystem(device)).toBe(device);
});

test.for([
  [0, [0x51, 0x46, 0x49, 0xfb], "qcow2"],
  [0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe], "cryptsetup"],
  [0, [0x1f, 0x8b], "gzip"],
  [0, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "xz"],
  [0, [0x28, 0xb5, 0x2f, 0xfd], "zstd"],
  [1080, [0x53, 0xef], "ext4"],
] as const)("what is no btrfs is named: %i %j %s", async ([at, magic, word]) => {
  const { bytes, device } = disk();
  bytes.set(magic, at);
  await expect(locateFilesystem(device)).rejects.toMatchObject({
    code: "unsupported",
    sentence: expect.stringContaining(word),
  });
});

test("a disk of zeros, and one that is tiny, hold nothing", async () => {
  await expect(locateFilesystem(disk().device)).rejects.toMatchObject({ code: "missing" });
  await expect(locateFilesystem(new MemoryDevice(new Uint8Array(100)))).rejects.toMatchObject({ code: "missing" });
});

test("a chain of logical partitions that bites its tail ends", async () => {
  const { view, device } = disk();
  putMbr(view, 0, [[0x05, MIB, 8 * MIB]]);
  putMbr(view, MIB, [
    [0x83, 4096, MIB],
    [0x05, MIB, MIB],
  ]);
  putMbr(view, 2 * MIB, [
    [0x83, 4096, MIB],
    [0x05, MIB, MIB],
  ]);
  expect((await readPartitions(device)).length).toBeLessThan(200);
});
