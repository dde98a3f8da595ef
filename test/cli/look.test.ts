import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync, copyFileSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { FILE_EXTENT_INLINE, type StoredExtent } from "../../src/format/file-extent.ts";
import { openFilesystem } from "../../src/index.ts";
import { encodedAnswers, imageSource, imageTree, unpackImage } from "../support.ts";
import { BIN, btrkit } from "./support.ts";

// `ls`, `cat`, `stat` and `du`, as a person runs them, on images of the real kernel.

const folder = mkdtempSync(join(tmpdir(), "btrkit-look-"));
afterAll(() => rmSync(folder, { recursive: true }));
const image = join(folder, "everything.img");
unpackImage("everything", image);
const compressed = join(folder, "compressed.img");
unpackImage("compressed", compressed);

const KINDS: Readonly<Record<string, string>> = { dir: "directory" };
const tree = imageTree("everything").filter(({ path }) => path !== "");

interface Row {
  readonly path: string;
  readonly path_b64?: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Text of a row as the tree has it: each character is one byte. */
function latin1Text(row: Row, field: string): string {
  const base64 = row[`${field}_b64`];
  const bytes = base64 === undefined ? Buffer.from(row[field] as string) : Buffer.from(base64 as string, "base64");
  return bytes.toString("latin1");
}

const time = ({ sec, nsec }: { sec: number; nsec: number }) => `${BigInt(sec) * 1_000_000_000n + BigInt(nsec)}`;

test("ls -R of all names, in JSON lines, is what the mounted filesystem had", () => {
  const { stdout, stderr, status } = btrkit(["ls", "-aRl", "--format", "jsonl", image]);
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
  const rows: Row[] = stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const found = new Map(rows.map((row) => [latin1Text(row, "path").slice(1), row]));
  expect(found.size).toBe(rows.length);
  expect([...found.keys()].sort()).toEqual(tree.map(({ path }) => path).sort());
  for (const entry of tree) {
    const row = found.get(entry.path)! as Row & { mtime: { sec: number; nsec: number } };
    const { mode, uid, gid, inode } = entry;
    expect(row).toMatchObject({ type: KINDS[entry.type] ?? entry.type, mode, uid, gid, inode });
    // In a snapshot, a kernel makes up the times of what stands in for a nested subvolume.
    if (inode !== 2) expect(time(row.mtime)).toBe(entry.mtime);
    if (entry.size !== undefined) expect(row.size).toBe(entry.size);
    if (entry.target !== undefined) expect(latin1Text(row, "target")).toBe(entry.target);
  }
});

test("ls sorts by bytes, shows what is hidden with -a only, and one name for a file", () => {
  const lines = btrkit(["ls", `${image}:/vol/data`])
    .stdout.toString()
    .trimEnd()
    .split("\n");
  const names = tree.filter(({ path }) => /^vol\/data\/[^/.][^/]*$/.test(path)).map(({ path }) => path.slice(9));
  expect(lines).toEqual(names.sort());
  expect(btrkit(["ls", `${image}:/vol/data/big`]).stdout.toString()).toBe(`${image}:/vol/data/big\n`);
  const document = JSON.parse(btrkit(["ls", "--format=json", `${image}:/`]).stdout.toString());
  expect(document).toMatchObject({ __header: { version: "1" }, ls: [{ path: "/first", subvolume: 257 }, {}, {}, {}] });
  expect(document.ls[1]).toMatchObject({ path: "/n\\xf6t utf-8", path_b64: "L272dCB1dGYtOA==", type: "directory" });
});

test("what is not there is said, the rest is listed, and the exit status is 1", () => {
  const { stdout, stderr, status } = btrkit(["ls", `${image}:/nothing`, `${image}:/vol`]);
  expect(stdout.toString()).toBe(`${image}:/vol:\ndata\nkinds\nmoves\n`);
  expect(stderr).toBe("btrkit: cannot find path: there is no such name (path nothing, inode 256, tree 5)\n");
  expect(status).toBe(1);
});

test("cat prints files one after the other, byte for byte", () => {
  const files = imageTree("compressed").filter(({ type, link }) => type === "file" && link === undefined);
  const { stdout, status } = btrkit(["cat", ...files.map(({ path }) => `${compressed}:/${path}`)]);
  expect(status).toBe(0);
  let at = 0;
  for (const { size, sha256 } of files) {
    expect(
      createHash("sha256")
        .update(stdout.subarray(at, at + size!))
        .digest("hex"),
    ).toBe(sha256);
    at += size!;
  }
  expect(stdout.byteLength).toBe(at);
});

test("cat ends at damage, says where it is, and goes on with the next file", async () => {
  const bad = join(folder, "bad.img");
  copyFileSync(image, bad);
  await using filesystem = await openFilesystem([imageSource("everything")]);
  const file = (await filesystem.lookup("vol/data/big")).openFile();
  const extents: StoredExtent[] = [];
  for await (const batch of file.extents()) {
    for (const extent of batch) if (extent.type !== FILE_EXTENT_INLINE) extents.push(extent);
  }
  const { diskBytenr, compression } = extents[0]!;
  expect(compression).toBe(0);
  const device = openSync(bad, "r+");
  for (const copy of filesystem.volume.copiesOf(diskBytenr + 8192, 4096)) {
    writeSync(device, "damage", copy.physical + 100);
  }
  closeSync(device);
  const { stdout, stderr, status } = btrkit(["cat", `${bad}:/vol/data/big`, `${bad}:/vol/data/inline-5`]);
  expect(status).toBe(4);
  expect(stderr).toContain("file offset 8192");
  const whole = btrkit(["cat", `${image}:/vol/data/big`]).stdout;
  const other = btrkit(["cat", `${image}:/vol/data/inline-5`]).stdout;
  expect(stdout.equals(Buffer.concat([whole.subarray(0, 8192), other]))).toBe(true);
  expect(btrkit(["cat", `${image}:/vol`])).toMatchObject({ status: 1, stderr: expect.stringContaining("directory") });
});

test("stat tells inode, times, flags, xattrs and extents", () => {
  const { path, inode, size, atime, ctime, mtime } = tree.find((entry) => entry.path === "vol/data/big")!;
  const found = JSON.parse(btrkit(["stat", "--format", "json", `${image}:${path}`]).stdout.toString()).stat[0];
  expect(found).toMatchObject({ path: `/${path}`, type: "file", inode, size, usage: { files: 1 }, flag_names: [] });
  expect([found.atime, found.ctime, found.mtime].map(time)).toEqual([atime, ctime, mtime]);
  expect(found.otime.sec).toBeGreaterThan(1_700_000_000);
  const text = btrkit(["stat", `${compressed}:/zstd/inline-1000`, `${image}:/vol`], { env: { TZ: "XXX-3:30" } });
  expect(text.stdout.toString()).toMatch(/^path +\/zstd\/inline-1000$/m);
  expect(text.stdout.toString()).toMatch(/^ {2}zstd .* 1000$/m);
  expect(text.stdout.toString()).toMatch(/^birth +2026-.*\.\d{9} \+0330$/m);
});

test("du prints rows and a total, in bytes and as JSON", () => {
  const text = btrkit(["du", "--raw", "--by", "subvolume", compressed]).stdout.toString();
  expect(text).toMatch(/^ +[\d.]+ % +\d+ +\d+ +\d+ {2}\/zstd$/m);
  expect(text).toMatch(/^44 files, 38 extents, 9 inline, 53 references$/m);
  expect(text).toMatch(/^total +11\.1 % +328774 +2937784 +3056568$/m);
  const { du } = JSON.parse(btrkit(["du", "--format", "json", `${compressed}:/lzo`]).stdout.toString());
  expect(du).toMatchObject([{ kind: "total", files: 14, by_type: { lzo: { stored: 70118 } } }]);
});

test("encoded read writes the extent whole and tells what the ioctl told", () => {
  const answer = encodedAnswers("compressed").find(
    ({ compression, offset, errno }) => compression === 2 && offset > 0 && errno === undefined,
  )!;
  const place = `${compressed}:/${answer.path}`;
  const target = join(folder, "extent");
  const args = ["encoded", "read", place, "--offset", `${answer.offset}`];
  const { stdout, status } = btrkit([...args, "--output", target]);
  expect(status).toBe(0);
  const { length, unencodedLength, unencodedOffset, byteLength } = answer;
  expect(JSON.parse(stdout.toString())["encoded-read"]).toEqual({
    offset: answer.offset,
    length,
    unencoded_length: unencodedLength,
    unencoded_offset: unencodedOffset,
    compression: 2,
    compression_name: "zstd",
    encryption: 0,
    encoded_length: byteLength,
  });
  const data = readFileSync(target);
  expect(createHash("sha256").update(data).digest("hex")).toBe(answer.sha256);
  const piped = btrkit(args);
  expect(piped.stdout.equals(data)).toBe(true);
  expect(JSON.parse(piped.stderr)).toMatchObject({ encoded_length: byteLength });
  const refused = btrkit([...args, "--length", `${byteLength! - 1}`, "-o", target]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain(`the extent has ${byteLength} bytes, the buffer ${byteLength! - 1}`);
  expect(readFileSync(target).equals(data)).toBe(true);
  expect(readdirSync(folder).filter((name) => name.startsWith("extent"))).toEqual(["extent"]);
});

test("encoded read takes any offset of 64 bits, and answers as the ioctl", () => {
  const { path } = encodedAnswers("compressed").find(({ errno }) => errno === undefined)!;
  const read = (offset: string) => btrkit(["encoded", "read", "--offset", offset, `${compressed}:/${path}`]);
  for (const offset of [`${2n ** 53n}`, "8388607T", `${2n ** 63n - 1n}`]) {
    const { stdout, stderr, status } = read(offset);
    expect(stdout.byteLength).toBe(0);
    expect(JSON.parse(stderr)).toMatchObject({ length: 0, unencoded_length: 0, encoded_length: 0 });
    expect(status).toBe(0);
  }
  for (const offset of [`${2n ** 63n}`, `${2n ** 64n - 1n}`]) {
    expect(read(offset)).toMatchObject({ status: 1, stderr: expect.stringContaining("expected 0 to 2^63 - 1") });
  }
  expect(read(`${2n ** 64n}`)).toMatchObject({ status: 2, stderr: expect.stringContaining("a number of bytes") });
  expect(read("16777216T").status).toBe(2);
});

// What is read at once, from the page cache, never waits: a signal has to be let in.
test.each([
  ["du", "SIGTERM"],
  ["ls -R", "SIGINT"],
  ["ls -Rl --format=jsonl", "SIGTERM"],
] as const)("%s ends by %s soon", async (words, signal) => {
  const places = new Array<string>(20_000).fill(image);
  const child = spawn(process.execPath, [BIN, ...words.split(" "), ...places], { stdio: "ignore" });
  try {
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(child.exitCode).toBe(null);
    const ended = once(child, "exit", { signal: AbortSignal.timeout(10_000) });
    const killed = performance.now();
    child.kill(signal);
    expect(await ended).toEqual([null, signal]);
    // Half a second is what it takes; a busy machine takes its time.
    expect(performance.now() - killed).toBeLessThan(4000);
  } finally {
    child.kill("SIGKILL");
  }
});

test("du prints no table of what it could not count at all", () => {
  for (const words of [["package.json"], ["--by", "file", "no-such-image"]]) {
    const { stdout, stderr, status } = btrkit(["du", ...words]);
    expect(stdout.toString()).toBe("");
    expect(stderr.toString()).toMatch(/^btrkit: cannot /);
    expect(status).toBe(1);
  }
  const { du } = JSON.parse(btrkit(["du", "--format", "json", "package.json"]).stdout.toString());
  expect(du).toEqual([]);
});
