import { statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { concatBytes, toBytes } from "../../src/bytes/bytes.ts";
import { type SegmentStart, type StreamItem, StreamWriter } from "../../src/stream/index.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { Random } from "./support/random.ts";
import { liveReceive } from "./support/receive.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

// Streams of random commands in which new, old, renamed, linked, replaced and cloned files and moved directories come close
// together, as no kernel would send them: on two threads everything is as on one.

const seeds = Array.from({ length: Number(process.env.BTRKIT_SEEDS ?? 3) }, (_, index) => index + 1);
const uuid = new Uint8Array(16).fill(7);

const CHANGES_NAMES = new Set(["mkfile", "mkdir", "rename", "link", "unlink"]);

/**
 * Puts commands together; every object ends with times of its own, as the rest is the time of the receive. A directory
 * gets them somewhere on the way, and at the end only if something was made or removed in it after that.
 */
class Story {
  readonly items: StreamItem[] = [{ name: "segment", version: 2 } satisfies SegmentStart];
  readonly #random: Random;
  readonly #dirs = [""];
  readonly #files: string[] = [];
  /** Files with another name: two of them may be one, which can't be cloned onto itself. */
  readonly #linked = new Set<string>();
  /** Directories whose times are those of the receive. */
  readonly #stale = new Set([""]);
  #count = 0;

  constructor(seed: number, steps: number) {
    this.#random = new Random(seed);
    this.items.push({ name: "subvol", path: toBytes("story"), uuid, ctransid: 1n });
    for (let step = 0; step < steps; step++) this.#step();
    for (const dir of this.#stale) this.#times(dir);
    this.items.push({ name: "end" });
  }

  #step(): void {
    const [file, other] = [this.#file(), this.#file()];
    const kind = this.#random.weighted({
      make: 35,
      dir: 10,
      write: 20,
      replace: 8,
      move: 6,
      remove: 4,
      link: 4,
      moveDir: 4,
      clone: 6,
      dirTimes: 25,
    });
    if (kind === "make") this.#files.push(this.#make(this.#name()));
    else if (kind === "dir") this.#makeDirectory();
    else if (kind === "dirTimes") this.#timesOfDirectory();
    else if (file === undefined || other === undefined) return;
    else if (kind === "write") this.#overwrite(file);
    else if (kind === "replace") this.#make(file);
    else if (kind === "move") this.#move(file, this.#name());
    else if (kind === "remove") this.#remove(file);
    else if (kind === "link") this.#link(file);
    else if (kind === "moveDir") this.#moveDirectory();
    else if (file !== other && !(this.#linked.has(file) && this.#linked.has(other))) this.#clone(file, other);
  }

  #make(path: string): string {
    this.#add("mkfile", "made", { ino: 1n });
    this.#add("rename", "made", { pathTo: toBytes(path) });
    for (let at = 0, count = this.#random.between(0, 3); count > 0; count--) {
      const length = this.#random.pick([1, 700, 3000, 70_000, 120_000]);
      this.#write(path, at, length);
      at += length;
    }
    this.#add("chown", path, { uid: BigInt(this.#random.pick([0, 1000])), gid: 0n });
    this.#add("chmod", path, { mode: BigInt(this.#random.pick([0o644, 0o4755, 0o600])) });
    this.#times(path);
    return path;
  }

  #makeDirectory(): void {
    const path = this.#name();
    this.#add("mkdir", "made", { ino: 1n });
    this.#add("rename", "made", { pathTo: toBytes(path) });
    this.#add("chmod", path, { mode: BigInt(this.#random.pick([0o755, 0o2755])) });
    this.#times(path);
    this.#dirs.push(path);
  }

  #overwrite(path: string): void {
    if (this.#random.chance(30)) this.#add("truncate", path, { size: BigInt(this.#random.between(0, 8000)) });
    this.#write(path, this.#random.between(0, 5000), this.#random.between(1, 9000));
    this.#times(path);
  }

  #move(from: string, to: string): void {
    this.#add("rename", from, { pathTo: toBytes(to) });
    this.#files[this.#files.indexOf(from)] = to;
    if (this.#linked.has(from)) this.#linked.add(to);
  }

  #remove(path: string): void {
    this.#add("unlink", path, {});
    this.#files.splice(this.#files.indexOf(path), 1);
  }

  #link(existing: string): void {
    const path = this.#name();
    this.#add("link", path, { pathLink: toBytes(existing) });
    this.#files.push(path);
    this.#linked.add(path).add(existing);
  }

  #moveDirectory(): void {
    if (this.#dirs.length < 3) return;
    const from = this.#dirs[this.#random.between(1, this.#dirs.length - 1)]!;
    const to = `moved-${this.#count++}`;
    this.#add("rename", from, { pathTo: toBytes(to) });
    const moved = (path: string): string =>
      path === from || path.startsWith(`${from}/`) ? to + path.slice(from.length) : path;
    for (const list of [this.#dirs, this.#files]) list.splice(0, list.length, ...list.map(moved));
    for (const set of [this.#stale, this.#linked]) {
      const now = [...set].map(moved);
      set.clear();
      for (const each of now) set.add(each);
    }
  }

  #clone(from: string, to: string): void {
    this.#write(from, 0, 8192);
    this.#add("truncate", from, { size: 8192n });
    const source = { cloneUuid: uuid, cloneCtransid: 1n, clonePath: toBytes(from), cloneOffset: 0n };
    // Onto a sector boundary inside of, or at the end of what is there.
    this.#add("truncate", to, { size: 8192n });
    this.#add("clone", to, { fileOffset: 0n, cloneLen: 8192n, ...source });
    this.#times(to);
    this.#times(from);
  }

  #write(path: string, at: number, length: number): void {
    const data = new Uint8Array(length).fill(65 + (this.#count++ % 26));
    this.#add("write", path, { fileOffset: BigInt(at), data });
  }

  #times(path: string): void {
    const at = { seconds: BigInt(this.#random.between(0, 1_000_000_000)), nanoseconds: 0 };
    this.#add("utimes", path, { atime: at, mtime: at, ctime: at, otime: at });
  }

  #name(): string {
    const dir = this.#random.pick(this.#dirs);
    return `${dir === "" ? "" : `${dir}/`}name-${this.#count++}`;
  }

  #file(): string | undefined {
    return this.#files.length === 0 ? undefined : this.#random.pick(this.#files);
  }

  #timesOfDirectory(): void {
    const dir = this.#random.pick(this.#dirs);
    this.#times(dir);
    this.#stale.delete(dir);
  }

  #add(name: string, path: string, fields: object): void {
    const names = [path, ...("pathTo" in fields ? [Buffer.from(fields.pathTo as Uint8Array).toString()] : [])];
    if (CHANGES_NAMES.has(name)) for (const each of names) this.#stale.add(dirname(each).replace(/^\.$/, ""));
    this.items.push({ name, path: toBytes(path), ...fields } as unknown as StreamItem);
  }
}

