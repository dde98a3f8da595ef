import { describe, expect, test } from "vitest";
import { imageFixtures, imageSource } from "../../test/support.ts";
import { OverlayDevice } from "../device/overlay.ts";
import { openVolume } from "../volume/open.ts";
import type { Volume } from "../volume/volume.ts";
import { allocatedExtents } from "./allocated.ts";
import { type Finding, isClean } from "./report.ts";
import { scrub } from "./scrub.ts";

const FIXTURES = imageFixtures();
const devicesOf = (name: string): number => FIXTURES.find((fixture) => fixture.name === name)!.devices;

async function opened(
  name: string,
  without: readonly number[] = [],
): Promise<{ volume: Volume; devices: OverlayDevice[] }> {
  const devices = Array.from(
    { length: devicesOf(name) },
    (_, index) => new OverlayDevice(imageSource(name, index + 1)),
  );
  const there = devices.filter((_, index) => !without.includes(index + 1));
  return { volume: await openVolume(there, { degraded: without.length > 0 }), devices };
}

async function scrubbed(volume: Volume, repair = false) {
  const findings: Finding[] = [];
  const report = await scrub(volume, { repair, onFinding: (finding) => findings.push(finding) });
  return { report, findings };
}

/** One copy in each way that the profile has of being damaged. Copy `copy` of every sector of every extent gets a wrong byte. */
async function damageCopy(volume: Volume, devices: OverlayDevice[], choose: (devid: number, copy: number) => boolean) {
  let sectors = 0;
  for await (const extents of allocatedExtents(volume, (fault) => expect(fault).toBeUndefined())) {
    for (const { logical, length } of extents) {
      for (let at = 0; at < length; at += volume.sectorSize, sectors++) {
        const copies = volume.copiesOf(logical + at, volume.sectorSize).filter(({ kind }) => kind === "stored");
        for (const [index, { devid, physical }] of copies.entries()) {
          if (choose(devid, index)) await flip(devices[devid - 1]!, physical + 100);
        }
      }
    }
  }
  return sectors;
}

async function flip(device: OverlayDevice, at: number): Promise<void> {
  const byte = new Uint8Array(1);
  await device.read(at, byte);
  await device.write(at, Uint8Array.of(byte[0]! ^ 0x55));
}

test.for(FIXTURES)("$name: a filesystem of the kernel has no damage", async ({ name }) => {
  const { volume } = await opened(name);
  const { report, findings } = await scrubbed(volume);
  expect(findings).toEqual([]);
  expect(isClean(report)).toBe(true);
  expect(report.metadataBytes).toBeGreaterThan(volume.nodeSize * 5);
  expect(report.dataBytes).toBeGreaterThan(0);
  expect(report.superblocks).toBe((name.startsWith("mixed") ? 1 : 2) * devicesOf(name));
  expect(report.parityBytes > 0).toBe(/raid[56]/.test(name));
});

// Every sector that lies on device 1 (or is the second copy of dup) gets a wrong byte: all of it can be had from elsewhere.
describe.each(["dup", "raid1", "raid1c3", "raid1c4", "raid10", "raid5", "raid6"])("%s", (name) => {
  const choose = (devid: number, copy: number): boolean => (name === "dup" ? copy === 1 : devid === 1);

  test("damage on one copy is told, and repaired with the others", async () => {
    const { volume, devices } = await opened(name);
    await damageCopy(volume, devices, choose);
    const before = await scrubbed(volume);
    expect(before.report).toMatchObject({ repaired: 0, unrepairable: 0 });
    expect(before.report.repairable).toBe(before.findings.length);
    expect(before.findings.length).toBeGreaterThan(5);
    expect(before.findings.every(({ device, state }) => device === 1 && state === "repairable")).toBe(true);
    expect(
      before.findings.filter(({ kind }) => kind === "data").every(({ owners }) => owners[0]?.inode !== undefined),
    ).toBe(true);
    const repair = await scrubbed(volume, true);
    expect(repair.report).toMatchObject({ repairable: 0, unrepairable: 0 });
    expect(repair.report.repaired).toBeGreaterThanOrEqual(before.findings.length);
    const after = await scrubbed(volume);
    expect(after.findings).toEqual([]);
    // What was written is what was there.
    for (const [index, device] of devices.entries()) {
      const original = imageSource(name, index + 1);
      for await (const extents of allocatedExtents(volume, () => {})) {
        for (const { logical, length } of extents) {
          for (let at = 0; at < length; ) {
            const step = Math.min(length - at, volume.contiguousAt(logical + at));
            for (const copy of volume.copiesOf(logical + at, step)) {
              if (copy.kind !== "stored" || copy.devid !== index + 1) continue;
              const [now, then] = [new Uint8Array(step), new Uint8Array(step)];
              await device.read(copy.physical, now);
              await original.read(copy.physical, then);
              expect(Buffer.compare(now, then)).toBe(0);
            }
            at += step;
          }
        }
      }
    }
  });
});

