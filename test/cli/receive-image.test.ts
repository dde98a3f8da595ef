import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import * as edit from "../../src/edit/index.ts";
import { openFilesystem } from "../../src/fs/filesystem.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { FileSource } from "../../src/node/file-source.ts";
import { ImageTarget } from "../../src/receive/image-target.ts";
import { receive as receiveStream } from "../../src/receive/receive.ts";
import { openWritableVolume } from "../../src/transaction/writable.ts";
import { treeDifferences } from "../kernel/support/tree.ts";
import { commandOf, END, stream as streamOf, u64 } from "../support/raw-stream.ts";
import { treeOfImage } from "../support/tree-of-image.ts";
import { snapshotTree } from "../support.ts";
import { btrkit } from "./support.ts";

// Every run of the command takes as long as the machine is busy.
vi.setConfig({ testTimeout: 180_000 });

const STREAMS = resolve(import.meta.dirname, "../fixtures/streams");
const stream = (name: string): string => join(STREAMS, `${name}.stream`);
const work = mkdtempSync(join(tmpdir(), "btrkit-receive-image-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));
let count = 0;
const newPath = (): string => join(work, `${count++}.img`);
const receive = (place: string, ...args: string[]) => btrkit(["receive", ...args, place]);

/** A subvolume with one file of so many MiB, which no algorithm makes smaller. */
function bigStream(name: string, mib: number): Uint8Array {
  const path = [15, name] as const;
  const data = crypto.getRandomValues(new Uint8Array(65_536));
  const commands = [
    commandOf(2, 1, [path, [1, crypto.getRandomValues(new Uint8Array(16))], [2, u64(1)]]),
    commandOf(2, 3, [path, [3, u64(257)]]),
  ];
  for (let at = 0; at < mib << 20; at += data.byteLength) {
    commands.push(commandOf(2, 15, [path, [18, u64(at)], [19, data]]));
  }
  return streamOf(2, ...commands, END);
}

/** What of the snapshots in an image is not as it was sent; times that no stream carries aside. */
async function differences(image: string, snapshots: readonly string[]): Promise<string[]> {
  await using filesystem = await openFilesystem([await openFileDevice(image)]);
  const found: string[] = [];
  for (const snapshot of snapshots) {
    const inode = await filesystem.lookup(snapshot);
    expect(inode.subvolume.info).toMatchObject({ readOnly: true, receivedUuid: expect.any(Uint8Array) });
    const tree = await treeOfImage(inode);
    found.push(
      ...treeDifferences(tree, snapshotTree(snapshot.split("/").at(-1)!), ["inode", "atime", "ctime", "data"]),
    );
  }
  return found.filter((text) => !text.startsWith('"": mtime'));
}

test("--create makes an image that fits, of many streams, which increments go onto", async () => {
  const image = newPath();
  const first = receive(image, "--create", "-v", "--label", "backup", "-f", stream("full-compressed"));
  expect(first.status).toBe(0);
  expect(first.stderr).toMatch(/^At subvol first\nreceiving subvol first uuid=/);
  expect(first.stderr).toMatch(/\n6 extents stored as they came\n/);
  expect(statSync(image).size).toBeLessThan(120 << 20);
  expect(statSync(image).blocks * 512).toBeLessThan(4 << 20);
  const second = receive(`${image}:/`, "-f", stream("increment-compressed"));
  expect([second.status, second.stdout.toString(), second.stderr]).toEqual([0, "At snapshot second\n", ""]);
  const both = join(work, "both.stream");
  writeFileSync(both, Buffer.concat(["zlib", "zstd", "two-v1"].map((name) => readFileSync(stream(name)))));
  expect(receive(image, "--create", "--grow", "-q", "-f", both)).toMatchObject({ status: 0, stderr: "" });
  expect(await differences(image, ["first", "second", "zlib-1", "zstd-1", "small-1", "small-2"])).toEqual([]);
  expect(btrkit(["inspect", "super", image]).stdout.toString()).toMatch(/label\s+backup/);
  expect(btrkit(["scrub", image]).status).toBe(0);
});

test("what is larger than the image at its beginning fits too, and an existing one grows with --grow", async () => {
  const image = newPath();
  const big = join(work, "big.stream");
  // More than the image has room for at its beginning.
  writeFileSync(big, bigStream("big", 64));
  expect(receive(image, "--create", "-q", "-f", big)).toMatchObject({ status: 0, stderr: "" });
  const fitting = statSync(image).size;
  expect(fitting).toBeGreaterThan(136 << 20);
  expect(fitting).toBeLessThan(220 << 20);
  writeFileSync(big, bigStream("more", 64));
  const full = receive(image, "-q", "-f", big);
  expect([full.status, full.stderr]).toEqual([1, expect.stringMatching(/^ERROR: .*annot allocate \d+ bytes of data/)]);
  expect(statSync(image).size).toBe(fitting);
  expect(receive(image, "--cleanup").status).toBe(0);
  expect(receive(image, "--grow", "-q", "-f", big)).toMatchObject({ status: 0, stderr: "" });
  expect(statSync(image).size).toBeGreaterThan(fitting);
  expect(btrkit(["scrub", image]).status).toBe(0);
});

test("nothing is there under the name of an image that could not be made", () => {
  const image = newPath();
  const before = readdirSync(work);
  const cut = join(work, "cut.stream");
  writeFileSync(cut, readFileSync(stream("full-v1")).subarray(0, 4000));
  const tries: readonly (readonly [string[], string])[] = [
    [["-f", cut], "ERROR: unexpected EOF in stream"],
    [["-f", stream("increment-v1")], "ERROR: cannot find parent subvolume\n"],
    [
      ["-f", stream("full-v1"), "--size", "1M"],
      "ERROR: cannot make filesystem: 1048576 bytes are too few for its metadata, at least 3407872 are needed",
    ],
    [["-f", stream("full-v1"), "--nodesize", "5000"], "btrkit receive: Cannot make filesystem: node size is 5000"],
    [["-f", join(work, "none")], `ERROR: cannot open ${work}/none: No such file or directory\n`],
  ];
  for (const [args, words] of tries) {
    const ran = receive(image, "--create", "-q", ...args);
    expect([ran.status, ran.stderr.slice(0, words.length)]).toEqual([1, words]);
  }
  expect(receive(`${image}:/there`, "--create", "-q", "-f", stream("full-v1")).status).toBe(1);
  expect(readdirSync(work).sort()).toEqual([...before, "cut.stream"].sort());
});

test("what does not apply is refused by name", () => {
  const image = newPath();
  writeFileSync(image, "");
  const refusals: readonly (readonly [string, string[], string])[] = [
    [image, ["-m", "/", "--strict"], "btrkit receive: options '-m', '--strict' can't be given for an image\n"],
    [
      image,
      ["--fileattr", "--strict"],
      "btrkit receive: options '--fileattr', '--strict' can't be given for an image\n",
    ],
    [image, ["--create", "--size", "1G"], "btrkit receive: option '--size' can be given for a new image only\n"],
    [image, ["--compress", "zstd:16"], "btrkit receive: option '--compress' can't be 'zstd:16'"],
    [
      work,
      ["--grow", "--compress", "zstd"],
      "btrkit receive: options '--grow', '--compress' can be given for an image only",
    ],
    [image, [], "ERROR: cannot find btrfs: no superblock"],
  ];
  for (const [place, args, words] of refusals) {
    const ran = receive(place, ...args);
    expect([ran.status, ran.stderr.slice(0, words.length)]).toEqual([1, words]);
  }
});

test("a subvolume that is not complete is marked, and --cleanup deletes it and nothing else", async () => {
  const image = newPath();
  expect(receive(image, "--create", "-q", "-f", stream("small-v2")).status).toBe(0);
  const cut = join(work, "half.stream");
  writeFileSync(cut, readFileSync(stream("full-v1")).subarray(0, 200_000));
  {
    await using volume = await openWritableVolume([await openFileDevice(image, { writable: true })]);
    using source = await FileSource.open(cut);
    await expect(receiveStream(source, new ImageTarget(volume, { commitBytes: 1 << 16 }))).rejects.toThrow();
  }
  const cleaned = receive(`${image}:/`, "--cleanup");
  expect([cleaned.status, cleaned.stdout.toString()]).toEqual([
    0,
    expect.stringMatching(/^deleted .*\.img:\/first, an unfinished receive of [0-9a-f-]{36}\n$/),
  ]);
  expect(receive(image, "--cleanup").stdout.toString()).toBe("");
  expect(await differences(image, ["small-1"])).toEqual([]);
  // Its name, and the space, are there again.
  expect(receive(image, "-q", "-f", stream("full-v1")).status).toBe(0);
  expect(await differences(image, ["small-1", "first"])).toEqual([]);
});

test("a directory in the image gets the subvolumes, and a read-only one is left alone", async () => {
  const image = newPath();
  expect(receive(image, "--create", "-q", "-f", stream("small-v1")).status).toBe(0);
  {
    await using volume = await openWritableVolume([await openFileDevice(image, { writable: true })]);
    await volume.transaction(async (tx) => {
      const at = { tx, tree: 5n, now: 0n };
      const directory = await edit.makeDirectory(at, 256n, "backups");
      const inner = await edit.createSubvolume(at, directory, "home");
      await edit.makeDirectory({ ...at, tree: inner }, 256n, "received");
    });
  }
  expect(receive(`${image}:/backups/home/received`, "-q", "-f", stream("small-increment-v2")).status).toBe(0);
  expect(await differences(image, ["backups/home/received/small-2"])).toEqual([]);
  const refused = receive(`${image}:/small-1`, "-f", stream("zlib"));
  expect([refused.status, refused.stderr]).toEqual([
    1,
    `ERROR: cannot receive: the subvolume of the destination is read-only (${image}:/small-1)\n`,
  ]);
  expect(receive(`${image}:/nowhere`, "-f", stream("zlib")).stderr).toMatch(/^ERROR: cannot find/);
});

test("--compress makes extents smaller that came plain, --force-decompress those that did not", () => {
  const sizes = [
    ["-f", stream("full-v1")],
    ["-f", stream("full-v1"), "--compress", "zstd:3"],
  ].map((args) => {
    const image = newPath();
    expect(receive(image, "--create", "-q", ...args).status).toBe(0);
    const [line] = btrkit(["du", "--raw", image])
      .stdout.toString()
      .match(/^total.*$/im) ?? [""];
    return line;
  });
  expect(sizes[0]).not.toBe(sizes[1]);
  const image = newPath();
  const ran = receive(image, "--create", "-v", "--force-decompress", "-f", stream("full-compressed"));
  expect(ran.stderr).toMatch(/\n6 extents decoded: as asked\n/);
  expect(existsSync(image)).toBe(true);
});

test("an image that is shorter than its filesystem is not written to", () => {
  const image = newPath();
  expect(receive(image, "--create", "-q", "-f", stream("small-v1")).status).toBe(0);
  truncateSync(image, statSync(image).size - 4096);
  const ran = receive(image, "-q", "-f", stream("zlib"));
  expect([ran.status, ran.stderr]).toEqual([1, expect.stringMatching(/ERROR: cannot write filesystem: a device has/)]);
});

test("a name that is taken gets the peer's sentence, and what is not there the hint to make it", () => {
  const image = newPath();
  const missing = receive(`${image}:/`, "-f", stream("full-v1"));
  expect(missing.stderr).toBe(
    `ERROR: realpath(${image}:/) failed: No such file or directory; --create makes an image of this name\n`,
  );
  expect(missing.status).toBe(1);
  expect(receive(image, "--create", "-q", "-f", stream("full-v1")).status).toBe(0);
  const again = receive(image, "-f", stream("full-v1"));
  expect(again.stderr).toBe("At subvol first\nERROR: creating subvolume first failed: File exists\n");
  expect(again.status).toBe(1);
});
