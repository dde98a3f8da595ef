import { copyFileSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { unpackImage } from "../support.ts";
import { btrkit } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "btrkit-inspect-"));
afterAll(() => rmSync(folder, { recursive: true }));
const image = join(folder, "everything.img");
unpackImage("everything", image);

test("inspect super prints every field, and copies and chunks where they are asked for", () => {
  const plain = btrkit(["inspect", "super", image]);
  expect(plain).toMatchObject({ stderr: "", status: 0 });
  expect(plain.stdout.toString()).toMatch(/^superblock copy 0, at byte 65536 of .*: valid\n/);
  expect(plain.stdout.toString()).toMatch(/^incompat_flags +\d+ \(mixed-backref\|.*no-holes\)$/m);
  expect(plain.stdout.toString()).not.toContain("backup_roots");
  const full = btrkit(["inspect", "super", "-af", image]).stdout.toString();
  expect(full.match(/^superblock copy/gm)).toHaveLength(2);
  expect(full.match(/^ {2}- key \(256 CHUNK_ITEM \d+\)/gm)).toHaveLength(2);
  expect(full.match(/^ {2}- tree_root \d+/gm)).toHaveLength(8);
});

test("inspect super in JSON has numbers and names", () => {
  const { stdout, status } = btrkit(["inspect", "super", "--format", "json", image]);
  expect(status).toBe(0);
  const found = JSON.parse(stdout.toString());
  expect(found.__header).toEqual({ version: "1" });
  expect(found["inspect-super"]).toMatchObject([
    { copy: 0, physical: 65536, valid: true, problem: null, magic: "_BHRfS_M", node_size: 16384, metadata_uuid: null },
  ]);
  const lines = btrkit(["inspect", "super", "-a", "--format=jsonl", image]).stdout.toString().trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).copy)).toEqual([0, 1]);
});

test("a damaged copy is printed with its problem, and is exit status 4", () => {
  const bad = join(folder, "bad.img");
  copyFileSync(image, bad);
  writeSync(openSync(bad, "r+"), Uint8Array.of(0xff, 0xff), 0, 2, 0x1_0000 + 0x12b);
  const { stdout, status } = btrkit(["inspect", "super", "-a", bad]);
  expect(status).toBe(4);
  expect(stdout.toString()).toMatch(/copy 0, .*: Cannot trust superblock: its crc32c checksum does not match\n/);
  expect(stdout.toString()).toMatch(/copy 1, .*: valid\n/);
});

test("what is no image is refused by name", () => {
  expect(btrkit(["inspect", "super", join(folder, "nothing")])).toMatchObject({ status: 1 });
  const packed = join(folder, "packed.img");
  writeFileSync(packed, Uint8Array.of(0x1f, 0x8b, 8, 0));
  expect(btrkit(["inspect", "super", packed])).toMatchObject({
    status: 3,
    stderr: `btrkit: cannot open as btrfs: it is compressed with gzip; unpack it first (${packed})\n`,
  });
  expect(btrkit(["inspect", "super", "--offset", "x", image]).status).toBe(2);
});
