import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { ByteStore } from "../../src/device/source.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { allocatedExtents } from "../../src/scrub/allocated.ts";
import { type Finding, isClean } from "../../src/scrub/report.ts";
import { scrub } from "../../src/scrub/scrub.ts";
import { openVolume } from "../../src/volume/open.ts";
import type { Volume } from "../../src/volume/volume.ts";
import { btrkit } from "../cli/support.ts";
import { checkImage } from "./support/filesystem.ts";
import { fillWithFiles, type ImageRequest, Images, whyNoKernel } from "./support/volume-images.ts";

// Bytes are flipped on real images, in one mirror of everything: btrkit repairs it, and then the kernel mounts and scrubs
// it, btrfs check looks at every checksum, and every file has what was written.

const whyNot = whyNoKernel();

const PROFILES: Readonly<Record<string, ImageRequest>> = {
  dup: { devices: 1, mkfs: ["-d", "dup", "-m", "dup"] },
  raid1: { devices: 2, mkfs: ["-d", "raid1", "-m", "raid1"] },
  raid1c3: { devices: 3, mkfs: ["-d", "raid1c3", "-m", "raid1c3"] },
  raid10: { devices: 4, mkfs: ["-d", "raid10", "-m", "raid10"] },
  raid5: { devices: 3, mkfs: ["-d", "raid5", "-m", "raid5"] },
  raid6: { devices: 4, mkfs: ["-d", "raid6", "-m", "raid6"] },
  "raid6 data, raid1c3 metadata, sha256, zstd": {
    devices: 4,
    mkfs: ["-d", "raid6", "-m", "raid1c3", "--csum", "sha256"],
    mount: "compress-force=zstd",
  },
};

const made: Images[] = [];
afterAll(() => {
  for (const images of made) images.remove();
});

type Contents = ReadonlyMap<string, Uint8Array>;

function make(request: ImageRequest): { images: Images; contents: Contents } {
  let contents: Contents = new Map();
  const images = new Images({
    ...request,
    fill: (directory) => {
      fillWithFiles(directory);
      contents = readAll(directory);
    },
  });
  made.push(images);
  return { images, contents };
}

function readAll(directory: string): Contents {
  const contents = new Map<string, Uint8Array>();
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    if (statSync(join(directory, name)).isFile()) contents.set(name, readFileSync(join(directory, name)));
  }
  return contents;
}

async function opened({ paths }: Images): Promise<{ volume: Volume; stores: ByteStore[] }> {
  const stores = await Promise.all(paths.map((path) => openFileDevice(path, { writable: true })));
  return { volume: await openVolume(stores), stores };
}

/** Flips a byte of every sector of the chosen copies of what has checksums, and of the superblock's second copy. */
async function damage(
  images: Images,
  choose: (devid: number, copy: number, sector: number) => boolean,
): Promise<number> {
  const { volume, stores } = await opened(images);
  const flips: { devid: number; physical: number }[] = [];
  for await (const extents of allocatedExtents(volume, (fault) => expect(fault).toBeUndefined())) {
    for (const { kind, logical, length } of extents) {
      const { present } = kind === "data" ? await volume.readChecksums(logical, length) : { present: undefined };
      for (let at = 0; at < length; at += 4096) {
        if (present?.[at / 4096] === 0) continue;
        const copies = volume.copiesOf(logical + at, 4096).filter((copy) => copy.kind === "stored");
        for (const [copy, { devid, physical }] of copies.entries()) {
          if (choose(devid, copy, (logical + at) / 4096)) flips.push({ devid, physical });
        }
      }
    }
  }
  for (const { devid, physical } of flips) {
    const store = stores[devid - 1]!;
    const byte = new Uint8Array(1);
    await store.read(physical + 1000, byte);
    await store.write(physical + 1000, Uint8Array.of(byte[0]! ^ 0xa5));
  }
  await stores[0]!.write(0x400_0000 + 500, new Uint8Array(20).fill(9));
  await volume.flush();
  await volume.close();
  return flips.length;
}

async function scrubbed(images: Images, repair: boolean) {
  const { volume } = await opened(images);
  const findings: Finding[] = [];
  const report = await scrub(volume, { repair, onFinding: (finding) => findings.push(finding) });
  await volume.close();
  return { report, findings };
}

