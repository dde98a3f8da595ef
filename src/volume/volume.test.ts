import { describe, expect, test } from "vitest";
import { rewriteSuperblock } from "../../test/support/damage.ts";
import { packedContent, packedVolume, type SparseDevice } from "../../test/support/packed-volume.ts";
import { everyNode, regularExtents } from "../../test/support/volume-walk.ts";
import { equalBytes } from "../bytes/bytes.ts";
import { OverlayDevice } from "../device/overlay.ts";
import type { ByteSource } from "../device/source.ts";
import type { VolumeEvent } from "./events.ts";
import { openVolume, type VolumeOptions } from "./open.ts";
import { backupRoots } from "./roots.ts";
import type { Volume } from "./volume.ts";

// Small filesystems that a kernel wrote, with known contents: each is read whole, then without some of its devices,
// then with damage. The kernel suite does the same with fresh ones in every profile.

const CONTENTS = [
  packedContent("large", 400_000),
  packedContent("middle", 70_001),
  packedContent("unchecked/plain", 150_000),
];
const BEARS = { raid1: 1, raid10: 1, raid5: 1, raid6: 2 };

async function recorded(sources: readonly ByteSource[], options: VolumeOptions = {}): Promise<[Volume, VolumeEvent[]]> {
  const events: VolumeEvent[] = [];
  return [await openVolume(sources, { ...options, onEvent: (event) => events.push(event) }), events];
}

async function nodeCount(volume: Volume): Promise<number> {
  let count = 0;
  for await (const _ of everyNode(volume)) count++;
  return count;
}

