import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { btrkit } from "./support.ts";

let folder: string;
let tree: string;
const text = "some words that compress well, ".repeat(20_000);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "btrkit-mkfs-rootdir-"));
  tree = join(folder, "tree");
  mkdirSync(join(tree, "inner/deep"), { recursive: true });
  writeFileSync(join(tree, "text"), text);
  writeFileSync(join(tree, "inner/small"), "small");
  linkSync(join(tree, "inner/small"), join(tree, "inner/deep/linked"));
  symlinkSync("../text", join(tree, "inner/link"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const made = (image: string, ...options: string[]) => btrkit(["mkfs", "-q", "--rootdir", tree, ...options, image]);
const read = (place: string) => btrkit(["cat", place]).stdout.toString();

test("mkfs --rootdir makes an image with the files of a directory, and says so when it is complete", () => {
  const image = join(folder, "new.img");
  const options = ["--compress", "zstd:5", "--subvol", "ro:inner", "--shrink", "-L", "filled"];
  expect(made(image, ...options)).toMatchObject({ status: 0, stderr: "" });
  expect(read(`${image}:/text`)).toBe(text);
  expect(read(`${image}:/inner/deep/linked`)).toBe("small");
  const shown = JSON.parse(btrkit(["inspect", "super", "--format", "jsonl", image]).stdout.toString());
  expect(shown).toMatchObject({ valid: true, label: "filled" });
  expect(btrkit(["subvolume", "list", image]).stdout.toString()).toContain("inner");
  // It is not taken for a place to write to without being asked.
  const again = made(image);
  expect(again.status).toBe(1);
  expect(again.stderr).toContain("there is a btrfs already");
}, 60_000);

test("an image that is there gets as long as it has to be, and no longer than --byte-count says", () => {
  const image = join(folder, "there.img");
  writeFileSync(image, "");
  truncateSync(image, 1 << 20);
  expect(made(image)).toMatchObject({ status: 0, stderr: "" });
  expect(read(`${image}:/text`)).toBe(text);
  const small = join(folder, "small.img");
  const refused = made(small, "--byte-count", "2M");
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain("too few");
}, 60_000);

test("what fails leaves nothing behind", () => {
  const before = readdirSync(folder);
  const image = join(folder, "failed.img");
  expect(made(image, "--subvol", "nowhere")).toMatchObject({ status: 1 });
  expect(btrkit(["mkfs", "--rootdir", join(tree, "text"), image])).toMatchObject({ status: 1 });
  expect(made(image, "--compress", "zstd:16")).toMatchObject({ status: 2 });
  expect(made(image, "--compress", "lzo:1")).toMatchObject({ status: 2 });
  expect(made(image, "--subvol", "default:inner", "--subvol", "default:inner/deep")).toMatchObject({ status: 2 });
  expect(btrkit(["mkfs", "--compress", "zstd", image])).toMatchObject({ status: 2 });
  expect(existsSync(image)).toBe(false);
  expect(readdirSync(folder)).toEqual(before);
}, 60_000);

test("with --reproducible the same files give the same bytes", () => {
  const [first, second] = [join(folder, "1.img"), join(folder, "2.img")];
  const env = { SOURCE_DATE_EPOCH: "1700000000" };
  for (const image of [first, second]) {
    const options = ["--reproducible", "--compress", "zstd", "--shrink", "--subvol", "inner"];
    expect(btrkit(["mkfs", "-q", "-r", tree, ...options, image], { env })).toMatchObject({ status: 0, stderr: "" });
  }
  expect(readFileSync(first).equals(readFileSync(second))).toBe(true);
}, 60_000);
