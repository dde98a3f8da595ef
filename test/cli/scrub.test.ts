import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openVolume } from "../../src/volume/open.ts";
import { regularExtents } from "../support/volume-walk.ts";
import { imageSource, unpackImage } from "../support.ts";
import { btrkit } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "btrkit-scrub-"));
afterAll(() => rmSync(folder, { recursive: true }));
const images = [1, 2].map((device) => {
  const path = join(folder, `raid1.${device}`);
  unpackImage("raid1", path, device);
  return path;
});
const [first, second] = images as [string, string];
const args = (...more: string[]): string[] => ["scrub", "--device", second, ...more, first];

/** Writes zeros over a sector with a checksum, on the chosen devices. Gives its logical address. */
async function damage(...devices: number[]): Promise<number> {
  const volume = await openVolume([imageSource("raid1", 1), imageSource("raid1", 2)]);
  const [extent] = await regularExtents(volume, 5n);
  for (const { devid, physical } of volume.copiesOf(extent!.logical, 4096)) {
    if (!devices.includes(devid)) continue;
    const file = openSync(images[devid - 1]!, "r+");
    writeSync(file, new Uint8Array(4096), 0, 4096, physical);
    closeSync(file);
  }
  return extent!.logical;
}

test("scrub finds nothing, then damage, repairs it, and says each", async () => {
  const sound = btrkit(args());
  expect(sound).toMatchObject({ stderr: "", status: 0 });
  expect(sound.stdout.toString()).toMatch(
    /^verified on every copy: 4 superblocks, .* of metadata, .* of data\n(not verified: .*\n)?no damage\n$/,
  );

  const logical = await damage(2);
  const before = images.map((path) => readFileSync(path));
  const found = btrkit(args("--format", "json"));
  expect(found.status).toBe(4);
  expect(JSON.parse(found.stdout.toString()).scrub).toMatchObject({
    repairable: 1,
    clean: false,
    findings: [{ state: "repairable", kind: "data", device: 2, file: second, logical, length: 4096 }],
  });
  expect(images.map((path, index) => readFileSync(path).equals(before[index]!))).toEqual([true, true]);

  const repaired = btrkit(args("--repair"));
  expect(repaired.status).toBe(0);
  expect(repaired.stdout.toString()).toMatch(
    /^repaired: 4096 bytes of data: .*raid1\.2, logical \d+, device 2, at \d+\); belongs to \/\S+, \/snapshot\/\S+$/m,
  );
  expect(repaired.stdout.toString()).toMatch(/damaged places: 1 repaired\n$/);
  expect(btrkit(args("-q"))).toMatchObject({ status: 0, stdout: Buffer.alloc(0) });
});

test("what can't be repaired is exit status 4, with one line of JSON each", async () => {
  await damage(1, 2);
  const { stdout, status } = btrkit(args("--repair", "--format=jsonl"));
  expect(status).toBe(4);
  const lines = stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines.map(({ state, unrepairable }) => state ?? unrepairable)).toEqual(["unrepairable", "unrepairable", 2]);
});

test("a missing device is refused, or with --degraded left out", () => {
  const refused = btrkit(["scrub", second]);
  expect(refused).toMatchObject({ status: 1 });
  expect(refused.stderr).toMatch(
    /^btrkit: cannot open filesystem: its device 1 \(.*\) is missing; all have to be given, unless degraded\n$/,
  );
  const degraded = btrkit(["scrub", "--degraded", second]);
  expect(degraded.stderr).toMatch(/^btrkit: warning: .*device 1 \(.*\) is missing\n$/);
  expect(degraded.stdout.toString()).toMatch(/^not verified: .* on missing devices$/m);
});
