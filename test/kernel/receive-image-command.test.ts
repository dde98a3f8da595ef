import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, type Profile } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { peerReceive, peerSend, type SendOptions } from "./support/peer.ts";
import { storedTree } from "./support/receive.ts";
import { type Ran, run, tryRun } from "./support/run.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";
import { checkClean, WrittenImage } from "./support/written.ts";

// `btrkit receive` into images, from making one to going on after a kernel did, held against `btrfs receive`.

const BIN = resolve(import.meta.dirname, "../../dist/cli/bin.js");
const STREAMS = resolve(import.meta.dirname, "../fixtures/streams");
const fixture = (name: string): string => join(STREAMS, `${name}.stream`);

async function receive(...args: string[]): Promise<Ran> {
  return await tryRun(process.execPath, [BIN, "receive", "-q", ...args]);
}

async function mustReceive(...args: string[]): Promise<void> {
  const { code, stderr } = await receive(...args);
  expect([code, stderr.toString()]).toEqual([0, ""]);
}

/** An image that is not there yet. */
class NewImage extends WrittenImage {
  constructor() {
    super(0);
    unlinkSync(this.path);
  }
}

const CHAINS: readonly (readonly [readonly string[], readonly string[]])[] = [
  [
    ["full-v1", "increment-v1", "empty-increment-v1"],
    ["first", "second", "third"],
  ],
  [
    ["full-compressed", "increment-compressed"],
    ["first", "second"],
  ],
  [
    ["zlib", "lzo", "zstd", "names-v1", "small-v2", "small-increment-v2"],
    ["zlib-1", "lzo-1", "zstd-1", "names-1", "small-1", "small-2"],
  ],
  [["two-without-end-v2"], ["small-1", "small-2"]],
];

