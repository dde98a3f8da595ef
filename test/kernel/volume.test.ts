import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { OverlayDevice } from "../../src/device/overlay.ts";
import type { ByteSource } from "../../src/device/source.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import type { VolumeEvent } from "../../src/volume/events.ts";
import { openVolume, type VolumeOptions } from "../../src/volume/open.ts";
import type { Volume } from "../../src/volume/volume.ts";
import { everyNode, type RegularExtent, regularExtents } from "../support/volume-walk.ts";
import { fillWithFiles, type ImageRequest, Images, noise, TEXT_BYTES, whyNoKernel } from "./support/volume-images.ts";

// The kernel fills fresh filesystems in every profile; all that it wrote is then read through every copy, and through
// every way to rebuild it from parity. Damage is done to overlays, so that each image serves many tests.

const whyNot = whyNoKernel();

const PROFILES: Readonly<Record<string, { devices: number; bears: number }>> = {
  single: { devices: 1, bears: 0 },
  dup: { devices: 1, bears: 0 },
  raid0: { devices: 3, bears: 0 },
  raid1: { devices: 3, bears: 1 },
  raid1c3: { devices: 4, bears: 2 },
  raid1c4: { devices: 5, bears: 3 },
  raid10: { devices: 5, bears: 1 },
  raid5: { devices: 4, bears: 1 },
  raid6: { devices: 5, bears: 2 },
};

const FLAVOURS: Readonly<Record<string, ImageRequest>> = {
  ...Object.fromEntries(
    Object.entries(PROFILES).map(([profile, { devices }]) => [
      profile,
      { devices, mkfs: ["-d", profile, "-m", profile] },
    ]),
  ),
  "raid5 on 2 devices": { devices: 2, mkfs: ["-d", "raid5", "-m", "raid5"] },
  "raid6 on 3 devices": { devices: 3, mkfs: ["-d", "raid6", "-m", "raid6"] },
  "raid0 on 1 device": { devices: 1, mkfs: ["-d", "raid0", "-m", "raid0"] },
  "raid10 on 2 devices": { devices: 2, mkfs: ["-d", "raid10", "-m", "raid10"] },
  "mixed groups": { devices: 1, mkfs: ["--mixed"] },
  xxhash: { devices: 1, mkfs: ["--csum", "xxhash"] },
  sha256: { devices: 1, mkfs: ["--csum", "sha256"] },
  blake2: { devices: 1, mkfs: ["--csum", "blake2"] },
  "node size 4K": { devices: 1, mkfs: ["-n", "4096"] },
  "node size 64K": { devices: 1, mkfs: ["-n", "65536"] },
  "no holes off": { devices: 1, mkfs: ["-O", "^no-holes", "-R", "^free-space-tree"] },
  zstd: { devices: 2, mkfs: ["-d", "raid1", "-m", "raid1"], mount: "compress-force=zstd" },
};

class Made {
  readonly images: Images;
  readonly contents: ReadonlyMap<bigint, Uint8Array>;

  constructor(request: ImageRequest) {
    let contents: ReadonlyMap<bigint, Uint8Array> = new Map();
    this.images = new Images({ ...request, fill: (directory) => (contents = fillWithFiles(directory)) });
    this.contents = contents;
  }

  async open(
    change: (devices: OverlayDevice[]) => ByteSource[] | Promise<ByteSource[]> = (devices) => devices,
    options: VolumeOptions = {},
  ): Promise<Volume> {
    const devices = await Promise.all(this.images.paths.map((path) => openFileDevice(path)));
    return openVolume(await change(devices.map((device) => new OverlayDevice(device))), options);
  }
}

const made = new Map<string, Made>();
function flavour(name: string): Made {
  let found = made.get(name);
  if (found === undefined) {
    found = new Made(FLAVOURS[name]!);
    made.set(name, found);
  }
  return found;
}

afterAll(() => {
  for (const { images } of made.values()) images.remove();
});

async function readExtent(
  volume: Volume,
  { logical, diskBytes }: RegularExtent,
  checked: boolean,
): Promise<Uint8Array> {
  const data = new Uint8Array(diskBytes);
  await volume.readData(logical, data, checked ? { checksums: await volume.readChecksums(logical, diskBytes) } : {});
  return data;
}

/** Reads all data of the top-level subvolume; compares what is not compressed with what was written. */
async function compareData(volume: Volume, contents: ReadonlyMap<bigint, Uint8Array>): Promise<number> {
  let compared = 0;
  for (const extent of await regularExtents(volume, 5n)) {
    const present = (await volume.readChecksums(extent.logical, extent.diskBytes)).present;
    const checked = present === undefined;
    if (!checked) expect(present.every((sector) => sector === 0)).toBe(true);
    const data = await readExtent(volume, extent, checked);
    const content = contents.get(extent.inode);
    if (content === undefined || extent.compression !== 0) continue;
    const wanted = content.subarray(extent.fileOffset, extent.fileOffset + extent.numBytes);
    expect(Buffer.compare(data.subarray(extent.offset, extent.offset + wanted.byteLength), wanted)).toBe(0);
    compared += wanted.byteLength;
  }
  return compared;
}