test.each(["raid5", "raid6"])("%s: wrong parity is told and made right, and unused parity left alone", async (name) => {
  const { volume, devices } = await opened(name);
  const clean = await scrubbed(volume);
  // All of what device 2 has in chunks with parity, but for the data and metadata that are verified by themselves.
  const used = new Set<number>();
  for await (const extents of allocatedExtents(volume, () => {})) {
    for (const { logical, length } of extents) {
      for (let at = 0; at < length; at += 4096) {
        const [copy] = volume.copiesOf(logical + at, 4096);
        if (copy!.devid === 2) used.add(copy!.physical);
      }
    }
  }
  for (const chunk of volume.chunks.chunks) {
    for (const { devid, physical } of chunk.stripes) {
      if (devid !== 2) continue;
      for (let at = 0; at < Math.min(chunk.stripeLength, 1 << 20); at += 4096) {
        if (!used.has(physical + at)) await flip(devices[1]!, physical + at);
      }
    }
  }
  const { report, findings } = await scrubbed(volume, true);
  expect(findings.length).toBeGreaterThan(0);
  expect(findings.every(({ kind, state }) => kind === "parity" && state === "repaired")).toBe(true);
  expect(report.parityBytes).toBe(clean.report.parityBytes);
  expect((await scrubbed(volume)).findings).toEqual([]);
});

test("damage on every copy can't be repaired, and says whose it is", async () => {
  const { volume, devices } = await opened("dup");
  let bad: number | undefined;
  for await (const extents of allocatedExtents(volume, () => {})) {
    const data = extents.find(({ kind, length }) => kind === "data" && length >= 8192);
    if (data === undefined) continue;
    const { present } = await volume.readChecksums(data.logical + 4096, 4096);
    if (present === undefined) bad ??= data.logical + 4096;
  }
  for (const { physical } of volume.copiesOf(bad!, 4096)) await flip(devices[0]!, physical);
  const { report, findings } = await scrubbed(volume, true);
  expect(report).toMatchObject({ repaired: 0, repairable: 0, unrepairable: 2 });
  expect(findings).toMatchObject([
    { kind: "data", state: "unrepairable", logical: bad, lengthBytes: 4096, error: { code: "checksum" } },
    { kind: "data", state: "unrepairable", logical: bad, lengthBytes: 4096, error: { code: "checksum" } },
  ]);
  expect(findings[0]!.owners[0]!.inode).toBeGreaterThan(256n);
});

test("a damaged superblock is written anew from a good one, on whichever end it is", async () => {
  for (const at of [0x1_0000, 0x400_0000]) {
    const { devices } = await opened("raid1");
    await devices[1]!.write(at + 200, new Uint8Array(50).fill(7));
    const volume = await openVolume(devices);
    expect((await scrubbed(volume)).findings).toMatchObject([
      { kind: "superblock", state: "repairable", device: 2, physical: at },
    ]);
    expect((await scrubbed(volume, true)).report).toMatchObject({ repaired: 1, unrepairable: 0 });
    const [now, then] = [new Uint8Array(4096), new Uint8Array(4096)];
    await devices[1]!.read(at, now);
    await imageSource("raid1", 2).read(at, then);
    expect(Buffer.compare(now, then)).toBe(0);
  }
});

test("what lies on missing devices is counted, and what can't be had without them is lost", async () => {
  for (const name of ["raid1", "raid5", "raid6"]) {
    const { volume } = await opened(name, [2]);
    const { report, findings } = await scrubbed(volume);
    expect([name, findings]).toEqual([name, []]);
    expect(report.missingBytes).toBeGreaterThan(0);
  }
});

test("a read-only device is not repaired, and an aborted scrub ends", async () => {
  const { volume, devices } = await opened("dup");
  await damageCopy(volume, devices, (_, copy) => copy === 0);
  const device = devices[0]!;
  const readOnly = await openVolume([
    { name: "read-only", size: device.size, read: (at, target) => device.read(at, target) },
  ]);
  await expect(scrub(readOnly, { repair: true })).rejects.toMatchObject({ code: "permission" });
  await expect(scrub(volume, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" });
});