/** What the kernel and btrfs-progs say of the images: nothing. */
async function expectSound(images: Images, contents: Contents): Promise<void> {
  for (const path of images.paths) expect(superblockCopies(path)).toEqual(["[match]", "[match]"]);
  const directory = images.mount();
  try {
    // Checks every checksum of every copy, and tells what it corrected as well as what it could not.
    const said = execFileSync("btrfs", ["scrub", "start", "-B", "-R", directory], { encoding: "utf8" });
    const counts = Object.fromEntries(
      [...said.matchAll(/^\s+(\w+): (\d+)$/gm)].map(([, name, count]) => [name, Number(count)]),
    );
    expect(counts).toMatchObject({ csum_errors: 0, verify_errors: 0, read_errors: 0, super_errors: 0 });
    expect(counts).toMatchObject({ corrected_errors: 0, uncorrectable_errors: 0, unverified_errors: 0 });
    expect(counts.data_bytes_scrubbed).toBeGreaterThan(5_000_000);
    for (const [name, content] of contents) {
      expect([name, Buffer.compare(readFileSync(join(directory, name)), content)]).toEqual([name, 0]);
    }
    // Nothing is written behind the back of the check.
    execFileSync("mount", ["-o", "remount,ro", directory], { stdio: "pipe" });
    const check = await checkImage(images.loops[0]!, ["--force"]);
    const problems = (`${check.stderr}`.match(/^(.*mirror.*|.*checksum.*|ERROR.*)$/gm) ?? []).filter((line) => {
      // It looks at every block device of the machine, also at those that come and go beside the test.
      const scanned = /^ERROR: cannot scan (\S+): /.exec(line)?.[1];
      return scanned === undefined || images.loops.includes(scanned);
    });
    expect([check.code, problems]).toEqual([0, []]);
  } finally {
    images.unmount();
  }
}

function superblockCopies(path: string): (string | undefined)[] {
  const dump = execFileSync("btrfs", ["inspect-internal", "dump-super", "-a", path], { encoding: "utf8" });
  return [...dump.matchAll(/^csum\s+\S+ (\[.*\])$/gm)].map(([, verdict]) => verdict);
}

