import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { btrkit } from "../cli/support.ts";
import { parseDump } from "../support/dump-tree.ts";
import { describeKernel } from "./support/host.ts";
import { fillWithFiles, Images } from "./support/volume-images.ts";

const SHAPES: readonly (readonly [string, readonly string[], string])[] = [
  ["the defaults", [], "compress=zstd"],
  ["4 KiB nodes, holes as items, sha256", ["-n", "4096", "-O", "^no-holes", "--csum", "sha256"], "compress=lzo"],
  [
    "mixed groups, version 1 of the free space cache, xxhash",
    ["--mixed", "-R", "^free-space-tree", "--csum", "xxhash"],
    "noatime",
  ],
];

function fill(directory: string): void {
  const btrfs = (...args: string[]) => execFileSync("btrfs", args, { stdio: "pipe" });
  btrfs("quota", "enable", directory);
  btrfs("subvolume", "create", join(directory, "sub"));
  fillWithFiles(join(directory, "sub"));
  mkdirSync(join(directory, "sub/deep/er"), { recursive: true });
  btrfs("subvolume", "create", join(directory, "sub/deep/er/nested"));
  btrfs("subvolume", "snapshot", "-r", join(directory, "sub"), join(directory, "snapshot"));
  writeFileSync(join(directory, "sub/deep/later"), "later");
  execFileSync("setfattr", ["-n", "user.a", "-v", "value", join(directory, "sub/large")]);
}

describeKernel("inspect, beside btrfs-progs", () => {
  test.each(SHAPES)("tree: the keys, places and sizes of dump-tree in every tree: %s", (_, mkfs, mount) => {
    const images = new Images({ devices: 1, mkfs, mount, fill });
    try {
      const [image] = images.paths as [string];
      const peer = execFileSync("btrfs", ["inspect-internal", "dump-tree", image], {
        maxBuffer: 1 << 28,
        stdio: ["ignore", "pipe", "pipe"],
      });
      const dump = parseDump(peer.toString("latin1"));
      const { stdout, stderr, status } = btrkit(["inspect", "tree", "--format", "jsonl", image]);
      expect([status, stderr]).toEqual([0, ""]);
      const leaves = new Map<number, unknown[]>();
      const nodes = new Set<number>();
      for (const line of stdout
        .toString()
        .trimEnd()
        .split("\n")
        .map((text) => JSON.parse(text))) {
        // A leaf that snapshots share is printed in each of them.
        if (line.kind === "leaf") leaves.set(line.logical, []);
        if (line.kind === "node") nodes.add(line.logical);
        if (line.kind !== "item") continue;
        const key = { objectid: BigInt(line.key.objectid), type: line.key.type, offset: BigInt(line.key.offset) };
        leaves.get(line.leaf)!.push({ key, offset: line.offset, size: line.size });
      }
      const expected = [...dump.leaves].map(([logical, items]) => [
        logical,
        items.map(({ key, offset, size }) => ({ key, offset, size })),
      ]);
      expect(leaves).toEqual(new Map(expected as [number, unknown[]][]));
      expect(nodes).toEqual(dump.nodes);
      expect([...leaves.values()].flat().length).toBeGreaterThan(1500);
    } finally {
      images.remove();
    }
  });

  test.each(SHAPES)("super: the fields of dump-super: %s", (_, mkfs) => {
    const images = new Images({ devices: 2, mkfs });
    try {
      for (const image of images.paths) {
        const peer = execFileSync("btrfs", ["inspect-internal", "dump-super", "-a", "-f", image], { encoding: "utf8" });
        const copies = peer.split(/^superblock: /m).slice(1);
        const own = JSON.parse(btrkit(["inspect", "super", "-a", "--format=json", image]).stdout.toString())[
          "inspect-super"
        ];
        expect(own).toHaveLength(copies.length);
        for (const [index, text] of copies.entries()) expectSame(own[index], text);
      }
    } finally {
      images.remove();
    }
  });
});

