import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ByteStore } from "../../src/device/source.ts";
import { createFile } from "../../src/edit/directory.ts";
import { writeFile } from "../../src/edit/file.ts";
import { closeSourceHost, openSourceHost, treeSourceOf } from "../../src/linux/source-host.ts";
import { type MakeOptions, makeFilesystem } from "../../src/mkfs/mkfs.ts";
import { openWritableVolume } from "../../src/transaction/writable.ts";
import { makeWorkDirectory, removeWorkDirectory } from "./support/cleanup.ts";
import { describeKernel } from "./support/host.ts";
import { run } from "./support/run.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";
import { WrittenImage } from "./support/written.ts";

const CASES: readonly (readonly [string, MakeOptions])[] = [
  ["by default", {}],
  ["with 4K nodes", { nodeSize: 4096 }],
  ["with 64K nodes and data twice", { nodeSize: 65536, data: "dup" }],
  ["with xxhash64", { checksum: "xxhash64", metadata: "single" }],
  ["with sha256 and 4K nodes", { checksum: "sha256", nodeSize: 4096 }],
  ["with blake2b", { checksum: "blake2b" }],
  ["with a block group tree", { blockGroupTree: true }],
  ["with a block group tree and 4K nodes", { blockGroupTree: true, nodeSize: 4096 }],
  ["without no-holes", { noHoles: false }],
  ["without a free space tree", { freeSpaceTree: false }],
  ["with zlib", { compress: { algorithm: "zlib" } }],
  ["with lzo and 4K nodes", { compress: { algorithm: "lzo" }, nodeSize: 4096 }],
  ["with zstd", { compress: { algorithm: "zstd", level: 3 } }],
  ["with zstd and without no-holes", { compress: { algorithm: "zstd", level: 1 }, noHoles: false }],
];

describeKernel("mkfs --rootdir", () => {
  let work: string;
  let source: string;

  beforeAll(() => {
    work = makeWorkDirectory();
    source = join(work, "source");
    mkdirSync(source);
    execFileSync("python3", [join(import.meta.dirname, "support/source-tree.py"), source]);
  }, 120_000);
  afterAll(() => removeWorkDirectory(work));

  async function fill(image: WrittenImage, directory: string, options: MakeOptions = {}) {
    const host = openSourceHost(directory, true);
    try {
      return await image.open((store) => makeFilesystem(store, { from: treeSourceOf(host), grow: true, ...options }));
    } finally {
      closeSourceHost(host);
    }
  }

  test.each(CASES)(
    "a filesystem of a directory made %s is clean and has all of it",
    async (_, options) => {
      await using image = new WrittenImage(0);
      // The time of the last access of links and directories moves when they are read.
      const expected = await treeOf(source, { holes: true });
      await fill(image, source, options);
      await image.check();
      await image.mounted(async (directory) => {
        expect(treeDifferences(await treeOf(directory, { holes: true }), expected)).toEqual([]);
        writeFileSync(join(directory, "new"), "a".repeat(3_000_000));
        rmSync(join(directory, "sizes"), { recursive: true });
      });
      await image.check();
      await image.open((store) => changeAgain(store));
      await image.check();
      await image.mounted(async (directory) => {
        expect(readFileSync(join(directory, "again"), "utf8")).toBe("again");
        expect(statSync(join(directory, "new")).size).toBe(3_000_000);
      });
    },
    300_000,
  );

  test("an empty directory makes an empty filesystem", async () => {
    await using image = new WrittenImage(0);
    const empty = join(source, "empty");
    await fill(image, empty, { shrink: true });
    await image.check();
    await image.mounted(async (directory) => {
      expect(readdirSync(directory)).toEqual([]);
      expect(statSync(directory).mtimeMs).toBe(statSync(empty).mtimeMs);
    });
  });

  test("subvolumes are what was asked for, and hard links end at their borders", async () => {
    await using image = new WrittenImage(0);
    await fill(image, source, {
      subvolumes: [
        { path: "links", readOnly: true },
        { path: "/links/deeper/" },
        { path: "attributes", isDefault: true },
      ],
    });
    await image.check();
    await image.mounted(async (directory) => {
      // The default subvolume is mounted.
      const own = await treeOf(join(source, "attributes"));
      expect(treeDifferences(await treeOf(directory), own)).toEqual([]);
      const top = join(image.work, "top");
      mkdirSync(top);
      const device = (await run("findmnt", ["-no", "SOURCE", directory])).stdout.toString().trim().replace(/\[.*/, "");
      await run("mount", ["-o", "subvolid=5", device, top]);
      try {
        const list = (await run("btrfs", ["subvolume", "list", top])).stdout.toString();
        expect(
          list
            .trim()
            .split("\n")
            .map((line) => line.replace(/ID (\d+) gen \d+ top level (\d+) path/, "$1 $2")),
        ).toEqual(["256 5 attributes", "257 5 links", "258 257 links/deeper"]);
        const readOnly = async (path: string) =>
          (await run("btrfs", ["property", "get", join(top, path), "ro"])).stdout.toString().trim();
        expect([await readOnly("links"), await readOnly("links/deeper")]).toEqual(["ro=true", "ro=false"]);
        const differences = treeDifferences(await treeOf(top), await treeOf(source), ["nlink", "link"]);
        expect(differences).toEqual([]);
        expect(statSync(join(top, "links/two")).nlink).toBe(1);
        expect(statSync(join(top, "links/first")).nlink).toBe(301);
      } finally {
        await run("umount", [top]);
      }
    });
  }, 120_000);

  test("the same files give the same bytes, however their directories list them", async () => {
    await using first = new WrittenImage(0);
    await using second = new WrittenImage(0);
    const copy = join(work, "copy");
    // From the last name to the first, and without what a copy can't take along.
    await run("bash", ["-c", `cp -a "${source}" "${copy}"`]);
    const names = readdirSync(join(copy, "many")).reverse();
    const { mtime, atime } = statSync(join(copy, "many"));
    execFileSync("bash", [
      "-c",
      `cd "${copy}/many" && mkdir ../x && for n in ${names.join(" ")}; do cp -a $n ../x/$n; done`,
    ]);
    execFileSync("bash", ["-c", `cd "${copy}" && rm -r many && mv x many`]);
    execFileSync("touch", ["-r", join(source, "many"), join(copy, "many")]);
    execFileSync("touch", ["-r", source, copy]);
    expect(mtime !== atime).toBe(true);
    const options: MakeOptions = { reproducible: { latest: 1_700_000_000 }, now: 0n, compress: { algorithm: "zstd" } };
    await fill(first, source, options);
    await fill(second, copy, options);
    await run("cmp", [first.path, second.path]);
    await first.check();
    rmSync(copy, { recursive: true });
  }, 200_000);

  test("on a device of fixed size what does not fit is refused, and what fits is taken", async () => {
    await using small = new WrittenImage(60);
    const holes = join(source, "sizes");
    await expect(fill(small, source, { grow: false })).resolves.toMatchObject({ size: 60 << 20 });
    await small.check();
    await using tiny = new WrittenImage(16);
    await expect(fill(tiny, holes, { grow: false })).rejects.toMatchObject({ code: "space" });
  }, 120_000);
});

async function changeAgain(store: ByteStore): Promise<void> {
  const volume = await openWritableVolume([store]);
  await volume.transaction(async (tx) => {
    const at = { tx, tree: 5n, now: 1n };
    const inode = await createFile(at, 256n, "again");
    await writeFile(at, inode, 0n, new TextEncoder().encode("again"));
  });
}