describe.skipIf(whyNot !== undefined)(
  `scrub of images that the kernel wrote${whyNot === undefined ? "" : `: ${whyNot}`}`,
  () => {
    test.for(Object.entries(PROFILES))(
      "%s: damage in one mirror of everything is repaired so that the kernel finds nothing",
      async ([name, request]) => {
        const { images, contents } = make(request);
        expect((await scrubbed(images, false)).findings).toEqual([]);
        const flipped = await damage(images, (devid, copy) => (name === "dup" ? copy === 1 : devid === 2));
        expect(flipped).toBeGreaterThan(300);
        const found = await scrubbed(images, false);
        expect(found.report).toMatchObject({ repaired: 0, unrepairable: 0 });
        expect(found.findings.length).toBeGreaterThan(10);
        const repair = await scrubbed(images, true);
        expect(repair.report).toMatchObject({ repairable: 0, unrepairable: 0 });
        expect(isClean(repair.report)).toBe(true);
        expect((await scrubbed(images, false)).findings).toEqual([]);
        await expectSound(images, contents);
      },
    );

    test.for(["raid1c3", "raid6"])(
      "%s: two bad columns or copies at every place are repaired as well",
      async (name) => {
        const { images, contents } = make(PROFILES[name]!);
        await damage(images, (devid) => devid <= 2);
        expect(isClean((await scrubbed(images, true)).report)).toBe(true);
        expect((await scrubbed(images, false)).findings).toEqual([]);
        await expectSound(images, contents);
      },
    );

    test("damage that alternates between the mirrors leaves no copy whole, and all is repaired", async () => {
      const { images, contents } = make(PROFILES.raid1!);
      // Tree blocks of 16 KiB are good or bad as a whole.
      await damage(images, (devid, _copy, sector) => devid === 1 + (Math.floor(sector / 4) % 2));
      expect(isClean((await scrubbed(images, true)).report)).toBe(true);
      await expectSound(images, contents);
    });

    test("damage on every mirror is told of the right file, and nothing else is touched", async () => {
      const { images, contents } = make(PROFILES.raid1!);
      const { volume, stores } = await opened(images);
      const directory = images.paths.map((path) => readFileSync(path));
      let bad = 0;
      for await (const extents of allocatedExtents(volume, () => {})) {
        for (const { kind, logical, length } of extents) {
          if (kind === "data" && length > 1_000_000) bad ||= logical + 40_960;
        }
      }
      for (const { devid, physical } of volume.copiesOf(bad, 4096))
        await stores[devid - 1]!.write(physical, new Uint8Array(4096));
      await volume.close();
      const before = images.paths.map((path) => readFileSync(path));
      expect(before.some((bytes, index) => !bytes.equals(directory[index]!))).toBe(true);
      const ran = btrkit(["scrub", "--repair", "--format=json", "--device", images.paths[1]!, images.paths[0]!]);
      expect(ran.status).toBe(4);
      const { findings } = JSON.parse(ran.stdout.toString()).scrub;
      const mount = images.mount();
      const inode = statSync(join(mount, "large")).ino;
      const kernel = spawnSync("cat", [join(mount, "large")], { encoding: "buffer" });
      images.unmount();
      expect(kernel.status).toBe(1);
      expect(findings).toHaveLength(2);
      for (const finding of findings) {
        expect(finding).toMatchObject({ state: "unrepairable", kind: "data", logical: bad, length: 4096 });
        expect(finding.owners).toEqual([{ root: 5, inode, file_offset: expect.any(Number), path: "/large" }]);
      }
      expect(contents.size).toBeGreaterThan(500);
    });

    test("wrong parity alone is repaired, and the kernel agrees when a device is then lost", async () => {
      for (const name of ["raid5", "raid6"]) {
        const { images, contents } = make(PROFILES[name]!);
        const { volume, stores } = await opened(images);
        for (const chunk of volume.chunks.chunks) {
          const data = new Set<number>();
          for await (const extents of allocatedExtents(volume, () => {})) {
            for (const { logical, length } of extents) {
              if (logical < chunk.start || logical >= chunk.start + chunk.length) continue;
              for (let at = 0; at < length; at += 4096) {
                const [copy] = volume.copiesOf(logical + at, 4096);
                if (copy!.devid === 1) data.add(copy!.physical);
              }
            }
          }
          for (const { devid, physical } of chunk.stripes) {
            if (devid !== 1) continue;
            for (let at = 0; at < Math.min(chunk.stripeLength, 8 << 20); at += 4096) {
              const isSuperblock = Math.floor((physical + at) / 65536) === 0x400_0000 / 65536;
              if (!isSuperblock && !data.has(physical + at))
                await stores[0]!.write(physical + at, new Uint8Array(4096).fill(0x77));
            }
          }
        }
        await volume.flush();
        await volume.close();
        const { report, findings } = await scrubbed(images, true);
        expect(isClean(report)).toBe(true);
        expect(new Set(findings.map(({ kind }) => kind))).toEqual(new Set(["parity"]));
        await expectSound(images, contents);
        // The kernel rebuilds what device 2 had from the parity that was written.
        execFileSync("truncate", ["-s", "0", images.paths[1]!]);
        const rest = images.paths.filter((_, index) => index !== 1);
        const mount = join(images.directory, "degraded");
        mkdirSync(mount, { recursive: true });
        const loops = rest.map((path) => execFileSync("losetup", ["-f", "--show", path], { encoding: "utf8" }).trim());
        try {
          execFileSync("btrfs", ["device", "scan", ...loops], { stdio: "pipe" });
          execFileSync("mount", ["-o", "ro,degraded", loops[0]!, mount], { stdio: "pipe" });
          try {
            for (const [file, content] of contents) {
              // Data without checksums was written at heights that are not looked at.
              if (file === "unchecked/large") continue;
              expect([name, file, Buffer.compare(readFileSync(join(mount, file)), content)]).toEqual([name, file, 0]);
            }
          } finally {
            execFileSync("umount", [mount]);
          }
        } finally {
          for (const loop of loops) {
            spawnSync("btrfs", ["device", "scan", "--forget", loop]);
            execFileSync("losetup", ["-d", loop]);
          }
        }
      }
    });

    test("a mounted filesystem is scrubbed with a warning, and never repaired", () => {
      const { images } = make({ devices: 1, mkfs: [] });
      images.mount();
      try {
        const read = btrkit(["scrub", images.paths[0]!]);
        expect(read.stderr).toMatch(
          /^btrkit: warning: .* is in use: .* is mounted on .*; what is read may be a mix of old and new\n$/,
        );
        for (const name of [images.paths[0]!, images.loops[0]!]) {
          const refused = btrkit(["scrub", "--repair", name]);
          expect(refused.status).toBe(1);
          expect(refused.stderr).toMatch(/^btrkit: cannot open for writing: .* is mounted on /);
        }
      } finally {
        images.unmount();
      }
    });
  },
);
