import { existsSync, lstatSync, statSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BtrfsError } from "../../src/errors.ts";
import { findXattr, loadNative } from "../../src/linux/index.ts";
import type { LiveTargetOptions } from "../../src/linux/receive/live-target.ts";
import type { ReceiveOptions } from "../../src/receive/index.ts";
import { type Attribute, commandOf, END, stream, time, u32, u64 } from "../support/raw-stream.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { liveReceive } from "./support/receive.ts";
import { treeOf } from "./support/tree.ts";

// Streams that a kernel would never write: nothing beside the subvolume may change, whatever they ask for.

const MARK = "user.btrkit.receiving";
const uuid = (byte: number): Uint8Array => new Uint8Array(16).fill(byte);
const make = (number: number, attributes: readonly Attribute[]) => commandOf(2, number, attributes);
const path = (text: string): Attribute => [15, text];

const subvol = (name: string) => make(1, [path(name), [1, uuid(7)], [2, u64(1)]]);
const mkfile = (at: string) => make(3, [path(at), [3, u64(257)]]);
const mkdir_ = (at: string) => make(4, [path(at), [3, u64(258)]]);
const mknod = (at: string, mode: number, device: number) =>
  make(5, [path(at), [3, u64(259)], [8, u64(device)], [5, u64(mode)]]);
const mkfifo = (at: string) => make(6, [path(at), [3, u64(260)]]);
const symlink = (at: string, to: string) => make(8, [path(at), [3, u64(261)], [17, to]]);
const rename = (from: string, to: string) => make(9, [path(from), [16, to]]);
const link = (at: string, existing: string) => make(10, [path(at), [17, existing]]);
const setXattr = (at: string, name: string, value: string) => make(13, [path(at), [13, name], [14, value]]);
const removeXattr = (at: string, name: string) => make(14, [path(at), [13, name]]);
const write = (at: string, offset: bigint | number, data: string) =>
  make(15, [path(at), [18, u64(offset)], [19, data]]);
const clone = (at: string, source: Uint8Array, from: string, length = 4096) =>
  make(16, [[18, u64(0)], [24, u64(length)], path(at), [20, source], [21, u64(1)], [22, from], [23, u64(0)]]);
const truncate = (at: string, size: bigint) => make(17, [path(at), [4, u64(size)]]);
const chmod = (at: string, mode: number) => make(18, [path(at), [5, u64(mode)]]);
const chown = (at: string, uid: number) => make(19, [path(at), [6, u64(uid)], [7, u64(uid)]]);
const utimes = (at: string) => make(20, [path(at), [11, time(1)], [10, time(2)], [9, time(3)]]);
const encoded = (at: string, data: Uint8Array, length: number) =>
  make(25, [
    path(at),
    [18, u64(0)],
    [27, u64(length)],
    [28, u64(length)],
    [29, u64(0)],
    [30, u32(1)],
    [31, u32(0)],
    [19, data],
  ]);

describeKernel("hostile streams", () => {
  describe.each([false, true])("on two threads: %s", attacks);
});

