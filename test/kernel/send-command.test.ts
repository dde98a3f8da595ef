import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { run, tryRun } from "./support/run.ts";

// The command on live paths in place of btrfs send, with either engine.

const BIN = resolve(import.meta.dirname, "../../dist/cli/bin.js");
const btrkit = (args: readonly string[], directory: string, env = {}) =>
  tryRun(process.execPath, [BIN, "send", ...args], { directory, env });

/**
 * `btrfs send` may add these, and end with 9 (EBADF): where the ioctl fails, it closes the pipe beneath the thread that
 * reads it, which mostly, not always, ends before it sees that.
 */
const pumpWords = /^ERROR: failed to read stream from kernel: Bad file descriptor\n?/m;

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
    const refused = [["live"], ["s1/d"], ["s1/b"], ["-p", "live", "s2"], ["-p", "s1/b", "s2"], ["-c", "live", "s2"]];
    const missing = [["nothing"], ["s1", "nothing"], ["-p", "nothing", "s1"], ["-c", "nothing", "s1"]];
    const elsewhere = [[filesystem.work], ["-c", filesystem.work, "s1"]];
    const highest = Number(readFileSync("/sys/fs/btrfs/features/send_stream_version", "utf8"));
    const tooHigh = highest < 3 ? [["--proto", "3", "s1"]] : [];
    for (const args of [...refused, ...missing, ...elsewhere, ...tooHigh, ["--force", "live"]]) {
      const ours = await btrkit(args, directory);
      expect([args, ours.code, ours.stdout.byteLength]).toEqual([args, 1, 0]);
      if (args[0] === "--force") continue;
      const kernel = await tryRun("btrfs", ["send", ...args], { directory });
      const words = kernel.stderr.toString().replace(pumpWords, "");
      expect([args, kernel.code]).toEqual([args, words === kernel.stderr.toString() ? 1 : 9]);
      expect([args, ours.stderr.toString().trim()]).toEqual([args, words.trim()]);
    }
  });

  test("names all links of what it leaves out, and the file that it ends with; progress comes to the whole", async () => {
    await using filesystem = await TestFilesystem.make({ mkfs: ["-d", "single"] });
    const { directory, work } = filesystem;
    const script = `btrfs -q subvolume create live; (echo MARK; head -c 90000 /dev/urandom) > live/f; mkdir live/d
      ln live/f live/d/g; head -c 90000 /dev/urandom > live/good; btrfs -q subvolume snapshot -r live s1; sync`;
    await run("bash", ["-ec", script], { directory });
    await filesystem.unmount();
    const image = filesystem.images[0]!;
    const bytes = readFileSync(image);
    const at = bytes.indexOf("MARK\n");
    expect(at).toBeGreaterThan(0);
    bytes[at + 50_000]! ^= 1;
    writeFileSync(image, bytes);
    const stream = join(work, "stream");
    const failed = await btrkit(["-q", "-f", stream, `${image}:/s1`], work);
    expect(failed.code).toBe(1);
    expect(failed.stderr.toString()).toMatch(/ERROR: cannot trust data: .*path f, inode 257/);
    const sent = await btrkit(["--skip-damaged", "--progress=json", "-f", stream, `${image}:/s1`], work);
    expect(sent.code).toBe(4);
    const lines = sent.stderr.toString().trim().split("\n");
    expect(lines.flatMap((line) => /^left out ([^:]+):/.exec(line)?.[1] ?? [])).toEqual(["f", "d/g"]);
    const last = JSON.parse(lines.filter((line) => line.startsWith("{")).at(-1)!);
    expect(last).toMatchObject({ done: true, bytes: statSync(stream).size, total_bytes: statSync(stream).size });
    const estimated = await btrkit(["--skip-damaged", "--dry-run", `${image}:/s1`], work);
    expect([estimated.code, estimated.stderr.toString().match(/left out/g)?.length]).toEqual([4, 2]);
  });

  test("leaves out what the page cache has and the device has no more, where it is sent as it is stored", async () => {
    await using filesystem = await TestFilesystem.make({ mkfs: ["-d", "single"], mount: "compress-force=zstd" });
    const { directory } = filesystem;
    const script = `btrfs -q subvolume create live; yes damaged | head -c 300000 > live/f; sync
      head -c 90000 /dev/urandom > live/good; btrfs -q subvolume snapshot -r live s1; sync`;
    await run("bash", ["-ec", script], { directory });
    await filesystem.unmount();
    const [image] = filesystem.images;
    const bytes = readFileSync(image!);
    const at = bytes.indexOf(Buffer.of(0x28, 0xb5, 0x2f, 0xfd));
    expect(at).toBeGreaterThan(0);
    await filesystem.mount();
    const whole = readFileSync(filesystem.path("s1/f"));
    const fd = openSync(image!, "r+");
    writeSync(fd, Buffer.of(~bytes[at + 20]!), 0, 1, at + 20);
    closeSync(fd);
    expect(readFileSync(filesystem.path("s1/f")).equals(whole)).toBe(true);
    const stream = join(filesystem.work, "stream");
    const args = ["-q", "--engine", "btrkit", "--compressed-data", "-f", stream];
    const failed = await btrkit([...args, "s1"], directory);
    expect([failed.code, failed.stderr.toString()]).toEqual([1, expect.stringMatching(/answers EIO.*s1\/f/)]);
    const sent = await btrkit([...args, "--skip-damaged", "s1"], directory);
    expect([sent.code, sent.stderr.toString()]).toEqual([4, expect.stringMatching(/^left out f: [^\n]*\n$/)]);
    const dumped = (await run("btrfs", ["receive", "--dump", "-f", stream])).stdout.toString();
    expect([/\/f /.test(dumped), /\/good /.test(dumped)]).toEqual([false, true]);
  });
});
