import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BLOCK_GROUP_ITEM } from "../../src/format/key-type.ts";
import { HEADER_BYTES, itemSize, itemStart, type Leaf, slotKey } from "../../src/format/node.ts";
import { NodeTree } from "../../src/tree/tree.ts";
import { allTrees } from "../support/all-trees.ts";
import { dumpText } from "../support/dump-text.ts";
import { type DumpedItem, parseDump } from "../support/dump-tree.ts";
import { ImageSource } from "../support/image-source.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel, progsVersion } from "./support/host.ts";
import { run } from "./support/run.ts";

const SHAPES: readonly (readonly [string, readonly string[]])[] = [
  ["4 KiB nodes, crc32c", ["-n", "4096"]],
  [
    "16 KiB nodes, sha256, no skinny metadata, holes as items",
    ["-O", "^no-holes,^skinny-metadata", "--csum", "sha256"],
  ],
  ["64 KiB nodes, xxhash64", ["-n", "65536", "--csum", "xxhash"]],
  ["mixed block groups, blake2b", ["--mixed", "--csum", "blake2"]],
  ["version 1 of the free space cache", ["-R", "^free-space-tree"]],
];

describeKernel("trees of images that the kernel wrote", () => {
  // Every leaf of every tree, item by item: what btrkit reads is what btrfs-progs prints.
  test.each(SHAPES)("hold the items that dump-tree prints: %s", async (_, mkfs) => {
    await using filesystem = await TestFilesystem.make({ mkfs, mount: "compress=zstd,max_inline=2048" });
    await fill(filesystem.directory);
    await filesystem.unmount();
    const image = filesystem.images[0]!;
    const dump = parseDump((await run("btrfs", ["inspect-internal", "dump-tree", image])).stdout.toString("latin1"));
    const source = await ImageSource.open(image);
    const seen = new Set<number>();
    let items = 0;
    for (const root of await allTrees(source)) {
      const tree = await NodeTree.open(source, root);
      for await (const { leaf, first, last } of tree.leaves()) {
        const dumped = dump.leaves.get(leaf.logical);
        expect([first, last], `leaf ${leaf.logical}`).toEqual([0, dumped?.length]);
        for (let slot = first; slot < last; slot++, items++) expectSame(leaf, slot, dumped![slot]!);
        // Snapshots share leaves: dump-tree prints those in each.
        seen.add(leaf.logical);
      }
    }
    source.close();
    // An empty tree has an empty leaf, which a walk does not show.
    expect([...dump.leaves].filter(([logical, all]) => !seen.has(logical) && all.length > 0)).toEqual([]);
    expect(items).toBeGreaterThan(3000);
  });
});

function expectSame(leaf: Leaf, slot: number, dumped: DumpedItem): void {
  const key = slotKey(leaf, slot);
  const offset = itemStart(leaf, slot) - HEADER_BYTES;
  expect({ key, offset, size: itemSize(leaf, slot) }).toEqual({
    key: dumped.key,
    offset: dumped.offset,
    size: dumped.size,
  });
  const text = dumpText(leaf, slot);
  // Other versions put the same in other words.
  if (text === undefined || progsVersion() !== "6.2") return;
  const expected = withoutRemarks(dumped.text);
  if (key.type === BLOCK_GROUP_ITEM) expect(expected.startsWith(text), expected).toBe(true);
  else expect(withoutRemarks(text)).toBe(expected);
}

/**
 * Names of flags and dates in parentheses repeat what stands before them; keys in parentheses stay, but for the first
 * key of a tree block, which dump-tree writes in words of its own.
 */
function withoutRemarks(text: string): string {
  return text
    .replace(/ ?\((?:none|\d{4}-\d\d-\d\d [\d:]+|[A-Z_|]+|inline|regular|prealloc|zstd|zlib|lzo)\)/g, "")
    .replace(/ tree block key \(.*?\) level \d/, "");
}

/** A bit of everything. */
async function fill(top: string): Promise<void> {
  const at = (name: string) => join(top, name);
  await run("btrfs", ["quota", "enable", top]);
  for (const name of ["sub", "doomed"]) await run("btrfs", ["subvolume", "create", at(name)]);
  mkdirSync(at("many"));
  for (let index = 0; index < 500; index++) writeFileSync(at(`many/file-${index}`), `content ${index}\n`.repeat(index));
  for (let index = 0; index < 200; index++)
    linkSync(at("many/file-0"), at(`many/a-name-so-long-that-few-fit-in-one-item-${index}`));
  symlinkSync("many/file-1", at("link"));
  await run("mknod", [at("device"), "b", "259", "65536"]);
  await run("mkfifo", [at("fifo")]);
  await run("setfattr", ["-n", "user.short", "-v", "value", at("many/file-1")]);
  await run("setfattr", ["-n", "user.long", "-v", "v".repeat(200), at("many/file-1")]);
  await run("chattr", ["+C", at("sub")]);
  writeFileSync(at("sub/data"), Buffer.from(Array.from({ length: 900_000 }, (_, index) => (index * index) >>> 7)));
  await run("truncate", ["-s", "1G", at("sub/sparse")]);
  await run("fallocate", ["-o", "1M", "-l", "3M", at("sub/sparse")]);
  await run("btrfs", ["filesystem", "sync", top]);
  for (let sector = 0; sector < 50; sector++) {
    await run("cp", ["--reflink=always", at("sub/data"), at(`sub/clone-${sector % 7}`)]);
    await run("dd", [
      "if=/dev/urandom",
      `of=${at(`sub/clone-${sector % 7}`)}`,
      "bs=4096",
      "count=1",
      `seek=${sector}`,
      "conv=notrunc",
      "status=none",
    ]);
  }
  await run("btrfs", ["filesystem", "sync", top]);
  await run("btrfs", ["subvolume", "snapshot", at("sub"), at("snapshot")]);
  await run("btrfs", ["subvolume", "snapshot", "-r", at("sub"), at("read-only")]);
  for (let index = 0; index < 50; index++) writeFileSync(at(`sub/late-${index}`), "late");
  await run("btrfs", ["qgroup", "create", "1/0", top]);
  await run("btrfs", ["qgroup", "limit", "1G", at("sub")]);
  await run("btrfs", ["subvolume", "delete", at("doomed")]);
}
