import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { findXattr, loadNative } from "../../src/linux/index.ts";
import { encodedWrite, mkfile, subvol, write } from "../support/raw-commands.ts";
import { END, stream } from "../support/raw-stream.ts";
import { makeSparse, TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { fillBytes } from "./support/operations.ts";
import { run, tryRun } from "./support/run.ts";

// Writes that a limit or the disk refuses: none is lost, whenever the refusal comes.

const BIN = resolve(import.meta.dirname, "../../dist/cli/bin.js");
const EXTENT = 128 << 10;
const FILES = 40;

/** Plain data, and data that is stored compressed, in 40 files of 512 KiB. */
const forms = {
  plain: (name: string, seed: number) =>
    Array.from({ length: 4 }, (_, n) => write(name, fillBytes({ kind: "noise", seed: seed + n }, EXTENT), n * EXTENT)),
  encoded: (name: string, seed: number) =>
    Array.from({ length: 4 }, (_, n) =>
      encodedWrite(name, compressed(seed + n), { length: EXTENT, offset: n * EXTENT }),
    ),
};
type Form = keyof typeof forms;

/** Half as long as what it decodes to. */
function compressed(seed: number): Uint8Array {
  const content = Buffer.from(fillBytes({ kind: "noise", seed }, EXTENT / 2)).toString("hex");
  return deflateSync(Buffer.from(content));
}

function streamOf(form: Form): Uint8Array {
  const files = Array.from({ length: FILES }, (_, n) => [mkfile(`f${n}`), ...forms[form](`f${n}`, n * 4)]);
  return stream(2, subvol("s"), ...files.flat(), END);
}

const receive = (input: Uint8Array, ...args: string[]) =>
  tryRun(process.execPath, [BIN, "receive", ...args], { input, env: { NODE_EXTRA_CA_CERTS: "" } });

async function expectUnfinished(filesystem: TestFilesystem): Promise<void> {
  const place = join(filesystem.directory, "s");
  expect(findXattr(loadNative(), -100, place, "user.btrkit.receiving")).toBeDefined();
  expect((await run("btrfs", ["subvolume", "show", place])).stdout.toString()).toMatch(/Received UUID:\s+-\n/);
  await run(process.execPath, [BIN, "receive", "--cleanup", filesystem.directory]);
  expect(existsSync(place)).toBe(false);
}

describeKernel("writes that are refused", () => {
  test.each<[Form, string]>([
    ["plain", "1"],
    ["plain", "2"],
    ["encoded", "2"],
  ])("%s data over a quota, on %s threads", async (form, threads) => {
    await using filesystem = await TestFilesystem.make();
    await run("btrfs", ["quota", "enable", filesystem.directory]);
    const whole = streamOf(form);
    const begun = stream(2, subvol("s"));
    const { code, stderr } = await withLimit(filesystem, whole, begun.byteLength, threads);
    expect(stderr).toMatch(/ERROR: .*(writing to f\d+|mkfile .*) failed: Disk quota exceeded/);
    expect(code).toBe(1);
    await expectUnfinished(filesystem);
  });

  test.each<Form>(["plain", "encoded"])("%s data over the size that a file may have", async (form) => {
    await using filesystem = await TestFilesystem.make();
    const shell = `ulimit -f 256; exec "$0" "$@"`;
    const ran = await tryRun("bash", ["-c", shell, process.execPath, BIN, "receive", filesystem.directory], {
      input: streamOf(form),
    });
    expect(ran.stderr.toString()).toMatch(/ERROR: (encoded_write: )?writing to f0 failed: File too large/);
    expect(ran.code).toBe(1);
    await expectUnfinished(filesystem);
  });

  test.each<Form>(["plain", "encoded"])("%s data that a device loses after the write, with --syncfs", async (form) => {
    await using host = await TestFilesystem.make({ sizeMiB: 512 });
    await run("btrfs", ["quota", "enable", host.directory]);
    const limited = join(host.directory, "limited");
    await run("btrfs", ["-q", "subvolume", "create", limited]);
    // Metadata is on the first device; what is new goes to the second one, which can't keep it: to those above, an I/O error.
    await using filesystem = await TestFilesystem.make({ mkfs: ["-m", "single"] });
    makeSparse(join(limited, "image"), 2 ** 31);
    const loop = (await run("losetup", ["--find", "--show", join(limited, "image")])).stdout.toString().trim();
    try {
      await run("btrfs", ["device", "add", "-f", "-K", loop, filesystem.directory]);
      await filesystem.sync();
      await run("btrfs", ["quota", "rescan", "-w", host.directory]);
      await run("btrfs", ["qgroup", "limit", "4M", limited]);
      const ran = await receive(streamOf(form), "--syncfs", filesystem.directory);
      expect(ran.stderr.toString()).toMatch(
        /ERROR: Cannot (complete: \d+ writes|flush filesystem: syncfs answers EIO)/,
      );
      expect(ran.stderr.toString()).toContain("s is unfinished");
      expect(ran.code).toBe(1);
      await expectUnfinished(filesystem);
    } finally {
      await tryRun("umount", [filesystem.directory]);
      await tryRun("losetup", ["-d", loop]);
    }
  });
});

/** Limits the subvolume as soon as it is there: only then are the commands for it sent. */
async function withLimit(filesystem: TestFilesystem, whole: Uint8Array, head: number, threads: string) {
  const child = spawn(process.execPath, [BIN, "receive", "--threads", threads, filesystem.directory], {
    stdio: ["pipe", "ignore", "pipe"],
  });
  const ended = once(child, "exit");
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.on("error", () => {});
  child.stdin.write(whole.subarray(0, head));
  for (let wait = 0; wait < 600 && !existsSync(join(filesystem.directory, "s")); wait++) await setTimeout(50);
  await run("btrfs", ["qgroup", "limit", "8M", join(filesystem.directory, "s")]);
  child.stdin.end(whole.subarray(head));
  const [code] = await ended;
  return { code, stderr };
}
