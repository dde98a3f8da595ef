import { createHash, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { toBytes } from "../src/bytes/bytes.ts";
import { MemoryDevice } from "../src/device/memory.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { type MakeOptions, makeFilesystem } from "../src/mkfs/mkfs.ts";
import type { SourceFile, SourceStat, TreeSource } from "../src/mkfs/source.ts";
import { treeOfImage } from "./support/tree-of-image.ts";

// The files come out of memory: nothing of a host, nor of a kernel, is needed to make a filesystem.

type Content = Uint8Array | Map<string, Content>;

/** A tree in memory. What a test changes while it is read shows in `stat`. */
class MemorySource implements TreeSource {
  readonly top: Map<string, Content>;
  readonly changed = new Set<string>();
  reads = 0;

  constructor(top: Map<string, Content>) {
    this.top = top;
  }

  list(path: Uint8Array): Uint8Array[] {
    return [...(this.#find(path) as Map<string, Content>).keys()].map((name) => toBytes(name));
  }

  stat(path: Uint8Array): SourceStat {
    const found = this.#find(path);
    const isFile = found instanceof Uint8Array;
    const time = { sec: this.changed.has(text(path)) ? 2 : 1, nsec: 5 };
    return {
      mode: isFile ? 0o100644 : 0o040755,
      uid: 7,
      gid: 8,
      size: isFile ? found.byteLength : 0,
      nlink: 1,
      device: 1,
      inode: 1,
      major: 0,
      minor: 0,
      atime: time,
      mtime: time,
      ctime: time,
    };
  }

  readLink(): Uint8Array {
    throw new Error("there are none");
  }

  xattrs(): [] {
    return [];
  }

  open(path: Uint8Array): SourceFile {
    const content = this.#find(path) as Uint8Array;
    return {
      stat: () => this.stat(path),
      xattrs: () => [],
      read: async (at, target) => {
        this.reads++;
        const part = content.subarray(at, at + target.byteLength);
        await Promise.resolve();
        target.set(part);
        return part.byteLength;
      },
      close: () => {},
    };
  }

  #find(path: Uint8Array): Content {
    let at: Content = this.top;
    for (const name of text(path).split("/")) if (name !== "") at = (at as Map<string, Content>).get(name)!;
    return at;
  }
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const NOISE = randomBytes(1 << 20);

/** Bytes that do not compress, the same every time. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 500_000)
    bytes.set(NOISE.subarray(seed % 500_000, (seed % 500_000) + Math.min(length - at, 500_000)), at);
  return bytes;
}

function manyFiles(): Map<string, Content> {
  const small = new Map<string, Content>();
  for (let number = 0; number < 600; number++) small.set(`${number}`, toBytes(`content ${number}`.repeat(number % 40)));
  const sizes = new Map<string, Content>();
  for (const size of [0, 1, 2048, 2049, 4096, 4097, 131_072, 131_073, 4_300_000]) {
    sizes.set(`noise ${size}`, noise(size, size + 1));
    sizes.set(`words ${size}`, toBytes("some words. ".repeat(size / 12 + 1)).subarray(0, size));
  }
  const holes = new Uint8Array(6_000_000);
  holes.set(noise(4096, 3), 8192);
  holes.set(noise(200_000, 4), 5_000_000);
  return new Map<string, Content>([
    ["small", small],
    ["sizes", sizes],
    ["holes", holes],
    ["empty", new Map()],
  ]);
}

async function make(source: MemorySource, options: MakeOptions = {}): Promise<MemoryDevice> {
  const store = new MemoryDevice(new Uint8Array(0));
  await makeFilesystem(store, { from: source, grow: true, metadata: "single", shrink: true, ...options });
  return store;
}

function contents(top: Map<string, Content>, path = ""): [string, string][] {
  return [...top].flatMap(([name, content]): [string, string][] => {
    const whole = path === "" ? name : `${path}/${name}`;
    return content instanceof Uint8Array ? [[whole, sha256(content)]] : contents(content, whole);
  });
}

describe("a filesystem made of files in memory", () => {
  test.each<[string, MakeOptions]>([
    ["plain", {}],
    ["with 4K nodes and zstd", { nodeSize: 4096, compress: { algorithm: "zstd" } }],
    ["with lzo", { compress: { algorithm: "lzo" }, checksum: "xxhash64" }],
    ["with zlib and shared content", { compress: { algorithm: "zlib", level: 1 }, reflink: true }],
  ])("has all of them, %s", async (_, options) => {
    const source = new MemorySource(manyFiles());
    const filesystem = await openFilesystem([await make(source, options)]);
    const tree = await treeOfImage(await filesystem.lookup(""));
    const files = tree.filter(({ type }) => type === "file");
    expect(new Map(files.map(({ path, sha256 }) => [path, sha256]))).toEqual(new Map(contents(source.top)));
    expect(tree.every(({ uid, gid }) => uid === 7 && gid === 8)).toBe(true);
    const holes = tree.find(({ path }) => path === "holes")!;
    expect(holes.data?.reduce((sum, [, length]) => sum + length, 0)).toBeLessThan(300_000);
  });

  test("a file that changes while it is read is refused", async () => {
    const source = new MemorySource(manyFiles());
    const { open } = source;
    source.open = function (path) {
      const file = open.call(this, path);
      const read: SourceFile["read"] = (at, target) => {
        // While it is read: what changes before is taken as it then is.
        if (text(path) === "sizes/noise 131073") this.changed.add(text(path));
        return file.read(at, target);
      };
      return { ...file, read };
    };
    await expect(make(source)).rejects.toMatchObject({ code: "busy", where: { path: "sizes/noise 131073" } });
  });

  test("attributes that btrfs can't hold are left out, and told", async () => {
    const names = ["user.kept", "system.nfs4_acl", "btrfs.compression", "odd"];
    const source = new MemorySource(
      new Map<string, Content>([
        ["file", new Uint8Array(5)],
        ["directory", new Map()],
      ]),
    );
    const attributes = names.map((name) => ({ name: toBytes(name), value: toBytes("zstd") }));
    source.xattrs = () => attributes as never;
    const { open } = source;
    source.open = function (path) {
      return { ...open.call(this, path), xattrs: () => attributes };
    };
    const warnings: string[] = [];
    const store = await make(source, { onWarning: (sentence) => warnings.push(sentence) });
    const places = [".", "directory", "file"];
    expect(warnings.sort()).toEqual(
      places.flatMap((place) =>
        ["odd", "system.nfs4_acl"].map((name) => `not kept: ${place}: btrfs has no attribute ${name}`),
      ),
    );
    const filesystem = await openFilesystem([store]);
    for (const place of places) {
      const kept = await (await filesystem.lookup(place)).xattrs();
      expect(kept.map(({ name }) => text(name)).sort()).toEqual(["btrfs.compression", "user.kept"]);
    }
  });

  test("of a size that is too small, the least that is enough is told, and is enough", async () => {
    for (const options of [{ nodeSize: 4096 }, { nodeSize: 65_536, metadata: "dup" }, { data: "dup" }] as const) {
      const sentence = await makeFilesystem(new MemoryDevice(new Uint8Array(1 << 20)), options).catch(String);
      const least = Number(/at least (\d+) are needed/.exec(String(sentence))?.[1]);
      await makeFilesystem(new MemoryDevice(new Uint8Array(least)), options);
      const less = makeFilesystem(new MemoryDevice(new Uint8Array(least - 65_536)), options);
      await expect(less).rejects.toMatchObject({ code: "space" });
    }
  });

  test("an abort ends it, and no filesystem is there", async () => {
    const store = new MemoryDevice(new Uint8Array(0));
    const source = new MemorySource(manyFiles());
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(makeFilesystem(store, { from: source, grow: true, signal })).rejects.toThrow("enough");
    await expect(openFilesystem([store])).rejects.toThrow();
  });

  test("the same files give the same bytes, in whatever order they are listed", async () => {
    const source = new MemorySource(manyFiles());
    const other = new MemorySource(manyFiles());
    const { list } = other;
    other.list = function (path) {
      return list.call(this, path).reverse();
    };
    const options: MakeOptions = { reproducible: {}, now: 0n, compress: { algorithm: "zstd" }, label: "same" };
    const [first, second] = [await make(source, options), await make(other, options)];
    expect(sha256(first.bytes)).toBe(sha256(second.bytes));
    const third = await make(source, { ...options, label: "another" });
    expect(third.bytes.subarray(65_568, 65_584)).not.toEqual(first.bytes.subarray(65_568, 65_584));
  });
});
