import { execFileSync } from "node:child_process";
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadNative } from "../native.ts";
import { Directories } from "./directories.ts";

// Which directory a path leads to is what the host says, however many were opened, closed, moved and removed before.

const isLinux = process.platform === "linux";
let top: string;
let root: number;
let directories: Directories;

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "btrkit-directories-"));
  if (!isLinux) return;
  root = openSync(top, "r");
  directories = new Directories(loadNative(), root);
});

afterEach(() => {
  if (isLinux) {
    directories.clear();
    closeSync(root);
  }
  // Longer paths than Node takes may lie there.
  execFileSync("rm", ["-rf", top]);
});

function expectAt(...paths: readonly [string, ...string[]]): void {
  const [first, second] = paths;
  const found = second === undefined ? [directories.at(first)] : directories.pair(first, second);
  expect(found.map(({ fd }) => fstatSync(fd).ino)).toEqual(paths.map((path) => statSync(join(top, path)).ino));
}

const openFiles = (): number => readdirSync("/proc/self/fd").length;

test.runIf(isLinux)("more than can be open at once are found, the oldest closed for them", () => {
  const paths = Array.from({ length: 600 }, (_, n) => `a${n % 7}/b${n % 30}/c${n}`);
  for (const path of paths) mkdirSync(join(top, path), { recursive: true });
  const before = openFiles();
  for (const path of paths) expectAt(path);
  for (const path of paths.toReversed()) expectAt(path, paths[3]!);
  for (const path of paths) expectAt(path.slice(0, path.lastIndexOf("/")), path);
  expect(openFiles() - before).toBeLessThanOrEqual(256);
  expect(openFiles() - before).toBeGreaterThan(200);
  directories.clear();
  expect(openFiles()).toBe(before);
  expectAt("", "a0/b0/c0");
});

test.runIf(isLinux)("a directory that was moved or replaced is found anew, with all below", () => {
  mkdirSync(join(top, "a/b/c/d"), { recursive: true });
  mkdirSync(join(top, "x/b/c/d"), { recursive: true });
  // Opened in one step: what lies between is not open.
  expectAt("a/b/c/d");
  renameSync(join(top, "a/b"), join(top, "a/old"));
  directories.moved("a/b", "a/old");
  expect(() => directories.at("a/b/c/d")).toThrow("ENOENT");
  expectAt("a/old/c/d");
  renameSync(join(top, "x/b"), join(top, "a/b"));
  directories.moved("x/b", "a/b");
  expectAt("a/b/c/d", "a/old/c/d");
  expectAt("a/b/c", "a/b");
  rmSync(join(top, "a/b"), { recursive: true });
  directories.removed("a/b");
  expect(() => directories.at("a/b/c")).toThrow("ENOENT");
  symlinkSync("old", join(top, "a/b"));
  expect(() => directories.at("a/b/c")).toThrow(/ELOOP|ENOTDIR/);
  expect(() => directories.at("a/b")).toThrow(/ELOOP|ENOTDIR/);
});

test.runIf(isLinux)("a path longer than one call takes is opened in steps", () => {
  const name = "n".repeat(250);
  let at = top;
  const fds: number[] = [];
  for (let depth = 0; depth < 20; depth++) {
    mkdirSync(join(at, name));
    const fd = openSync(join(at, name), "r");
    fds.push(fd);
    at = `/proc/self/fd/${fd}`;
  }
  const found = directories.at(Array.from({ length: 20 }, () => name).join("/"));
  expect(fstatSync(found.fd).ino).toBe(fstatSync(fds.at(-1)!).ino);
  for (const fd of fds) closeSync(fd);
});
