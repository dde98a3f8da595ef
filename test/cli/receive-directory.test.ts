import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, expect, test } from "vitest";
import { btrkit } from "./support.ts";

const STREAMS = resolve(import.meta.dirname, "../fixtures/streams");
const stream = (name: string): string => join(STREAMS, `${name}.stream`);
const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "btrkit-receive-cli-"));
  made.push(directory);
  return directory;
}

/** Wherever this directory lies, as a plain one. */
const receive = (directory: string, ...args: string[]) =>
  btrkit(["receive", "--target", "directory", ...args, directory]);

test("receive --target directory receives, says so as btrfs receive does, and tells what became of the extents", () => {
  const directory = newDirectory();
  const first = receive(directory, "-v", "-f", stream("small-v2"));
  expect(first.status).toBe(0);
  expect(first.stderr).toMatch(/^At subvol small-1\nreceiving subvol small-1 uuid=/);
  expect(first.stderr).toMatch(/\n\d+ extents decoded: a plain directory holds no encoded data\n/);
  expect(first.stderr).not.toContain("BTRFS_IOC");
  const second = receive(directory, "-f", stream("small-increment-v2"));
  expect([second.status, second.stdout.toString()]).toEqual([0, "At snapshot small-2\n"]);
  expect(readdirSync(directory).sort()).toEqual([".btrkit", "small-1", "small-2"]);
});

test("an increment without its parent, and a name that is taken, are told in the words of btrfs", () => {
  const directory = newDirectory();
  const lonely = receive(directory, "-q", "-f", stream("small-increment-v2"));
  expect([lonely.status, lonely.stderr]).toEqual([1, "ERROR: cannot find parent subvolume\n"]);
  receive(directory, "-f", stream("small-v2"));
  const again = receive(directory, "-q", "-f", stream("small-v2"));
  expect([again.status, again.stderr]).toEqual([1, "ERROR: creating subvolume small-1 failed: File exists\n"]);
});

test("what is cut is told, and --cleanup deletes it and nothing else", () => {
  const directory = newDirectory();
  receive(directory, "-f", stream("small-v2"));
  const cut = join(directory, "cut");
  writeFileSync(cut, readFileSync(stream("small-increment-v2")).subarray(0, 900));
  const ran = receive(directory, "-q", "-f", cut);
  expect(ran.status).toBe(1);
  expect(ran.stderr).toContain(`WARNING: ${directory}/small-2 is unfinished, as its sidecar says\n`);
  const cleaned = receive(directory, "--cleanup");
  expect([cleaned.status, cleaned.stdout.toString()]).toEqual([
    0,
    `deleted ${directory}/small-2, an unfinished receive\n`,
  ]);
  expect(readdirSync(directory).sort()).toEqual([".btrkit", "cut", "small-1"]);

  receive(directory, "-q", "--in-place", "-f", cut);
  const refused = receive(directory, "--cleanup");
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(/^ERROR: .*small-2 is an unfinished receive in place/);
  expect(existsSync(join(directory, "small-2"))).toBe(true);
});