async function bytesOf(items: readonly StreamItem[]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 2 });
  for (const item of items) writer.write(item);
  await writer.flush();
  return concatBytes(chunks);
}

const FILES = 6;
const PAUSE = "pause-";

/**
 * Small files for the second thread, each followed, when they are done, by much data, another mode and another owner for the
 * first thread, and by little data and the first mode and owner for the second.
 */
function handedBackAndForth(other: (file: string) => string, atOnce: boolean): StreamItem[] {
  const items: unknown[] = [
    { name: "segment", version: 2 },
    { name: "subvol", path: toBytes("story"), uuid, ctransid: 1n },
  ];
  const add = (name: string, path: string, fields: object): void =>
    void items.push({ name, path: toBytes(path), ...fields });
  const pause = (): void => {
    add("mkdir", "made", { ino: 1n });
    add("rename", "made", { pathTo: toBytes(`${PAUSE}${items.length}`) });
  };
  const set = (path: string, length: number, mode: bigint, owner: bigint): void => {
    add("write", path, { fileOffset: 0n, data: new Uint8Array(length).fill(65) });
    add("chown", path, { uid: owner, gid: owner });
    add("chmod", path, { mode });
  };
  for (let n = 0; n < FILES; n++) {
    const file = `file-${n}`;
    add("mkfile", "made", { ino: 1n });
    add("rename", "made", { pathTo: toBytes(file) });
    if (other(file) !== file) add("link", other(file), { pathLink: toBytes(file) });
    set(file, 100, 0o644n, 1000n);
    pause();
    set(other(file), 120_000, 0o600n, 2000n);
    pause();
    set(file, 200, 0o644n, 1000n);
    pause();
    set(other(file), 120_000, 0o640n, 3000n);
    pause();
    set(file, 300, 0o644n, 1000n);
    if (!atOnce) continue;
    // By one name and at once by the other.
    add("chmod", other(file), { mode: 0o611n });
    add("chown", other(file), { uid: 1n, gid: 1n });
    add("chmod", file, { mode: 0o644n });
    add("chown", file, { uid: 1000n, gid: 1000n });
  }
  items.push({ name: "end" });
  return items as StreamItem[];
}