describeKernel("btrkit receive into images", () => {
  test.each(CHAINS)("makes of the streams %j what btrfs receive makes of them", async (streams, snapshots) => {
    await using image = new NewImage();
    await using other = await TestFilesystem.make();
    for (const name of streams) {
      await mustReceive("--create", "--grow", "-f", fixture(name), image.path);
      await peerReceive(fixture(name), other.directory);
    }
    await image.check();
    await image.mounted(async (directory) => {
      for (const snapshot of snapshots) {
        const [ours, theirs] = [join(directory, snapshot), join(other.directory, snapshot)];
        const received = await treeOf(ours, { holes: true });
        expect(treeDifferences(received.slice(1), (await treeOf(theirs, { holes: true })).slice(1))).toEqual([]);
        if (!streams.some((name) => name.includes("v1")))
          expect(await storedTree(ours)).toEqual(await storedTree(theirs));
      }
    });
    await image.check();
  });

  const cases: readonly (readonly [Profile, number, string, SendOptions])[] = [
    ["everything", 11, "compress=zstd", { compressed: true }],
    ["reflinks", 12, "compress-force=zlib", { protocol: 1 }],
  ];
  test.each(cases)(
    "goes on where the kernel does, and the reverse: %s, seed %i",
    async (profile, seed, mount, form) => {
      await using source = await TestFilesystem.make({ mount });
      const history = makeHistory({ seed, profile, snapshots: 5, steps: 40, maxFileBytes: 400 << 10 });
      await applyHistory(source.directory, history, { lenient: true });
      const at = (index: number): string => join(source.directory, `s${index}`);
      const streams: string[] = [];
      for (const index of [1, 2, 3, 4, 5]) {
        const stream = join(source.work, `s${index}.stream`);
        await peerSend([at(index)], stream, { ...form, ...(index === 1 ? {} : { parent: at(index - 1) }) });
        streams.push(stream);
      }
      await using image = new NewImage();
      for (const stream of streams.slice(0, 3)) await mustReceive("--create", "--grow", "-f", stream, image.path);
      await image.check();
      const onward = join(source.work, "onward.stream");
      await image.mounted(async (directory) => {
        // Cut to fit, it has room for the kernel.
        await peerReceive(streams[3]!, directory);
        await peerSend([join(directory, "s3")], onward, { parent: join(directory, "s2"), compressed: true });
      });
      await mustReceive("--grow", "-f", streams[4]!, image.path);
      await image.check();
      await using copy = new NewImage();
      for (const stream of [...streams.slice(0, 2), onward]) {
        await mustReceive("--create", "--grow", "--compress", "zstd:1", "-f", stream, copy.path);
      }
      await copy.check();
      await image.mounted(async (directory) => {
        for (const index of [1, 2, 3, 4, 5]) {
          const tree = await treeOf(join(directory, `s${index}`));
          // The kernel gives the root the time of its receive.
          const differences = treeDifferences(tree, await treeOf(at(index)), ["data"]);
          expect(differences.filter((text) => index !== 4 || !text.startsWith('"": mtime'))).toEqual([]);
        }
      });
      await copy.mounted(async (directory) => {
        for (const index of [1, 2, 3]) {
          expect(
            treeDifferences(await treeOf(join(directory, `s${index}`)), await treeOf(at(index)), ["data"]),
          ).toEqual([]);
        }
      });
    },
  );

  test("killed in the middle, an image is as it was, or is not there, and nobody has it locked", async () => {
    await using image = new NewImage();
    await mustReceive("--create", "-f", fixture("small-v1"), image.path);
    const before = readFileSync(image.path);
    const bytes = readFileSync(fixture("full-v1"));
    for (const [place, args] of [
      [image.path, []],
      [`${image.path}.new`, ["--create"]],
    ] as const) {
      const child = spawn(process.execPath, [BIN, "receive", "-v", ...args, place], {
        stdio: ["pipe", "ignore", "pipe"],
      });
      const began = once(child.stderr!, "data");
      child.stdin!.write(bytes.subarray(0, 200_000));
      await began;
      await sleep(500);
      child.kill("SIGKILL");
      await once(child, "close");
      expect(existsSync(`${image.path}.new`)).toBe(false);
    }
    // What had been written lies in free space.
    await image.check();
    const cleaned = await receive("--cleanup", image.path);
    expect([cleaned.code, cleaned.stderr.toString(), cleaned.stdout.toString()]).toEqual([0, "", ""]);
    expect(
      readFileSync(image.path)
        .subarray(0, 1 << 20)
        .equals(before.subarray(0, 1 << 20)),
    ).toBe(true);
    await mustReceive("-f", fixture("full-v1"), image.path);
    await image.check();
    const left = readdirSync(dirname(image.path)).filter((name) => name.includes(".partial-"));
    expect(left).toHaveLength(1);
  });

  test("an image that is too small says so, stays clean, and takes what fits", async () => {
    await using source = await TestFilesystem.make();
    const large = join(source.directory, "large");
    await run("btrfs", ["-q", "subvolume", "create", large]);
    writeFileSync(join(large, "noise"), randomBytes(6 << 20));
    await run("btrfs", ["-q", "subvolume", "snapshot", "-r", large, join(source.directory, "s1")]);
    const stream = join(source.work, "s1.stream");
    await peerSend([join(source.directory, "s1")], stream, { protocol: 1 });
    await using image = new NewImage();
    await mustReceive("--create", "--size", "4M", "--nodesize", "4096", "-f", fixture("small-v1"), image.path);
    expect(statSync(image.path).size).toBe(4 << 20);
    const full = await receive("-f", stream, image.path);
    expect([full.code, full.stderr.toString()]).toEqual([
      1,
      expect.stringMatching(/^ERROR: .*annot allocate \d+ bytes/),
    ]);
    await checkClean(image.path);
    await mustReceive("-f", fixture("small-increment-v2"), image.path);
    await checkClean(image.path);
    await mustReceive("--grow", "-f", stream, image.path);
    await image.check();
    await image.mounted(async (directory) => {
      const received = await treeOf(join(directory, "s1"));
      expect(treeDifferences(received, await treeOf(join(source.directory, "s1")), ["data"])).toEqual([]);
    });
  });

  test("a mounted image, and a device that is mounted, are refused by name", async () => {
    await using image = new NewImage();
    await mustReceive("--create", "-f", fixture("small-v1"), image.path);
    await image.mounted(async () => {
      const refused = await receive("-f", fixture("zlib"), image.path);
      expect([refused.code, refused.stderr.toString()]).toEqual([
        1,
        expect.stringMatching(/^ERROR: cannot open for writing: it is behind \/dev\/loop\d+, and .* is mounted on/),
      ]);
    });
  });
});