function attacks(isShared: boolean): void {
  let filesystem: TestFilesystem;
  let outside: string;
  let destination: string;
  let count = 0;

  beforeAll(async () => {
    filesystem = await TestFilesystem.make();
    outside = join(filesystem.directory, "outside");
    destination = join(filesystem.directory, "destination");
    await mkdir(outside);
    await mkdir(destination);
    await writeFile(join(outside, "victim"), "untouched");
    await mkdir(join(outside, "folder"));
  });
  afterAll(() => filesystem?.[Symbol.asyncDispose]());

  /** Receives commands into a subvolume of their own; what went wrong. The world outside is as before. */
  async function attack(
    commands: readonly Uint8Array[],
    options: ReceiveOptions & LiveTargetOptions = {},
  ): Promise<{ error: BtrfsError | undefined; at: string }> {
    const name = `attack-${++count}`;
    const before = await treeOf(outside, { inodes: true });
    const threads = { threads: isShared ? 2 : 1, commandsBeforeThread: 0 } as const;
    const input = stream(2, subvol(name), ...commands, END);
    const error = await liveReceive(input, destination, { ...threads, ...options }).then(
      () => undefined,
      (failure: unknown) => failure,
    );
    expect(await treeOf(outside, { inodes: true })).toEqual(before);
    if (error !== undefined) expect(error).toBeInstanceOf(BtrfsError);
    return { error: error as BtrfsError | undefined, at: join(destination, name) };
  }

  const victim = () => `${outside}/victim`;
  const escapes: readonly (readonly [string, () => readonly Uint8Array[]])[] = [
    ["a file made through a planted link", () => [symlink("a", outside), mkfile("a/evil")]],
    ["a directory made through it", () => [symlink("a", outside), mkdir_("a/evil")]],
    ["a relative link upwards", () => [symlink("a", "../../outside"), mkfile("a/evil")]],
    ["a file renamed through it", () => [symlink("a", outside), mkfile("o1"), rename("o1", "a/evil")]],
    ["a file linked through it", () => [symlink("a", outside), link("evil", "a/victim")]],
    ["a file linked into it", () => [symlink("a", outside), mkfile("x"), link("a/evil", "x")]],
    ["a file removed through it", () => [symlink("a", outside), make(11, [path("a/victim")])]],
    ["a directory removed through it", () => [symlink("a", outside), make(12, [path("a/folder")])]],
    ["data written through a link", () => [symlink("a", victim()), write("a", 0, "evil")]],
    ["data written below a link", () => [symlink("a", outside), write("a/victim", 0, "evil")]],
    ["a link truncated", () => [symlink("a", victim()), truncate("a", 0n)]],
    ["a link as the target of a clone", () => [symlink("a", victim()), mkfile("x"), clone("a", uuid(7), "x")]],
    ["a clone from behind a link", () => [symlink("a", victim()), mkfile("x"), clone("x", uuid(7), "a")]],
    ["a clone from below a link", () => [symlink("a", outside), mkfile("x"), clone("x", uuid(7), "a/victim")]],
    ["an xattr below a link", () => [symlink("a", outside), setXattr("a/victim", "user.evil", "1")]],
    ["a mode below a link", () => [symlink("a", outside), chmod("a/victim", 0o777)]],
    [
      "a directory replaced by a link",
      () => [mkdir_("d"), mkfile("d/x"), rename("d", "e"), symlink("d", outside), mkfile("d/evil")],
    ],
    [
      "an encoded write through a link",
      () => [symlink("a", victim()), encoded("a", deflateSync(Buffer.alloc(4096)), 4096)],
    ],
  ];
  test.each(escapes)("%s is refused", async (_, commands) => {
    const { error, at } = await attack(commands());
    expect(error).toBeDefined();
    expect(existsSync(join(outside, "evil"))).toBe(false);
    expect(findXattr(loadNative(), -100, at, MARK)).toBeDefined();
  });

  test("owner, times and attributes of a link are its own", async () => {
    const { error, at } = await attack([
      symlink("a", `${outside}/victim`),
      chown("a", 1234),
      utimes("a"),
      setXattr("a", "trusted.evil", "1"),
    ]);
    expect(error).toBeUndefined();
    expect(lstatSync(join(at, "a"))).toMatchObject({ uid: 1234, mtimeMs: 2000 });
  });

  const loop = () => statSync(filesystem.devices[0]!).rdev;
  const refused: readonly (readonly [string, () => readonly Uint8Array[]])[] = [
    ["data for a block device", () => [mknod("d", 0o060600, loop()), write("d", 65536, "evil")]],
    ["a truncated block device", () => [mknod("d", 0o060600, loop()), truncate("d", 0n)]],
    ["data for a character device", () => [mknod("d", 0o020600, (1 << 8) | 3), write("d", 0, "evil")]],
    ["data for a FIFO, which nobody reads", () => [mkfifo("p"), write("p", 0, "evil")]],
    ["a clone from a device", () => [mknod("d", 0o060600, loop()), mkfile("x"), clone("x", uuid(7), "d")]],
    ["data for a directory", () => [mkdir_("d"), write("d", 0, "evil")]],
    ["data for nothing", () => [write("x", 0, "evil")]],
    ["a file made twice", () => [mkfile("x"), mkfile("x")]],
    ["a directory made twice", () => [mkdir_("d"), mkdir_("d")]],
    ["a directory moved into itself", () => [mkdir_("d"), rename("d", "d/e")]],
    ["an offset behind the end of all files", () => [mkfile("x"), write("x", 2n ** 63n, "evil")]],
    ["a size that no file has", () => [mkfile("x"), truncate("x", 2n ** 64n - 1n)]],
    ["a clone from a subvolume that is not there", () => [mkfile("x"), clone("x", uuid(9), "x")]],
    ["an owner of 64 bits", () => [mkfile("x"), make(19, [path("x"), [6, u64(2n ** 32n)], [7, u64(0)]])]],
    [
      "times with too many nanoseconds",
      () => [mkfile("x"), make(20, [path("x"), [11, time(1, 2e9)], [10, time(1)], [9, time(1)]])],
    ],
    ["the mark set", () => [setXattr("", MARK, "evil")]],
    ["the mark removed", () => [removeXattr("", MARK)]],
    ["encoded data longer than an extent", () => [mkfile("x"), encoded("x", new Uint8Array(140_000), 131_072)]],
    ["encoded data for more than an extent", () => [mkfile("x"), encoded("x", new Uint8Array(100), 2 ** 30)]],
  ];
  test.each(refused)("%s is refused", async (_, commands) => {
    const { error, at } = await attack(commands());
    expect(error).toBeDefined();
    expect(findXattr(loadNative(), -100, at, MARK)).toBeDefined();
  });

  test("a name that is taken stays as it is, also that of a plain directory", async () => {
    await mkdir(join(destination, "taken"));
    await writeFile(join(destination, "taken", "file"), "kept");
    await expect(liveReceive(stream(2, subvol("taken"), END), destination)).rejects.toMatchObject({
      cause: { errno: "EEXIST" },
    });
    expect(await readFile(join(destination, "taken", "file"), "utf8")).toBe("kept");
  });

  test.each([true, false])("a bomb gives an extent and no more, decoded here: %s", async (forceDecompress) => {
    const bomb = deflateSync(Buffer.alloc(100 << 20));
    expect(bomb.byteLength).toBeLessThan(131_072);
    const before = process.memoryUsage().rss;
    const { error, at } = await attack([mkfile("x"), encoded("x", bomb, 131_072)], { forceDecompress });
    expect(error).toBeUndefined();
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
    expect(await readFile(join(at, "x"))).toEqual(Buffer.alloc(131_072));
  });

  test("deep trees of names are followed one directory at a time, and moved", async () => {
    const depth = 320;
    const deep = (first: string, length: number) => [first, ...Array.from({ length: length - 1 }, () => "d")].join("/");
    const down = Array.from({ length: depth }, (_, index) => mkdir_(deep("top", index + 1)));
    const other = Array.from({ length: depth }, (_, index) => mkdir_(deep("other", index + 1)));
    const { error, at } = await attack([
      ...down,
      ...other,
      mkfile(`${deep("top", depth)}/x`),
      write(`${deep("top", depth)}/x`, 0, "deep"),
      rename(`${deep("top", depth)}/x`, `${deep("other", depth)}/y`),
      rename("top", "moved"),
      mkdir_("top"),
      mkfile("top/z"),
      rename("other", "top/other"),
      write(`top/${deep("other", depth)}/y`, 4, "er"),
    ]);
    expect(error).toBeUndefined();
    expect(await readFile(join(at, "top", deep("other", depth), "y"), "utf8")).toBe("deeper");
    expect(existsSync(join(at, "top/z"))).toBe(true);
    expect(existsSync(join(at, "moved/d"))).toBe(true);
  });

  describe("with failures let pass", () => {
    test("the rest of the stream is carried out, and the subvolume is never complete", async () => {
      const { error, at } = await attack([mkdir_("../evil"), symlink("a", outside), mkfile("a/evil"), mkfile("x")], {
        maxErrors: 0,
      });
      expect(error?.message).toMatch(/2 failures/);
      expect(existsSync(join(at, "x"))).toBe(true);
      expect(findXattr(loadNative(), -100, at, MARK)).toBeDefined();
    });
  });
}
