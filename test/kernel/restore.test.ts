import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { TreeEntry } from "../support.ts";
import { applyHistory } from "./support/apply.ts";
import { makeWorkDirectory, removeWorkDirectory } from "./support/cleanup.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, type Profile } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { run } from "./support/run.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

const BIN = resolve(import.meta.dirname, "../../dist/cli/bin.js");

interface Case {
  readonly seed: number;
  readonly profile: Profile;
  readonly mkfs: readonly string[];
  readonly mount?: string;
  readonly devices?: number;
}

const CASES: readonly Case[] = [
  { seed: 1, profile: "everything", mkfs: [], mount: "compress-force=zstd" },
  { seed: 2, profile: "everything", mkfs: ["-n", "65536", "--csum", "xxhash"], mount: "compress-force=lzo" },
  { seed: 3, profile: "everything", mkfs: ["-O", "^no-holes"], mount: "compress=zlib" },
  { seed: 4, profile: "everything", mkfs: ["-d", "raid6", "-m", "raid1c3"], devices: 4 },
  { seed: 5, profile: "names", mkfs: ["-d", "raid10", "-m", "raid10"], devices: 4, mount: "compress-force=zstd" },
  { seed: 6, profile: "reflinks", mkfs: ["-d", "raid0", "-m", "dup", "--csum", "blake2"], devices: 2 },
  { seed: 7, profile: "data", mkfs: ["-d", "raid5", "-m", "raid1"], devices: 3, mount: "compress-force=zstd" },
];

/** A tmpfs of one's own; the end takes it away. */
class Memory implements AsyncDisposable {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async mount(work: string): Promise<Memory> {
    const directory = join(work, "memory");
    mkdirSync(directory);
    await run("mount", ["-t", "tmpfs", "-o", "size=2g", "none", directory]);
    return new Memory(directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run("umount", [this.directory]);
  }
}

function btrkit(...args: string[]) {
  return spawnSync(process.execPath, [BIN, ...args], { encoding: "latin1", maxBuffer: 1 << 28 });
}

/** Stretches with a byte that is not zero are data anywhere; where zeros were written, filesystems differ on holes. */
const BY_SIZE: readonly (keyof TreeEntry)[] = ["data"];

describeKernel("restore, beside the mounted filesystem", () => {
  test.each(CASES)(
    "history $seed of $profile, $mkfs $mount: what is restored as root equals the mounted tree",
    { timeout: 300_000 },
    async ({ seed, profile, mkfs, mount, devices = 1 }) => {
      await using filesystem = await TestFilesystem.make({ mkfs, devices, ...(mount === undefined ? {} : { mount }) });
      await applyHistory(filesystem.directory, makeHistory({ seed, profile, steps: 200 }));
      await filesystem.unmount();
      await filesystem.mount();
      const expected = await treeOf(filesystem.directory, { holes: true });
      await filesystem.unmount();
      await using memory = await Memory.mount(filesystem.work);
      const [first, ...others] = filesystem.images;
      const target = join(memory.directory, "target");
      const extra = others.flatMap((image) => ["--device", image]);
      const ran = btrkit("restore", ...extra, `${first}:/`, target);
      expect(ran.stderr).toBe("");
      expect(ran.status).toBe(0);
      const actual = await treeOf(target, { holes: true });
      expect(actual.length).toBeGreaterThan(50);
      expect(treeDifferences(actual.map(holdable), expected.map(holdable), BY_SIZE)).toEqual([]);
      expect(ran.stdout).toContain("restored");
    },
  );

  // PATH_MAX is 4096: only descriptors lead so far down.
  test("names behind paths that are too long for the kernel come back", { timeout: 120_000 }, async () => {
    await using filesystem = await TestFilesystem.make();
    await run("python3", ["-c", DEEP, filesystem.directory]);
    const expected = await listed(filesystem.directory);
    expect(expected).toContain("60 deepest 640 5 f");
    await filesystem.unmount();
    await using memory = await Memory.mount(filesystem.work);
    const target = join(memory.directory, "target");
    const ran = btrkit("restore", `${filesystem.images[0]}:/`, target);
    expect([ran.stderr, ran.status]).toEqual(["", 0]);
    expect(await listed(target)).toEqual(expected);
    expect((await run("find", [target, "-name", "deepest", "-execdir", "cat", "{}", ";"])).stdout.toString()).toBe(
      "bytes",
    );
  });

  test("simple quotas, as a kernel has filled them", async () => {
    const work = makeWorkDirectory();
    try {
      const image = join(work, "squota");
      const fixture = join(import.meta.dirname, "../fixtures/sectors/squota-lzo.gz");
      writeFileSync(image, gunzipSync(readFileSync(fixture)));
      await using filesystem = await TestFilesystem.make({ images: [image], mount: "ro" });
      const expected = await treeOf(filesystem.directory, { holes: true });
      await filesystem.unmount();
      await using memory = await Memory.mount(filesystem.work);
      const target = join(memory.directory, "target");
      const ran = btrkit("restore", `${image}:/`, target);
      expect([ran.stderr, ran.status]).toEqual(["", 0]);
      const actual = await treeOf(target, { holes: true });
      expect(actual.length).toBeGreaterThan(15);
      expect(treeDifferences(actual.map(holdable), expected.map(holdable), BY_SIZE)).toEqual([]);
    } finally {
      removeWorkDirectory(work);
    }
  });
});

const DEEP = `
import os, sys
here = os.open(sys.argv[1], os.O_RDONLY)
for depth in range(59):
    name = "d" * 240 + str(depth)
    os.mkdir(name, 0o750, dir_fd=here)
    here = os.open(name, os.O_RDONLY, dir_fd=here)
    os.utime(here, ns=(1, depth))
os.write(os.open("deepest", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=here), b"bytes")
`;

/** Depth, name, mode, size of what is no directory, and type of everything below a directory, however deep. */
async function listed(directory: string): Promise<string[]> {
  const common = [directory, "-mindepth", "1"];
  const files = await run("find", [...common, "!", "-type", "d", "-printf", "%d %f %m %s %y\\n"]);
  const directories = await run("find", [...common, "-type", "d", "-printf", "%d %f %m %y\\n"]);
  return `${directories.stdout}${files.stdout}`.split("\n");
}

/** What a tmpfs can hold of an entry: no properties of btrfs. */
function holdable(entry: TreeEntry): TreeEntry {
  const { xattrs, ...rest } = entry;
  const kept = Object.entries(xattrs ?? {}).filter(([name]) => !name.startsWith("btrfs."));
  return kept.length === 0 ? rest : { ...rest, xattrs: Object.fromEntries(kept) };
}
