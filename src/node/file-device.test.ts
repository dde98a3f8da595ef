import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { deviceNumber } from "./block-device.ts";
import { openFileDevice } from "./file-device.ts";

const folder = mkdtempSync(join(tmpdir(), "btrkit-file-device-"));
afterAll(() => rmSync(folder, { recursive: true }));

const content = Uint8Array.from({ length: 300_000 }, (_, at) => (at * 7 + (at >> 9)) & 255);
const path = join(folder, "image");
writeFileSync(path, content);

test("single, synchronous and batched reads give the bytes of the file", async () => {
  const device = await openFileDevice(path);
  expect([device.size, device.name]).toEqual([content.byteLength, path]);
  const reads = [
    [200_000, 100_000],
    [0, 65_536],
    [65_536, 65_536],
    [131_072, 10],
    [150_000, 1],
  ].map(([at, length]) => ({ at: at!, target: new Uint8Array(length!) }));
  await device.readBatch!(reads);
  for (const { at, target } of reads) {
    const wanted = content.subarray(at, at + target.byteLength);
    expect(Buffer.compare(target, wanted)).toBe(0);
    for (const read of [device.read(at, target.fill(0)), device.readSync!(at, target)]) await read;
    expect(Buffer.compare(target, wanted)).toBe(0);
  }
  await device.close!();
  await device.close!();
  await expect(device.read(0, new Uint8Array(1))).rejects.toMatchObject({ code: "io" });
});

test("the end is an error, also one that came nearer since", async () => {
  const short = join(folder, "short");
  writeFileSync(short, content);
  const device = await openFileDevice(short);
  const past = { at: content.byteLength - 5, target: new Uint8Array(6) };
  await expect(device.read(past.at, past.target)).rejects.toMatchObject({ code: "truncated" });
  await expect(device.readBatch!([past])).rejects.toMatchObject({ code: "truncated" });
  truncateSync(short, 100_000);
  const cut = [
    { at: 65_536, target: new Uint8Array(20_000) },
    { at: 85_536, target: new Uint8Array(20_000) },
  ];
  await expect(device.read(90_000, new Uint8Array(20_000))).rejects.toMatchObject({ code: "truncated" });
  expect(() => device.readSync!(90_000, new Uint8Array(20_000))).toThrow("it ends here");
  await expect(device.readBatch!(cut)).rejects.toMatchObject({ code: "truncated" });
  await device.close!();
});

test("writing needs to be asked for, and reaches the file", async () => {
  const own = join(folder, "own");
  writeFileSync(own, content);
  expect("write" in (await openFileDevice(own))).toBe(false);
  const store = await openFileDevice(own, { writable: true });
  await store.write(299_990, new Uint8Array(10).fill(9));
  await expect(store.write(299_991, new Uint8Array(10))).rejects.toMatchObject({ code: "truncated" });
  await store.resize(400_000);
  await store.write(399_999, Uint8Array.of(1));
  await store.flush();
  await store.close!();
  const now = readFileSync(own);
  expect([now.byteLength, now[299_999], now[300_000], now[399_999]]).toEqual([400_000, 9, 0, 1]);
});

test("what is no file or device is refused with what it is", async () => {
  mkdirSync(join(folder, "directory"));
  await expect(openFileDevice(join(folder, "directory"))).rejects.toMatchObject({ code: "kind" });
  await expect(openFileDevice(join(folder, "nothing"))).rejects.toMatchObject({ code: "missing" });
});

test("a device number splits into major and minor", () => {
  expect(deviceNumber(0x0803)).toBe("8:3");
  expect(deviceNumber(0x1_0300)).toBe("259:0");
  expect(deviceNumber(0x10_0803)).toBe("8:259");
});
