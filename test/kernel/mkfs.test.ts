import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseUuid } from "../../src/bytes/uuid.ts";
import { type MakeOptions, makeFilesystem } from "../../src/mkfs/mkfs.ts";
import { describeKernel } from "./support/host.ts";
import { run } from "./support/run.ts";
import { WrittenImage } from "./support/written.ts";

const CASES: readonly (readonly [string, number, MakeOptions])[] = [
  ["by default", 256, {}],
  ["with 4K nodes", 128, { nodeSize: 4096 }],
  ["with 64K nodes", 256, { nodeSize: 65536 }],
  ["with 32K nodes and xxhash64", 256, { nodeSize: 32768, checksum: "xxhash64" }],
  ["with sha256", 128, { checksum: "sha256" }],
  ["with blake2b and 4K nodes", 128, { checksum: "blake2b", nodeSize: 4096 }],
  ["with a block group tree", 256, { blockGroupTree: true }],
  ["with a block group tree and 4K nodes", 256, { blockGroupTree: true, nodeSize: 4096 }],
  ["without no-holes", 128, { noHoles: false }],
  ["without a free space tree", 128, { freeSpaceTree: false }],
  ["with single metadata", 100, { metadata: "single" }],
  ["with data twice", 300, { data: "dup" }],
  ["of a little over 64 MiB", 65, { metadata: "single" }],
  ["of a size that is no multiple of a sector", 200.0007, {}],
];

describeKernel("mkfs", () => {
  test.each(CASES)("a filesystem made %s is clean, and the kernel writes to it", async (_, sizeMiB, options) => {
    await using image = new WrittenImage(sizeMiB);
    await image.open((store) => makeFilesystem(store, { label: "made here", ...options }));
    await image.check();
    await image.mounted(async (directory) => {
      expect(readdirSync(directory)).toEqual([]);
      writeFileSync(join(directory, "file"), "a".repeat(300_000));
      expect((await run("btrfs", ["filesystem", "label", directory])).stdout.toString().trim()).toBe("made here");
    });
    await image.check();
    await image.mounted(async (directory) => {
      expect(readFileSync(join(directory, "file"), "utf8")).toBe("a".repeat(300_000));
    });
  });

  test("the superblock says what that of mkfs.btrfs says", async () => {
    await using ours = new WrittenImage(256);
    await using theirs = new WrittenImage(256);
    const uuid = "01234567-89ab-cdef-0123-456789abcdef";
    await ours.open((store) => makeFilesystem(store, { uuid: parseUuid(uuid), label: "label" }));
    await run("mkfs.btrfs", ["-q", "--uuid", uuid, "--label", "label", theirs.path]);
    const [own, peer] = await Promise.all([ours, theirs].map(({ path }) => dumpSuper(path)));
    for (const field of SAME) expect(`${field} ${own!.get(field)}`).toBe(`${field} ${peer!.get(field)}`);
  });

  test("with fixed uuids and times the same bytes come out", async () => {
    await using first = new WrittenImage(110);
    await using second = new WrittenImage(110);
    const uuid = (byte: number) => new Uint8Array(16).fill(byte);
    for (const image of [first, second]) {
      const uuids = { uuid: uuid(1), deviceUuid: uuid(2), chunkTreeUuid: uuid(3), subvolumeUuid: uuid(4) };
      await image.open((store) => makeFilesystem(store, { ...uuids, now: 1_000_000_007n }));
    }
    await run("cmp", [first.path, second.path]);
  });
});

const SAME =
  "csum_type magic fsid label log_root num_devices total_bytes sectorsize nodesize compat_flags compat_ro_flags root_level chunk_root_level cache_generation dev_item.type dev_item.total_bytes dev_item.io_align dev_item.sector_size dev_item.devid dev_item.fsid".split(
    " ",
  );

/** Fields of `dump-super`, as text. */
async function dumpSuper(path: string): Promise<Map<string, string>> {
  const text = (await run("btrfs", ["inspect-internal", "dump-super", path])).stdout.toString();
  return new Map([...text.matchAll(/^(\S+)\t+(.*)$/gm)].map(([, field, value]) => [field!, value!]));
}