describeKernel("subvolumes, beside btrfs-progs", () => {
  test("list and show print what btrfs prints of the mounted image", () => {
    const said = new Map<string, string>();
    const images = new Images({
      devices: 1,
      mkfs: [],
      fill: (directory) => {
        const btrfs = (...args: string[]) => execFileSync("btrfs", args, { encoding: "utf8" });
        fill(directory);
        btrfs("quota", "disable", directory);
        btrfs("subvolume", "snapshot", join(directory, "snapshot"), join(directory, "sub/deep/writable"));
        const stream = join(directory, "stream");
        btrfs("send", "-q", "-f", stream, join(directory, "snapshot"));
        mkdirSync(join(directory, "received"));
        execFileSync("btrfs", ["receive", "-q", "-f", stream, join(directory, "received")], { stdio: "pipe" });
        btrfs("subvolume", "delete", "-C", join(directory, "sub/deep/er/nested"));
        btrfs("subvolume", "sync", directory);
        btrfs("filesystem", "sync", directory);
        for (const options of LISTS) said.set(options, btrfs("subvolume", "list", options, directory));
        for (const path of SHOWN) said.set(path, btrfs("subvolume", "show", join(directory, path)));
      },
    });
    try {
      const [image] = images.paths as [string];
      for (const options of LISTS) {
        const { stdout, stderr, status } = btrkit(["subvolume", "list", options, image]);
        expect([options, status, stderr, stdout.toString()]).toEqual([options, 0, "", said.get(options)]);
      }
      // btrfs-progs shows the time of creation as that of sending, also where none is stored.
      const comparable = (text: string) => text.replace(/(\tSend time: \t\t).*/, "$1");
      for (const path of SHOWN) {
        const { stdout } = btrkit(["subvolume", "show", `${image}:/${path}`]);
        expect(comparable(stdout.toString())).toBe(comparable(said.get(path)!));
      }
    } finally {
      images.remove();
    }
  });
});

const LISTS = ["-p", "-u", "-puqRcg", "-s", "-r", "-rs", "-su"];
const SHOWN = ["", "sub", "snapshot", "sub/deep/writable", "received/snapshot"];

/** Names of dump-super that are not the field's. */
const NAMES: Readonly<Record<string, string>> = {
  sys_array_size: "sys_chunk_array_size",
  "log_root_transid (deprecated)": "log_root_transid",
  sectorsize: "sector_size",
  nodesize: "node_size",
  "leafsize (deprecated)": "leaf_size",
  stripesize: "stripe_size",
  root_dir: "root_dir_objectid",
};

function expectSame(own: Record<string, unknown> & { backup_roots: Record<string, number>[] }, text: string): void {
  let compared = 0;
  for (const line of text.split("\n")) {
    const found = /^([a-z][a-z_.() ]*?)\t+(\S.*)$/.exec(line);
    if (found === null) continue;
    const [, name, value] = found as unknown as [string, string, string];
    if (name === "csum_size") continue;
    const path = (NAMES[name] ?? name).split(".");
    const said = path.reduce<unknown>((at, field) => (at as Record<string, unknown>)[field], own);
    // The peer shows the fsid where there is no UUID of the metadata alone.
    const mine = name === "metadata_uuid" ? (said ?? own.fsid) : said;
    const [word] = value.split(" ");
    const theirs = typeof mine === "number" ? Number(word) : name === "csum" ? word!.slice(2) : word;
    expect([name, mine]).toEqual([name, theirs]);
    compared++;
  }
  expect(compared).toBeGreaterThan(35);
  const backups = [...text.matchAll(/^\t\t(?:backup_)?(\w+)_root:\t+(\d+)\tgen: (\d+)\tlevel: (\d)$/gm)];
  expect(backups).toHaveLength(24);
  for (const [index, [, name, logical, generation, level]] of backups.entries()) {
    const backup = own.backup_roots[Math.floor(index / 6)]!;
    expect([backup[`${name}_root`], backup[`${name}_root_generation`], backup[`${name}_root_level`]]).toEqual(
      [logical, generation, level].map(Number),
    );
  }
}
