import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { imageTree, unpackImage } from "../support.ts";
import { btrkit } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "btrkit-restore-"));
const image = join(folder, "image");
beforeAll(() => unpackImage("compressed", image));
afterAll(() => rmSync(folder, { recursive: true }));

/** Sums of all files of the image below a directory. */
function wanted(directory: string): [string, string][] {
  return imageTree("compressed").flatMap(({ path, sha256 }) =>
    path.startsWith(`${directory}/`) && sha256 !== undefined ? [[path, sha256] as [string, string]] : [],
  );
}

function sumsIn(root: string, paths: readonly [string, string][]): [string, string][] {
  return paths.map(([path]) => [
    path,
    createHash("sha256")
      .update(readFileSync(join(root, path)))
      .digest("hex"),
  ]);
}

test.each(["1", "3"])("restore with %s threads gives every file its content and times", (threads) => {
  const target = join(folder, `threads-${threads}`);
  const ran = btrkit(["restore", "--threads", threads, `${image}:/`, target]);
  expect(ran.stderr).toBe("");
  expect(ran.status).toBe(0);
  const files = ["zlib", "lzo", "zstd"].flatMap(wanted);
  expect(files.length).toBeGreaterThan(20);
  expect(sumsIn(target, files)).toEqual(files);
  expect(ran.stdout.toString()).toMatch(/^restored \d+ files \(.* MiB\), 3 directories/);
  for (const { path, mtime } of imageTree("compressed")) {
    const found = lstatSync(join(target, path), { bigint: true });
    expect(found.mtimeNs - (found.mtimeNs % 1000n)).toBe(BigInt(mtime) - (BigInt(mtime) % 1000n));
  }
});

test("a dry run makes nothing, and lists with -v what would be made", () => {
  const target = join(folder, "dry");
  const ran = btrkit(["restore", "--dry-run", "-v", `${image}:/z*`, target]);
  expect(ran.status).toBe(0);
  expect(existsSync(target)).toBe(false);
  const lines = ran.stdout.toString().trimEnd().split("\n");
  expect(lines.at(-1)).toMatch(/^would restore/);
  for (const [path] of wanted("zlib")) expect(lines).toContain(path);
});

test("files that are there are left alone and named, exit 1; --overwrite replaces them", () => {
  const target = join(folder, "twice");
  const run = (...options: string[]) => btrkit(["restore", ...options, "--format=json", `${image}:/lzo/`, target]);
  expect(run().status).toBe(0);
  const again = run();
  expect(again.status).toBe(1);
  const report = JSON.parse(again.stdout.toString()).restore;
  expect(report.files).toBe(0);
  expect(report.problems.every(({ kind }: { kind: string }) => kind === "exists")).toBe(true);
  expect(run("--overwrite").status).toBe(0);
});

test("a symbolic link planted in the target is not followed", () => {
  const target = join(folder, "planted");
  const outside = join(folder, "elsewhere");
  mkdirSync(target);
  mkdirSync(outside);
  symlinkSync(outside, join(target, "zstd"));
  const ran = btrkit(["restore", "--overwrite", `${image}:/zstd`, target]);
  expect(ran.status).toBe(1);
  expect(ran.stderr).toContain("left alone: /zstd");
  expect(readdirSync(outside)).toEqual([]);
});

test("wrong words are refused", () => {
  expect(btrkit(["restore", `${image}:/`]).status).toBe(2);
  expect(btrkit(["restore", `${image}:/nothing`, join(folder, "x")])).toMatchObject({ status: 1 });
  expect(existsSync(join(folder, "x"))).toBe(false);
  expect(btrkit(["restore", `${image}:/`, join(folder, "no/such")]).status).toBe(1);
});
