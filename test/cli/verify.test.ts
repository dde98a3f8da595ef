import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { toBytes } from "../../src/bytes/bytes.ts";
import { commandOf, END, header, stream, u64 } from "../support/raw-stream.ts";
import { streamBytes } from "../support.ts";
import { BIN, btrkit } from "./support.ts";

const directory = mkdtempSync(join(tmpdir(), "btrkit-verify-"));
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, bytes: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

const sound = file("zlib.stream", streamBytes("zlib"));
const damagedBytes = streamBytes("zlib").slice();
damagedBytes[20_000]! ^= 1;
const damaged = file("damaged.stream", damagedBytes);

test("verify says sound with status 0 and damaged with status 4, on one thread as on several", () => {
  for (const threads of ["1", "2"]) {
    const good = btrkit(["verify", "--threads", threads, sound]);
    expect(good).toMatchObject({ status: 0, stderr: "" });
    expect(good.stdout.toString()).toMatch(/encoded_write +17/);
    expect(good.stdout.toString()).toMatch(/\nsound: 69\.9 KiB in 102 commands\n$/);
    const bad = btrkit(["verify", "--threads", threads, damaged]);
    expect(bad.status).toBe(4);
    expect(bad.stdout.toString()).toMatch(/checksum is .*offset \d+, command \d+, WRITE\).*\n {4}may be lost: /);
  }
});

test("verify --format json is one document with the same facts", () => {
  const { stdout, status } = btrkit(["verify", "--format", "json", sound, damaged]);
  expect(status).toBe(4);
  const { __header, verify } = JSON.parse(stdout.toString());
  expect(__header).toEqual({ version: "1" });
  expect(verify).toMatchObject({ sound: false, commands: 203, faults_omitted: 0 });
  // Both are the same subvolume.
  expect(verify.faults).toMatchObject([
    { stream: damaged, code: "exists", lost: [] },
    { stream: damaged, code: "checksum", command: "WRITE", lost_unnamed: false },
  ]);
  expect(verify.faults[1].lost[0]).toMatchObject({ path: expect.any(String), from: expect.stringMatching(/^\d+$/) });
});

test("verify reads standard input, and -q only exits", () => {
  expect(btrkit(["verify", "-q", "-"], { input: streamBytes("small-v1") })).toMatchObject({ status: 0, stderr: "" });
  expect(btrkit(["verify", "-q", "-"], { input: streamBytes("small-v1").subarray(0, 4000) })).toMatchObject({
    status: 4,
    stderr: "",
  });
});

// Large regular files are read out of turn, by their own places: not one that another program has begun to read.
test("standard input is read from where it stands, however large the file is", () => {
  const subvol = commandOf(2, 1, [
    [15, "s"],
    [1, new Uint8Array(16).fill(7)],
    [2, u64(9)],
  ]);
  const write = commandOf(2, 15, [
    [15, "f"],
    [18, u64(0)],
    [19, new Uint8Array(1024 * 1024)],
  ]);
  const mkfile = commandOf(2, 3, [
    [15, "f"],
    [3, u64(257)],
  ]);
  const junk = toBytes("something else comes first\n");
  const path = file("large", Buffer.concat([junk, header(2), subvol, mkfile, ...Array(40).fill(write), END]));
  for (const args of [
    ["verify", "-"],
    ["receive", "--dump"],
  ]) {
    const fd = openSync(path, "r");
    readSync(fd, new Uint8Array(junk.byteLength));
    const { status, stdout } = spawnSync(process.execPath, [BIN, ...args], { stdio: [fd, "pipe", "inherit"] });
    closeSync(fd);
    expect(status).toBe(0);
    const found = stdout.toString().match(/^ *write +(40\n|\.\/s\/f )/gm) ?? [];
    expect(found).toHaveLength(args[0] === "verify" ? 1 : 40);
  }
});

test("verify says what is wrong with a name or an option before it reads anything", () => {
  expect(btrkit(["verify", sound, join(directory, "none")])).toMatchObject({ status: 1 });
  expect(btrkit(["verify", directory]).stderr.toString()).toContain("is a directory");
  expect(btrkit(["verify", "--threads", "0", sound])).toMatchObject({ status: 2 });
  expect(btrkit(["verify"])).toMatchObject({ status: 2 });
});

const manyFaults = file(
  "many.stream",
  stream(1, ...Array.from({ length: 5000 }, (_, i) => commandOf(1, 11, [[15, `../${i}`]])), END),
);

test("verify reads standard input once, and gives no headings to what is no stream", () => {
  const twice = btrkit(["verify", "-", "-"], { input: streamBytes("zlib") });
  expect(twice).toMatchObject({ status: 2, stderr: expect.stringContaining("standard input can be read once only") });
  const text = btrkit(["verify", file("notes.txt", new TextEncoder().encode("no stream at all\n"))]);
  expect(text.status).toBe(4);
  expect(text.stdout.toString()).not.toContain("commands\n");
});

test("a slow reader of many faults gets every line whole and in order", async () => {
  const { stdout } = btrkit(["verify", manyFaults]);
  expect(stdout.byteLength).toBeGreaterThan(500_000);
  const child = spawn(process.execPath, [BIN, "verify", manyFaults], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect(Buffer.concat(await child.stdout.toArray()).equals(stdout)).toBe(true);
  expect(await exit).toEqual([4, null]);
});

test.each([
  ["after it has read", true],
  ["with all of it unread", false],
])("a reader of faults that goes away %s is no error", async (_when, reads) => {
  const child = spawn(process.execPath, [BIN, "verify", manyFaults], { stdio: ["ignore", "pipe", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (text) => (stderr += text));
  // Where bytes lie unread the host answers the next write otherwise.
  await (reads ? once(child.stdout, "data") : sleep(1500));
  child.stdout.destroy();
  expect(await once(child, "exit")).toEqual([141, null]);
  expect(stderr).toBe("");
});
