import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { btrkit } from "./support.ts";

let folder: string;
let image: string;
let source: string;

beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "btrkit-files-"));
  image = join(folder, "disk.img");
  fs.writeFileSync(image, "");
  fs.truncateSync(image, 256 << 20);
  expect(btrkit(["mkfs", "--quiet", image]).status).toBe(0);
  source = join(folder, "source");
  fs.mkdirSync(join(source, "deep/er"), { recursive: true });
  fs.writeFileSync(join(source, "small"), "small\n");
  fs.writeFileSync(join(source, "text"), "the same line again and again\n".repeat(20_000));
  fs.writeFileSync(join(source, "deep/er/empty"), "");
  fs.linkSync(join(source, "text"), join(source, "deep/link"));
  fs.symlinkSync("../text", join(source, "deep/symlink"));
  const sparse = fs.openSync(join(source, "sparse"), "w");
  fs.writeSync(sparse, Buffer.from("middle"), 0, 6, 10_000_000);
  fs.ftruncateSync(sparse, 20_000_000);
  fs.closeSync(sparse);
  fs.chmodSync(join(source, "small"), 0o750);
  fs.utimesSync(join(source, "small"), 1_000_000_000.5, 1_100_000_000.25);
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

function done(...args: string[]): string {
  const { stdout, stderr, status } = btrkit(args);
  expect([stderr, status]).toEqual(["", 0]);
  return stdout.toString();
}

function refused(status: number, ...args: string[]): string {
  const ran = btrkit(args);
  expect([ran.status, ran.stderr]).toEqual([status, expect.any(String)]);
  return ran.stderr;
}

const cat = (path: string) => btrkit(["cat", `${image}:${path}`]).stdout.toString();
const names = (path: string) => done("ls", `${image}:${path}`).trim().split("\n");
const stat = (path: string) => JSON.parse(done("stat", "--format", "json", `${image}:${path}`)).stat[0];

/** Copied out again, it is what was copied in. */
function expectSame(path: string): void {
  const back = fs.mkdtempSync(join(folder, "back-"));
  done("restore", "-q", `${image}:${path}/`, back);
  const walk = (at: string): string[] =>
    fs.readdirSync(join(source, at), { withFileTypes: true }).flatMap((entry) => {
      const name = join(at, entry.name);
      const [own, other] = [fs.lstatSync(join(source, name)), fs.lstatSync(join(back, name))];
      expect([name, other.mode, other.size, entry.isDirectory() ? 1 : other.nlink]).toEqual([
        name,
        own.mode,
        own.size,
        entry.isDirectory() ? 1 : own.nlink,
      ]);
      if (entry.isDirectory()) return [name, ...walk(name)];
      if (entry.isSymbolicLink()) expect(fs.readlinkSync(join(back, name))).toBe(fs.readlinkSync(join(source, name)));
      else expect(fs.readFileSync(join(back, name)).equals(fs.readFileSync(join(source, name)))).toBe(true);
      return [name];
    });
  expect(walk("").length).toBe(8);
}

test("a tree that is copied in comes out the same, compressed or not", () => {
  expect(done("cp", "-a", source, `${image}:/plain`)).toMatch(/^copied 4 files \(19\.6 MiB\), 3 directories\n$/);
  expectSame("/plain");
  const before = fs.lstatSync(join(source, "small"));
  expect(stat("/plain/small")).toMatchObject({ uid: before.uid, gid: before.gid });
  done("cp", "-a", "-q", "--compress", "zstd:3", "--owner", "1000:100", source, `${image}:/packed`);
  expectSame("/packed");
  expect(stat("/packed/deep")).toMatchObject({ uid: 1000, gid: 100 });
  expect(done("du", `${image}:/packed`)).toContain("zstd");
  done("cp", "-aq", `${source}/.`, `${image}:/plain`);
  expectSame("/plain");
}, 120_000);

test("copies within an image share what is stored, across subvolumes too", () => {
  done("subvolume", "create", `${image}:/sub`);
  done("cp", "-aq", `${image}:/packed`, `${image}:/sub`);
  expectSame("/sub/packed");
  const usage = (path: string) => JSON.parse(done("du", "--format", "json", `${image}:${path}`)).du;
  expect(usage("/sub/packed").total ?? usage("/sub/packed")).toEqual(usage("/packed").total ?? usage("/packed"));
  done("cp", "-aq", "--reflink=never", `${image}:/sub/packed`, `${image}:/sub/again`);
  expectSame("/sub/again");
  expect(refused(1, "cp", "-r", `${image}:/sub`, `${image}:/sub/packed`)).toContain("the target lies in the source");
}, 120_000);

test("without -a, what is new belongs to root, and what is there keeps what it is", () => {
  done("cp", "-q", join(source, "small"), `${image}:/one`);
  expect(stat("/one")).toMatchObject({ uid: 0, gid: 0 });
  done("cp", "-q", join(source, "text"), `${image}:/one`);
  expect(cat("/one").length).toBe(600_000);
  expect(stat("/one").mode).toBe(0o750);
  expect(refused(4, "cp", source, `${image}:/dir`)).toContain(`not copied: ${source}: it is a directory, and -r`);
  expect(refused(4, "cp", "-r", source, `${image}:/one`)).toContain("something else than a directory");
  expect(refused(1, "cp", join(folder, "none"), join(source, "small"), `${image}:/`)).toContain("no such file");
  expect(cat("/small")).toBe("small\n");
  expect(refused(4, "cp", "--reflink", join(source, "small"), `${image}:/`)).toContain("outside of the image");
  expect(refused(3, "cp", `${image}:/one`, folder)).toContain("btrkit restore copies out of images");
}, 120_000);

test("a read-only subvolume stays as it is", () => {
  done("subvolume", "snapshot", "-r", `${image}:/sub`, `${image}:/fixed`);
  expect(refused(1, "cp", join(source, "small"), `${image}:/fixed/`)).toContain("it is read-only; change a writable");
  expect(refused(1, "rm", "-r", `${image}:/fixed/packed`)).toContain("it is read-only");
  expect(names("/fixed")).toEqual(names("/sub"));
}, 120_000);

test("rm removes what it is told to, and nothing else", () => {
  expect(refused(1, "rm", `${image}:/plain`)).toContain("not removed: /plain: it is a directory, and -r is not given");
  expect(refused(1, "rm", `${image}:/none`)).toContain("the directory does not have it");
  done("rm", "-f", `${image}:/none`);
  done("subvolume", "create", `${image}:/plain/deep/inner`);
  expect(refused(1, "rm", "-r", `${image}:/plain`)).toContain("/plain/deep/inner: it is a subvolume");
  expect(names("/plain")).toEqual(["deep"]);
  done("subvolume", "snapshot", "-q", `${image}:/`, `${image}:/snap`);
  // In a snapshot nothing is left of the inner subvolume but a name.
  done("rm", "-r", `${image}:/snap/plain`);
  done("subvolume", "delete", "-q", "--now", `${image}:/plain/deep/inner`);
  expect(done("rm", "-rv", `${image}:/plain`, `${image}:one`)).toBe(
    "removed '/plain/deep'\nremoved '/plain'\nremoved '/one'\n",
  );
  expect(done("scrub", image)).toContain("no damage");
}, 120_000);