/** Reads all data, and gives back how many bytes of the known files came out right. */
async function rightBytes(volume: Volume): Promise<number> {
  const files = new Map<bigint, Uint8Array>();
  for (const { inode, fileOffset, logical, diskBytes, offset, numBytes } of await regularExtents(volume, 5n)) {
    const data = new Uint8Array(diskBytes);
    const checksums = await volume.readChecksums(logical, diskBytes);
    await volume.readData(logical, data, checksums.present === undefined ? { checksums } : {});
    const file = files.get(inode) ?? new Uint8Array(1_000_000);
    file.set(data.subarray(offset, offset + numBytes), fileOffset);
    files.set(inode, file);
  }
  const right = CONTENTS.filter((wanted) =>
    [...files.values()].some((file) => equalBytes(file.subarray(0, wanted.byteLength), wanted)),
  );
  return right.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

const ALL_BYTES = 620_001;

test.for(["dup", "raid1", "raid10", "raid5", "raid6", "mixed-log", "8-tib"])(
  "%s: all is read, from any copy",
  async (name) => {
    const [volume, events] = await recorded(packedVolume(name));
    for await (const { node, expect: expected } of everyNode(volume)) {
      for (const copy of volume.copiesOf(node.logical, volume.nodeSize)) {
        expect(equalBytes((await volume.readNodeCopy(copy, expected)).bytes, node.bytes)).toBe(true);
      }
    }
    expect(await rightBytes(volume)).toBe(ALL_BYTES);
    expect(events.map((event) => (event.kind === "warning" ? event.topic : event.kind))).toEqual(
      name === "mixed-log" ? ["log-tree"] : [],
    );
  },
);

describe.each(Object.entries(BEARS))("%s", (name, bears) => {
  const lost = (devices: readonly unknown[]): number[][] =>
    devices.flatMap((_, a) => (bears === 1 ? [[a]] : devices.flatMap((_, b) => (a < b ? [[a, b]] : []))));

  test("without as many devices as it bears, degraded reading is complete", async () => {
    const devices = packedVolume(name);
    for (const gone of lost(devices)) {
      const rest = devices.filter((_, index) => !gone.includes(index));
      await expect(openVolume(rest)).rejects.toMatchObject({ code: "missing" });
      const [volume, events] = await recorded(rest, { degraded: true });
      expect(await nodeCount(volume)).toBeGreaterThan(5);
      expect(await rightBytes(volume)).toBe(ALL_BYTES);
      expect(events.map(({ kind }) => kind)).toEqual(["warning"]);
    }
  });

  test("a device that reads as zeros costs nothing but events that name it", async () => {
    const devices = packedVolume(name);
    const [volume, events] = await recorded([zeroed(devices[0]!), ...devices.slice(1)]);
    await nodeCount(volume);
    const extents = await regularExtents(volume, 5n);
    for (const { logical, diskBytes } of extents) {
      const checksums = await volume.readChecksums(logical, diskBytes);
      if (checksums.present === undefined) await volume.readData(logical, new Uint8Array(diskBytes), { checksums });
    }
    const bad = events.filter(({ kind }) => kind === "bad-copy");
    expect(bad.length).toBeGreaterThan(0);
    expect(bad.every(({ where }) => where.device === 1)).toBe(true);
    expect(events.some(({ kind }) => kind === "recovered")).toBe(true);
    expect(events.some(({ kind }) => kind === "unreadable")).toBe(false);
  });
});

test("one device more lost than it bears is an error, and no wrong byte", async () => {
  const devices = packedVolume("raid6").map((device, index) => (index < 3 ? zeroed(device) : device));
  const [volume, events] = await recorded(devices);
  await expect(nodeCount(volume)).rejects.toMatchObject({ code: "checksum" });
  await expect(rightBytes(volume)).rejects.toMatchObject({ code: "checksum" });
  expect(events.at(-1)!.kind).toBe("unreadable");
});

test("a bad sector costs itself alone; a sector without checksum is bad whatever it holds", async () => {
  const [device] = packedVolume("dup");
  const store = new OverlayDevice(device!);
  const [volume, events] = await recorded([store]);
  const extent = (await regularExtents(volume, 5n)).find(({ diskBytes }) => diskBytes >= 65536)!;
  const bad = extent.logical + 2 * 4096;
  for (const copy of volume.copiesOf(bad, 4096)) await store.write(copy.physical, Uint8Array.of(1, 2, 3));
  const checksums = await volume.readChecksums(extent.logical, extent.diskBytes);
  const read = volume.readData(extent.logical, new Uint8Array(extent.diskBytes), { checksums });
  await expect(read).rejects.toMatchObject({ code: "checksum", where: { logical: bad } });
  expect(events.map(({ kind }) => kind)).toEqual(["bad-copy", "bad-copy", "unreadable"]);

  const lost: [number, number, string][] = [];
  const present = new Uint8Array(extent.diskBytes / 4096).fill(1);
  present.fill(0, 5, 7);
  await volume.readData(extent.logical, new Uint8Array(extent.diskBytes), {
    checksums: { values: checksums.values, present },
    onUnreadable: (at, length, { sentence }) => lost.push([at, length, sentence]),
  });
  expect(lost.map(([at, length]) => [at, length])).toEqual([
    [2 * 4096, 4096],
    [5 * 4096, 2 * 4096],
  ]);
  expect(lost[1]![2]).toBe("Cannot trust data: it has no checksum");
});

test("a good copy is written over a bad one, only where the device can be written", async () => {
  const devices = packedVolume("raid1");
  const stores = devices.map((device) => new OverlayDevice(device));
  const [volume, events] = await recorded(stores);
  const { logical } = (await regularExtents(volume, 5n))[0]!;
  const [first, second] = volume.copiesOf(logical, 4096);
  const good = new Uint8Array(4096);
  await volume.readCopy(second!, good);
  await stores[first!.devid - 1]!.write(first!.physical, new Uint8Array(4096));
  const checksums = await volume.readChecksums(logical, 4096);
  await volume.readData(logical, new Uint8Array(4096), { checksums });
  expect(events.map(({ kind }) => kind)).toEqual(["bad-copy", "recovered"]);
  await volume.writeCopy(first!, good);
  await volume.flush();
  await volume.readData(logical, new Uint8Array(4096), { checksums });
  expect(events).toHaveLength(2);
  const [readOnly] = await recorded(devices);
  await expect(readOnly.writeCopy(first!, good)).rejects.toMatchObject({ code: "permission" });
});

test("devices of other filesystems, twins and strangers are refused", async () => {
  const [first, second] = packedVolume("raid1");
  await expect(openVolume([first!, second!, packedVolume("dup")[0]!])).rejects.toMatchObject({ code: "kind" });
  await expect(openVolume([first!, second!, first!])).rejects.toMatchObject({ code: "kind" });
  await expect(openVolume([])).rejects.toThrow(TypeError);
});

test("a device that missed commits is told, and comes last", async () => {
  const [first, second] = packedVolume("raid1");
  const [volume, events] = await recorded([first!, await withSuperblock(second!, (at) => (at === 0x48 ? -1 : 0))]);
  expect(events).toMatchObject([{ kind: "warning", topic: "stale-device", where: { device: 2 } }]);
  expect(await rightBytes(volume)).toBe(ALL_BYTES);
  expect(second!.bytesRead).toBeLessThan(100_000);
});

test("a damaged primary superblock is replaced by a copy, with a warning", async () => {
  const [device] = packedVolume("dup");
  const store = new OverlayDevice(device!);
  await store.write(0x1_0000 + 0x100, Uint8Array.of(0xff));
  const [volume, events] = await recorded([store]);
  expect(events).toMatchObject([{ kind: "warning", topic: "superblock" }]);
  expect(await rightBytes(volume)).toBe(ALL_BYTES);
});

test("older roots open as long as their blocks are there; others are named", async () => {
  const [volume] = await recorded(packedVolume("mixed-log"));
  const backups = backupRoots(volume.superblock);
  expect(backups.length).toBeGreaterThan(2);
  expect(backups[0]!.generation).toBe(volume.generation);
  const older = backups[1]!;
  const [old, events] = await recorded(packedVolume("mixed-log"), { rootGeneration: older.generation });
  expect(old.generation).toBe(older.generation);
  expect(events.map((event) => event.kind === "warning" && event.topic)).toContain("old-root");
  expect((await old.openTree(5n)).root.generation).toBeLessThanOrEqual(older.generation);
  expect((await openVolume(packedVolume("mixed-log"), { backupRoot: older.slot })).generation).toBe(older.generation);
  await expect(openVolume(packedVolume("mixed-log"), { rootGeneration: 1 })).rejects.toMatchObject({ code: "missing" });
});

test("opening 8 TiB and its top-level directory reads under 200 KiB", async () => {
  const [device] = packedVolume("8-tib");
  const volume = await openVolume([device!]);
  await volume.openTree(5n);
  expect(device!.size).toBe(8 * 2 ** 40);
  expect(device!.bytesRead).toBeLessThan(200 * 1024);
  expect(device!.reads).toBeLessThan(12);
});

/** The device with zeros in place of everything behind its first MiB. */
function zeroed(device: SparseDevice): ByteSource {
  return {
    name: device.name,
    size: device.size,
    async read(at, target) {
      if (at < 1024 * 1024) await device.read(at, target);
      else target.fill(0);
    },
  };
}

/** The device with a changed superblock, of which the checksum is right. `change` gives what to add to a byte. */
async function withSuperblock(device: SparseDevice, change: (at: number) => number): Promise<ByteSource> {
  const store = new OverlayDevice(device);
  await rewriteSuperblock(store, (data) => {
    for (let at = 0x20; at < 4096; at++) data[at]! += change(at);
  });
  return store;
}
