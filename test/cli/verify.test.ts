import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { streamBytes } from "../support.ts";
import { btrkit } from "./support.ts";

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
  expect(verify.faults).toHaveLength(1);
  expect(verify.faults[0]).toMatchObject({ stream: damaged, code: "checksum", command: "WRITE" });
  expect(verify.faults[0].lost[0]).toMatchObject({ path: expect.any(String), from: expect.stringMatching(/^\d+$/) });
});

test("verify reads standard input, and -q only exits", () => {
  expect(btrkit(["verify", "-q", "-"], { input: streamBytes("small-v1") })).toMatchObject({ status: 0, stderr: "" });
  expect(btrkit(["verify", "-q", "-"], { input: streamBytes("small-v1").subarray(0, 4000) })).toMatchObject({
    status: 4,
    stderr: "",
  });
});

test("verify says what is wrong with a name or an option before it reads anything", () => {
  expect(btrkit(["verify", sound, join(directory, "none")])).toMatchObject({ status: 1 });
  expect(btrkit(["verify", directory]).stderr.toString()).toContain("is a directory");
  expect(btrkit(["verify", "--threads", "0", sound])).toMatchObject({ status: 2 });
  expect(btrkit(["verify"])).toMatchObject({ status: 2 });
});
