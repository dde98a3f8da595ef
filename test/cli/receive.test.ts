import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { expect, test } from "vitest";
import { commandOf, END, stream } from "../support/raw-stream.ts";
import { BIN, btrkit } from "./support.ts";

const STREAMS = resolve(import.meta.dirname, "../fixtures/streams");
const file = join(STREAMS, "full-v2.stream");
const golden = readFileSync(join(STREAMS, "full-v2.dump"));
const UTC = { env: { TZ: "UTC" } };

test("receive --dump prints the dump of a file, of standard input, and with options in any order", () => {
  for (const args of [
    ["--dump", "-f", file],
    ["-vvf", file, "--dump"],
    ["--du", `-f${file}`, "-E", "0", "-q"],
  ]) {
    expect(btrkit(["receive", ...args], UTC)).toMatchObject({ stdout: golden, stderr: "", status: 0 });
  }
  const input = readFileSync(file);
  for (const args of [["--dump"], ["--dump", "-f", "-"]]) {
    expect(btrkit(["receive", ...args], { ...UTC, input })).toMatchObject({ stdout: golden, status: 0 });
  }
});

test("a damaged stream is exit status 1, in the words of btrfs-progs", () => {
  const input = readFileSync(file).subarray(0, -3);
  const { stdout, stderr, status } = btrkit(["receive", "--dump"], { ...UTC, input });
  expect(stdout.equals(golden)).toBe(true);
  expect(stderr).toBe(
    "ERROR: short read from stream: expected 10 read 7\nERROR: failed to dump the send stream: Input/output error\n",
  );
  expect(status).toBe(1);
});

test.each([
  [["--dump", "-f", "/does/not/exist"], "ERROR: cannot open /does/not/exist: no such file or directory\n"],
  [["--dump", "-f", "/"], "ERROR: cannot read /: it is a directory, expected a file or a pipe\n"],
  [["--dump", "-E", "x"], "ERROR: x is not a valid numeric value\n"],
  [["--dump", "-E", "-1"], "ERROR: -1: negative value is invalid\n"],
  [["/does/not/exist"], "ERROR: realpath(/does/not/exist) failed: No such file or directory\n"],
])("%j says what is wrong, and is exit status 1", (args, stderr) => {
  expect(btrkit(["receive", ...args])).toMatchObject({ stderr, status: 1 });
});

test("receive without a destination, or with two, is told so", () => {
  const { stderr, status } = btrkit(["receive"]);
  expect(stderr).toContain("exactly 1 argument expected, 0 given");
  expect(status).toBe(1);
  expect(btrkit(["receive", "/a", "/b"]).stderr).toContain("exactly 1 argument expected, 2 given");
  const dumped = btrkit(["receive", "--dump", "some.stream"]);
  expect(dumped).toMatchObject({ status: 1, stderr: expect.stringContaining("-f names the stream") });
});

test("--format jsonl prints one object for each command", () => {
  const { stdout, status } = btrkit(["receive", "--dump", "--format", "jsonl", "--data", "-f", file]);
  const lines = stdout.toString().trimEnd().split("\n");
  const objects = lines.map((line) => JSON.parse(line) as { index: number; command: string });
  expect(status).toBe(0);
  expect(objects.map(({ index }) => index)).toEqual(objects.map((_, index) => index));
  // Each command but END is in the text, too, one line each but for line breaks in values.
  const inText = golden.toString("latin1").match(/^[a-z_]+ +\.\//gm);
  expect(objects.map(({ command }) => command)).toEqual([...inText!.map((head) => head.split(" ")[0]), "end"]);
});

test("--format jsonl names the place of a fault", () => {
  const input = stream(1, commandOf(1, 11, [[15, "a"]]), commandOf(1, 17, [[15, "b"]]), END);
  const { stdout, stderr, status } = btrkit(["receive", "--dump", "--format=jsonl"], { input });
  expect(stdout.toString()).toContain('"command":"unlink"');
  expect(stderr).toMatch(/^ERROR: cannot read command: .*stream offset 32, command 1, TRUNCATE/);
  expect(status).toBe(1);
});

test("a reader that goes away is no error", async () => {
  const big = stream(1, ...Array.from({ length: 20_000 }, (_, i) => commandOf(1, 11, [[15, `file-${i}`]])), END);
  const child = spawn(process.execPath, [BIN, "receive", "--dump"], { stdio: ["pipe", "pipe", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (text) => (stderr += text));
  child.stdin.on("error", () => {});
  child.stdin.end(big);
  await once(child.stdout, "data");
  child.stdout.destroy();
  const [status] = await once(child, "exit");
  expect(status).toBe(141);
  expect(stderr).toBe("");
});

test("a signal ends it by that signal, though the input never comes", async () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const child = spawn(process.execPath, [BIN, "receive", "--dump"], { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.write(stream(1, commandOf(1, 11, [[15, "a"]])));
    await new Promise((resolve) => setTimeout(resolve, 600));
    child.kill(signal);
    expect(await once(child, "exit")).toEqual([null, signal]);
  }
});

// Nobody reads what it prints, so it can't be done before the signal comes, and waits to write.
test.each([
  ["SIGINT", ["receive", "--dump", "-f", "FILE"]],
  ["SIGTERM", ["receive", "--dump", "-f", "FILE"]],
  ["SIGINT", ["receive", "--dump", "--format", "jsonl", "-f", "FILE"]],
  ["SIGINT", ["receive", "--dump"]],
  ["SIGINT", ["verify", "--threads", "2", "FILE"]],
  ["SIGTERM", ["verify", "-"]],
] as const)("%s ends it at once though nobody reads its output: %j", async (signal, words) => {
  const directory = mkdtempSync(join(tmpdir(), "btrkit-receive-"));
  const path = join(directory, "stream");
  // A line for each command, to verify a fault: far more than a pipe holds. The hole makes it worth a thread.
  writeFileSync(
    path,
    stream(1, ...Array.from({ length: 50_000 }, (_, i) => commandOf(1, 11, [[15, `../file-${i}`]])), END),
  );
  if (words.includes("FILE" as never)) truncateSync(path, (words[0] === "verify" ? 40 : 400) * 1024 * 1024);
  const input = words.includes("FILE" as never) ? undefined : createReadStream(path);
  const args = words.map((word) => (word === "FILE" ? path : word));
  const child = spawn(process.execPath, [BIN, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  try {
    child.stdin.on("error", () => {});
    input?.pipe(child.stdin);
    await once(child.stdout, "readable");
    await new Promise((resolve) => setTimeout(resolve, 200));
    const ended = once(child, "exit", { signal: AbortSignal.timeout(10_000) });
    child.kill(signal);
    expect(await ended).toEqual([null, signal]);
  } finally {
    child.kill("SIGKILL");
    child.stdout.destroy();
    input?.destroy();
    rmSync(directory, { recursive: true });
  }
});

// Such a file is read by a second thread too. It is sparse, so this takes no room.
test("a large file that is no stream any more after a while ends at once", () => {
  const path = join(mkdtempSync(join(tmpdir(), "btrkit-receive-")), "stream");
  try {
    writeFileSync(path, Buffer.concat([readFileSync(file).subarray(0, -10), Buffer.alloc(10, 1)]));
    truncateSync(path, 400 * 1024 * 1024);
    const { stdout, stderr, status } = btrkit(["receive", "--dump", "-f", path], UTC);
    // All but the last command, which was END.
    expect(stdout).toEqual(golden);
    expect(stderr).toContain("ERROR: crc32 mismatch in command");
    expect(status).toBe(1);
  } finally {
    rmSync(dirname(path), { recursive: true });
  }
});