async function countNodes(volume: Volume): Promise<number> {
  let count = 0;
  for await (const _ of everyNode(volume)) count++;
  return count;
}

function totalBytes(contents: ReadonlyMap<bigint, Uint8Array>): number {
  return [...contents.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

describe.skipIf(whyNot !== undefined)(
  `a volume that the kernel wrote${whyNot === undefined ? "" : `: ${whyNot}`}`,
  () => {
    test.for(Object.keys(FLAVOURS))("%s: every copy of every node and sector is right", async (name) => {
      const { contents } = flavour(name);
      const events: VolumeEvent[] = [];
      await using volume = await flavour(name).open(undefined, { onEvent: (event) => events.push(event) });
      let copies = 0;
      for await (const { node, expect: expected } of everyNode(volume)) {
        for (const copy of volume.copiesOf(node.logical, volume.nodeSize)) {
          const other = await volume.readNodeCopy(copy, expected);
          expect(Buffer.compare(other.bytes, node.bytes)).toBe(0);
          copies++;
        }
      }
      expect(copies).toBeGreaterThan(10);
      const compared = await compareData(volume, contents);
      expect(compared).toBe(totalBytes(contents) - (name === "zstd" ? TEXT_BYTES : 0));
      for (const extent of await regularExtents(volume, 5n)) {
        const whole = await readExtent(volume, extent, false);
        for (let at = 0; at < extent.diskBytes; ) {
          const length = Math.min(volume.contiguousAt(extent.logical + at), extent.diskBytes - at);
          for (const copy of volume.copiesOf(extent.logical + at, length)) {
            const data = new Uint8Array(length);
            await volume.readCopy(copy, data);
            expect(Buffer.compare(data, whole.subarray(at, at + length))).toBe(0);
          }
          at += length;
        }
      }
      expect(events).toEqual([]);
    });

    test.for(Object.entries(PROFILES).filter(([, { bears }]) => bears > 0))(
      "%s: all is read without as many devices as it bears",
      async ([name, { devices, bears }]) => {
        const { contents } = flavour(name);
        for (const gone of subsets(devices, bears)) {
          const open = (degraded: boolean) =>
            flavour(name).open((all) => all.filter((_, index) => !gone.includes(index)), { degraded });
          await expect(open(false)).rejects.toMatchObject({ code: "missing" });
          await using volume = await open(true);
          expect(await countNodes(volume)).toBeGreaterThan(10);
          expect(await compareData(volume, contents)).toBe(totalBytes(contents));
        }
      },
    );

    test.for(Object.entries(PROFILES).filter(([, { bears }]) => bears > 0))(
      "%s: all is read while a device gives noise, and each bad copy is told",
      async ([name]) => {
        const { contents } = flavour(name);
        const events: VolumeEvent[] = [];
        await using volume = await flavour(name).open(
          async ([first, ...rest]) => [await overwritten(first!), ...rest],
          { onEvent: (event) => events.push(event) },
        );
        await countNodes(volume);
        // Nothing tells noise from data where there are no checksums.
        const checked = new Map([...contents].filter(([, data]) => data.byteLength !== 700_000));
        for (const extent of await regularExtents(volume, 5n)) {
          const { present } = await volume.readChecksums(extent.logical, extent.diskBytes);
          if (present !== undefined) continue;
          const content = checked.get(extent.inode)!;
          const data = await readExtent(volume, extent, true);
          const wanted = content.subarray(extent.fileOffset, extent.fileOffset + extent.numBytes);
          expect(Buffer.compare(data.subarray(extent.offset, extent.offset + wanted.byteLength), wanted)).toBe(0);
        }
        const kinds = new Set(events.map(({ kind }) => kind));
        expect(kinds).toEqual(new Set(["bad-copy", "recovered"]));
        for (const event of events) if (event.kind === "bad-copy") expect(event.where.device).toBe(1);
      },
    );

    test("damage on every copy is an error that says where, and costs only its own sector", async () => {
      const { contents } = flavour("dup");
      const events: VolumeEvent[] = [];
      let device: OverlayDevice | undefined;
      await using volume = await flavour("dup").open(
        (all) => {
          device = all[0];
          return all;
        },
        {
          onEvent: (event) => events.push(event),
        },
      );
      const extent = (await regularExtents(volume, 5n)).find(({ diskBytes }) => diskBytes > 1_000_000)!;
      const bad = extent.logical + 8192;
      for (const copy of volume.copiesOf(bad, 4096))
        await device!.write(copy.physical + 100, Uint8Array.of(1, 2, 3, 4));
      await expect(readExtent(volume, extent, true)).rejects.toMatchObject({
        code: "checksum",
        where: { logical: bad },
      });
      expect(events.map(({ kind }) => kind)).toContain("unreadable");
      const data = new Uint8Array(extent.diskBytes);
      const lost: number[][] = [];
      await volume.readData(extent.logical, data, {
        checksums: await volume.readChecksums(extent.logical, extent.diskBytes),
        onUnreadable: (at, length) => lost.push([at, length]),
      });
      expect(lost).toEqual([[8192, 4096]]);
      const wanted = contents.get(extent.inode)!.slice(extent.fileOffset, extent.fileOffset + extent.numBytes);
      wanted.fill(0, 8192, 8192 + 4096);
      expect(Buffer.compare(data.subarray(extent.offset, extent.offset + wanted.byteLength), wanted)).toBe(0);
    });

    test("a copy can be repaired with the bytes of another", async () => {
      const name = "raid1c3";
      let devices: OverlayDevice[] = [];
      const events: VolumeEvent[] = [];
      await using volume = await flavour(name).open(
        (all) => {
          devices = all;
          return all;
        },
        {
          onEvent: (event) => events.push(event),
        },
      );
      const extent = (await regularExtents(volume, 5n)).find(({ diskBytes }) => diskBytes > 1_000_000)!;
      const [copy] = volume.copiesOf(extent.logical, 4096);
      const good = new Uint8Array(4096);
      await volume.readCopy(copy!, good);
      await devices[copy!.devid - 1]!.write(copy!.physical, new Uint8Array(4096));
      const read = async (): Promise<void> => {
        const checksums = await volume.readChecksums(extent.logical, 4096);
        await volume.readData(extent.logical, new Uint8Array(4096), { checksums });
      };
      await read();
      expect(events.map(({ kind }) => kind)).toEqual(["bad-copy", "recovered"]);
      await volume.writeCopy(copy!, good);
      await volume.flush();
      await read();
      expect(events).toHaveLength(2);
    });

    test("a filesystem with a UUID of its own in the metadata is read", async () => {
      const { images, contents } = new Made({ devices: 1, mkfs: [] });
      try {
        execFileSync("btrfstune", ["-f", "-m", images.paths[0]!], { stdio: "pipe" });
        await using volume = await openVolume([await openFileDevice(images.paths[0]!)]);
        const { fsid, metadataUuid } = volume.superblock;
        expect(Buffer.compare(fsid, metadataUuid)).not.toBe(0);
        expect(await compareData(volume, contents)).toBe(totalBytes(contents));
      } finally {
        images.remove();
      }
    });

    test("a filesystem that grew on a seed is read from both, and not without the seed", async () => {
      const { images, contents } = new Made({ devices: 1, mkfs: [] });
      try {
        execFileSync("btrfstune", ["-f", "-S", "1", images.paths[0]!], { stdio: "pipe" });
        images.grow((mount) => writeFileSync(join(mount, "sprout"), noise(500_000, 77)));
        const devices = () => Promise.all(images.paths.map((path) => openFileDevice(path)));
        await using volume = await openVolume(await devices());
        expect([...volume.devices.values()].map(({ seed }) => seed).sort()).toEqual([false, true]);
        expect(await compareData(volume, contents)).toBe(totalBytes(contents));
        const [seed, sprout] = await devices();
        await expect(openVolume([sprout!])).rejects.toMatchObject({ code: "missing" });
        await using alone = await openVolume([seed!]);
        expect(await compareData(alone, contents)).toBe(totalBytes(contents));
        await sprout!.close?.();
      } finally {
        images.remove();
      }
    });

    test("a device or image in use is not opened for writing", async () => {
      const { images } = flavour("raid1");
      images.mount();
      try {
        for (const path of [...images.paths, ...images.loops]) {
          await expect(openFileDevice(path, { writable: true })).rejects.toMatchObject({ code: "busy" });
          await (await openFileDevice(path)).close?.();
        }
        const device = await openFileDevice(images.loops[1]!);
        expect(device.size).toBe(256 * 1024 * 1024);
        await device.close?.();
      } finally {
        images.unmount();
      }
      const device = await openFileDevice(images.paths[0]!, { writable: true });
      await device.close?.();
    });
  },
);

/** The device with all but its superblocks set to noise. */
async function overwritten(device: OverlayDevice): Promise<ByteSource> {
  const bytes = noise(1024 * 1024, 7);
  const fake: ByteSource = {
    name: device.name,
    size: device.size,
    async read(at, target, options) {
      await device.read(at, target, options);
      for (let index = 0; index < target.length; index++) {
        if (at + index >= 1024 * 1024) target[index] = bytes[(at + index) % bytes.length]!;
      }
    },
    close: () => device.close(),
  };
  return fake;
}

/** All choices of `size` numbers below `count`. */
function subsets(count: number, size: number): number[][] {
  if (size === 0) return [[]];
  return subsets(count, size - 1).flatMap((chosen) => {
    const next = (chosen.at(-1) ?? -1) + 1;
    return Array.from({ length: Math.max(count - next, 0) }, (_, index) => [...chosen, next + index]);
  });
}
