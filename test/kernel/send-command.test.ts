import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { run, tryRun } from "./support/run.ts";

// The command on live paths in place of btrfs send, with either engine.

const BIN = resolve(import.meta.dirname, "../../dist/cli/bin.js");
const btrkit = (args: readonly string[], directory: string, env = {}) =>
  tryRun(process.execPath, [BIN, "send", ...args], { directory, env });

describeKernel("btrkit send of mounted snapshots", () => {
  test("writes what btrfs send writes, says what it says, and fails where it fails", async () => {
    await using filesystem = await TestFilesystem.make({ mount: "compress=zstd" });
    const { directory } = filesystem;
    await run(
      "bash",
      [
        "-ec",
        `btrfs -q subvolume create live; mkdir live/d; yes text | head -c 300000 > live/d/a; head -c 9000 /dev/urandom > live/b
         ln live/b live/d/c; btrfs -q subvolume snapshot -r live s1
         echo more >> live/b; mv live/d live/e; btrfs -q subvolume snapshot -r live s2
         rm live/b; btrfs -q subvolume snapshot -r live s3; sync`,
      ],
      { directory },
    );
    const calls = [
      ["s1"],
      ["-p", "s1", "s2"],
      ["-c", "s1", "s2"],
      ["-c", "s1", "s2", "s3"],
      ["-e", "-p", "s1", "s2", "s3"],
      ["--proto", "2", "-q", "s1"],
      ["--proto", "2", "--compressed-data", "s1", "s2"],
      ["--no-data", "-p", "s1", "s3"],
    ];
    for (const args of calls) {
      const kernel = await run("btrfs", ["send", ...args], { directory });
      for (const engine of ["kernel", "btrkit"]) {
        const ours = await btrkit(["--engine", engine, ...args], directory);
        expect([engine, args, ours.code, ours.stderr.toString()]).toEqual([engine, args, 0, kernel.stderr.toString()]);
        expect([engine, args, Buffer.compare(ours.stdout, kernel.stdout)]).toEqual([engine, args, 0]);
      }
    }
    const byEnvironment = await btrkit(["-q", "s1"], directory, { BTRKIT_SEND_ENGINE: "btrkit" });
    expect(byEnvironment.code).toBe(0);
    const stream = join(filesystem.work, "stream");
    expect((await btrkit(["-q", "-f", stream, "s1"], directory)).code).toBe(0);
    expect(Buffer.compare(readFileSync(stream), byEnvironment.stdout)).toBe(0);
    for (const args of [["live"], ["s1/d"], ["-p", "live", "s2"], ["-c", "live", "s2"], ["--force", "live"]]) {
      const ours = await btrkit(args, directory);
      expect([args, ours.code, ours.stdout.byteLength]).toEqual([args, 1, 0]);
      if (args[0] === "--force") continue;
      const kernel = await tryRun("btrfs", ["send", ...args], { directory });
      expect([args, kernel.code]).toEqual([args, 1]);
      if (args.includes("live")) {
        expect([args, ours.stderr.toString()]).toEqual([args, kernel.stderr.toString()]);
      }
    }
  });
});