/** The stream in pieces: each directory called a pause gives both threads time to do all before it. */
async function* slowly(items: readonly StreamItem[]): AsyncGenerator<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 2 });
  for (const item of items) {
    writer.write(item);
    if (item.name !== "rename" || !Buffer.from(item.pathTo).toString().startsWith(PAUSE)) continue;
    await writer.flush();
    yield concatBytes(chunks.splice(0));
    await setTimeout(50);
  }
  await writer.flush();
  yield concatBytes(chunks);
}

describeKernel("a receive on two threads", () => {
  test("sets mode and owner anew where another name of the file has changed them, on one thread too", async () => {
    await using filesystem = await TestFilesystem.make();
    const set = (file: string, mode: bigint, owner: bigint) => [
      { name: "chown", path: toBytes(file), uid: owner, gid: owner },
      { name: "chmod", path: toBytes(file), mode },
    ];
    const items = [
      { name: "segment", version: 2 },
      { name: "subvol", path: toBytes("story"), uuid, ctransid: 1n },
      { name: "mkfile", path: toBytes("file"), ino: 1n },
      ...set("file", 0o644n, 1000n),
      { name: "link", path: toBytes("other"), pathLink: toBytes("file") },
      ...set("other", 0o600n, 2000n),
      ...set("file", 0o644n, 1000n),
      { name: "end" },
    ];
    const stream = await bytesOf(items as unknown as StreamItem[]);
    for (const threads of [1, 2] as const) {
      const directory = join(filesystem.directory, `threads-${threads}`);
      await mkdir(directory);
      await liveReceive(stream, directory, { threads, commandsBeforeThread: 0 });
      const { mode, uid, gid } = statSync(join(directory, "story", "file"));
      expect([mode & 0o7777, uid, gid]).toEqual([0o644, 1000, 1000]);
    }
  });

  test.each(seeds)("is that on one, seed %i", async (seed) => {
    await using filesystem = await TestFilesystem.make();
    const stream = await bytesOf(new Story(seed, 300).items);
    const trees = [];
    for (const threads of [1, 2] as const) {
      const directory = join(filesystem.directory, `threads-${threads}`);
      await mkdir(directory);
      await liveReceive(stream, directory, { threads, commandsBeforeThread: 0 });
      trees.push(await treeOf(join(directory, "story"), { holes: true }));
    }
    expect(trees[0]!.length).toBeGreaterThan(80);
    expect(treeDifferences(trees[1]!, trees[0]!)).toEqual([]);
  });

  test.each([
    { title: "the same name", other: (file: string) => file, atOnce: false },
    { title: "another name", other: (file: string) => `other-${file}`, atOnce: false },
    { title: "another name at once", other: (file: string) => `other-${file}`, atOnce: true },
  ])("gives a file that both had, by $title, the last mode and owner", async ({ other, atOnce }) => {
    await using filesystem = await TestFilesystem.make();
    for (const threads of [1, 2] as const) {
      const directory = join(filesystem.directory, `threads-${threads}`);
      await mkdir(directory);
      await liveReceive(slowly(handedBackAndForth(other, atOnce)), directory, { threads, commandsBeforeThread: 0 });
      const facts = Array.from({ length: FILES }, (_, n) => statSync(join(directory, "story", `file-${n}`)));
      expect(facts.map(({ mode, uid, gid }) => [(mode & 0o7777).toString(8), uid, gid])).toEqual(
        facts.map(() => ["644", 1000, 1000]),
      );
    }
  });
});
