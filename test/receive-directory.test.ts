import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { concatBytes } from "../src/bytes/bytes.ts";
import { openDirectoryHost } from "../src/linux/directory-host.ts";
import { cleanDirectory } from "../src/node/directory-cleanup.ts";
import type { DirectoryHost } from "../src/node/directory-host.ts";
import { DirectoryTarget, type DirectoryTargetOptions } from "../src/node/directory-target.ts";
import { NodeDirectoryHost } from "../src/node/node-directory-host.ts";
import { receive } from "../src/receive/receive.ts";
import { FoldingHost } from "./support/folding-host.ts";
import { hostTree } from "./support/host-tree.ts";
import {
  chmod,
  chown,
  clone,
  link,
  mkdir,
  mkfile,
  mknod,
  removeXattr,
  rename,
  setXattr,
  snapshot,
  subvol,
  unlink,
  utimes,
  write,
} from "./support/raw-commands.ts";
import { END, stream } from "./support/raw-stream.ts";
import { sidecarLines, withSidecar } from "./support/sidecar-tree.ts";
import { snapshotTree, streamBytes, type TreeEntry } from "./support.ts";

// Streams into directories of this host: as Linux can, and as Node alone can on any host. What the host or the user can't
// hold is in the sidecar, which is laid over what is there; so it is all the same who runs this.

const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "btrkit-receive-"));
  made.push(directory);
  return directory;
}

type HostKind = "linux" | "node";
const HOSTS: readonly HostKind[] = process.platform === "linux" ? ["linux", "node"] : ["node"];

interface Into extends Omit<DirectoryTargetOptions, "path"> {
  readonly kind?: HostKind;
  readonly host?: (directory: string) => DirectoryHost;
}

async function into(directory: string, input: Uint8Array, { kind, host, ...options }: Into = {}) {
  const opened =
    host !== undefined
      ? { host: host(directory), close() {} }
      : kind === "node"
        ? { host: new NodeDirectoryHost(directory), close() {} }
        : openDirectoryHost(directory);
  const target = await DirectoryTarget.open(opened.host, { path: directory, ...options });
  try {
    const summary = await receive(input, target);
    return { summary, target };
  } finally {
    target.close();
    opened.close();
  }
}

/** Node alone sets times to about a microsecond, and to a millisecond before 1970. */
function timeError(kind: HostKind, time: bigint): bigint {
  if (kind === "linux") return 0n;
  return time < 0n ? 1_000_000n : 1000n;
}

function expectTree(directory: string, subvolume: string, snapshot: string, kind: HostKind): void {
  const expected = snapshotTree(snapshot).map(({ data: _, ...entry }) => entry);
  const times = new Map(expected.map(({ path, mtime }) => [path, mtime]));
  const told = withSidecar(directory, subvolume, hostTree(join(directory, subvolume))).map((entry): TreeEntry => {
    const wanted = times.get(entry.path) ?? "0";
    const error = BigInt(entry.mtime) - BigInt(wanted);
    const most = timeError(kind, BigInt(wanted));
    return error <= most && -error <= most ? { ...entry, mtime: wanted } : entry;
  });
  expect(told).toEqual(expected);
}

describe.each(HOSTS)("by means of %s", (kind) => {
  test.each(["full-v1", "full-v2", "full-compressed"])("%s becomes the tree that was sent", async (name) => {
    const directory = newDirectory();
    const { target } = await into(directory, streamBytes(name), { kind });
    expectTree(directory, "first", "first", kind);
    expect(target.encoded.carried).toBe(0);
    expect([...target.encoded.decoded.keys()]).toEqual(
      name === "full-compressed" ? ["a plain directory holds no encoded data"] : [],
    );
  });

  test.each(["zlib", "lzo", "zstd"])("%s is decoded", async (name) => {
    const directory = newDirectory();
    await into(directory, streamBytes(name), { kind });
    expectTree(directory, `${name}-1`, `${name}-1`, kind);
  });

  test.each(["v1", "v2", "compressed"])(
    "increments of %s find their parents, which stay as they were",
    async (form) => {
      // Node alone sees no holes, and a file of the first snapshot has 1 TiB of them.
      if (kind === "node") return;
      const directory = newDirectory();
      const empty = form === "v1" ? "empty-increment-v1" : "empty-increment-v2";
      for (const name of [`full-${form}`, `increment-${form}`, empty])
        await into(directory, streamBytes(name), { kind });
      expectTree(directory, "first", "first", kind);
      expectTree(directory, "second", "second", kind);
      expectTree(directory, "third", "third", kind);
    },
  );

  test("in place, an increment changes its parent, and takes its name", async () => {
    const directory = newDirectory();
    await into(directory, streamBytes("small-v2"), { kind });
    const { ino } = lstatSync(join(directory, "small-1"));
    await into(directory, streamBytes("small-increment-v2"), { kind, inPlace: true });
    expect(readdirSync(directory).sort()).toEqual([".btrkit", "small-2"]);
    expect(lstatSync(join(directory, "small-2")).ino).toBe(ino);
    expectTree(directory, "small-2", "small-2", kind);
    // Its parent is gone.
    await expect(into(directory, streamBytes("small-increment-v2"), { kind })).rejects.toThrow(
      "cannot find parent subvolume",
    );
  });

  test.each(["two-v1", "two-without-end-v1", "two-v2", "two-without-end-v2"])(
    "%s has both subvolumes",
    async (name) => {
      const directory = newDirectory();
      const { summary } = await into(directory, streamBytes(name), { kind });
      expect(summary.subvolumes).toHaveLength(2);
      for (const each of ["small-1", "small-2"]) expectTree(directory, each, each, kind);
    },
  );

  test("a clone comes from the subvolume that it names, and fails without it", async () => {
    const directory = newDirectory();
    const clones = streamBytes("clone-source-v1");
    await expect(into(directory, clones, { kind })).rejects.toMatchObject({ code: "missing" });
    expect(readdirSync(directory)).toEqual([".btrkit"]);
    await into(directory, streamBytes("small-v1"), { kind });
    await into(directory, clones, { kind });
    expectTree(directory, "small-2", "small-2", kind);
  });

  test("a stream that is cut leaves what is known as unfinished, and cleaning up takes away nothing else", async () => {
    const directory = newDirectory();
    await into(directory, streamBytes("small-v2"), { kind });
    const increment = streamBytes("small-increment-v2");
    for (const part of [0.3, 0.6, 0.9]) {
      const cut = increment.subarray(0, Math.floor(increment.byteLength * part));
      await expect(into(directory, cut, { kind })).rejects.toMatchObject({ code: "truncated" });
      expect(sidecarLines(directory).map(({ path, state }) => [path, state])).toEqual([
        ["small-1", "complete"],
        ["small-2", "receiving"],
      ]);
      await expect(into(directory, increment, { kind })).rejects.toThrow(
        "an unfinished one is there, see receive --cleanup",
      );
      expect(clean(directory, false)).toEqual([{ name: "small-2", state: "found" }]);
      expect(existsSync(join(directory, "small-2"))).toBe(true);
      expect(clean(directory)).toEqual([{ name: "small-2", state: "removed" }]);
      expect(clean(directory)).toEqual([]);
      expect(readdirSync(directory).sort()).toEqual([".btrkit", "small-1"]);
    }
    await into(directory, increment, { kind });
    expectTree(directory, "small-1", "small-1", kind);
    expectTree(directory, "small-2", "small-2", kind);
  });

  test("what was cut in place is not cleaned up", async () => {
    const directory = newDirectory();
    await into(directory, streamBytes("small-v2"), { kind });
    const increment = streamBytes("small-increment-v2");
    await expect(into(directory, increment.subarray(0, 600), { kind, inPlace: true })).rejects.toThrow();
    expect(clean(directory)).toEqual([{ name: "small-2", state: "in place" }]);
    expect(existsSync(join(directory, "small-2"))).toBe(true);
  });

  function clean(directory: string, remove = true) {
    const { host, close } =
      kind === "node" ? { host: new NodeDirectoryHost(directory), close() {} } : openDirectoryHost(directory);
    try {
      return cleanDirectory(host, { remove });
    } finally {
      close();
    }
  }
});

describe("names that a host takes for one", () => {
  const folding = (directory: string) => new FoldingHost(directory);
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ["a file", concatBytes([mkfile("Name"), write("Name", "first"), mkfile("name")])],
    ["a directory", concatBytes([mkdir("Name"), mkdir("NAME")])],
    ["a rename", concatBytes([mkfile("Name"), write("Name", "first"), mkfile("x"), rename("x", "nAme")])],
    ["a link", concatBytes([mkfile("Name"), mkfile("x"), link("name", "x")])],
    ["another form of a character", concatBytes([mkfile("caf\u00e9"), mkfile("cafe\u0301")])],
    ["a rename to another form", concatBytes([mkfile("caf\u00e9"), mkfile("x"), rename("x", "cafe\u0301")])],
  ];
  test.each(cases)("%s: found before one overwrites the other", async (_, commands) => {
    const directory = newDirectory();
    const failed = into(directory, stream(2, subvol("s"), commands, END), { host: folding });
    await expect(failed).rejects.toMatchObject({
      code: "exists",
      message: expect.stringMatching("this host takes the name for another one"),
    });
    const content = existsSync(join(directory, "s/Name")) && lstatSync(join(directory, "s/Name")).isFile();
    if (content) expect(["", "first"]).toContain(readFileSync(join(directory, "s/Name"), "utf8"));
  });

  test("one name may change its case, and another may have it when it is gone", async () => {
    const directory = newDirectory();
    const commands = [mkfile("name"), write("name", "x"), rename("name", "Name"), unlink("Name"), mkfile("NAME")];
    await into(directory, stream(2, subvol("s"), ...commands, END), { host: folding });
    expect(readdirSync(join(directory, "s"))).toEqual(["NAME"]);
  });

  test("what the host can't have is refused, for subvolumes too", async () => {
    const directory = newDirectory();
    const inside = into(directory, stream(2, subvol("s"), mkfile("a:b"), END), { host: folding });
    await expect(inside).rejects.toThrow(/this host can't have the name, it has the character ":"/);
    const renamed = into(directory, stream(2, subvol("t"), mkfile("a"), rename("a", "con.txt"), END), {
      host: folding,
    });
    await expect(renamed).rejects.toThrow(/it is the name of a device/);
    await expect(into(directory, stream(2, subvol("..\\u"), END), { host: folding })).rejects.toThrow(
      /has the character/,
    );
    const bytes = into(directory, stream(2, subvol("v"), mkfile(Uint8Array.of(0xff)), END), { host: folding });
    await expect(bytes).rejects.toThrow(/no UTF-8/);
  });
});

describe("what a host does not hold", () => {
  const all = [
    mkfile("f"),
    chown("f", 12345, 54321),
    chmod("f", 0o6755),
    mknod("n", 0x103, 0o20644),
    setXattr("f", "trusted.t", "v"),
  ];
  const user = (directory: string) =>
    new (class extends NodeDirectoryHost {
      override readonly isPrivileged = false;
      override setOwner(): boolean {
        return false;
      }
    })(directory);

  test("is in the sidecar, counted, and follows renames and links", async () => {
    const directory = newDirectory();
    const commands = [
      mkdir("d"),
      ...all,
      rename("f", "d/g"),
      link("h", "d/g"),
      utimes("d/g"),
      unlink("d/g"),
      rename("d", "e"),
    ];
    const { target } = await into(directory, stream(2, subvol("s"), ...commands, END), { host: user });
    expect(target.notHeld).toEqual({ owners: 1, modes: 1, nodes: 1, times: 0, xattrs: 1, verity: 0 });
    const id = sidecarLines(directory)[0]!.uuid;
    const lines = readFileSync(join(directory, `.btrkit/${id}.jsonl`), "utf8")
      .trimEnd()
      .split("\n")
      .slice(1);
    const sorted = lines.map((line) => JSON.parse(line)).sort((a, b) => (a.path < b.path ? -1 : 1));
    expect(sorted).toEqual([
      {
        path: "h",
        uid: 12345,
        gid: 54321,
        mode: 0o6755,
        xattrs: [{ name_b64: "dHJ1c3RlZC50", name: "trusted.t", value_b64: "dg==" }],
      },
      { path: "n", type: "char", rdev: { major: 1, minor: 3 } },
    ]);
    expect(lstatSync(join(directory, "s/h")).mode & 0o7777).toBe(0o755);
  });

  test.each(all.slice(1))("is an error where strict is asked for", async (command) => {
    const input = stream(2, subvol("s"), mkfile("f"), command, END);
    await expect(into(newDirectory(), input, { host: user, strict: true })).rejects.toMatchObject({
      code: "permission",
    });
  });

  test("setuid bits are set where that is asked for", async () => {
    const directory = newDirectory();
    const input = stream(2, subvol("s"), mkfile("f"), chmod("f", 0o4711), END);
    await into(directory, input, { host: user, preserveSetid: true });
    expect(lstatSync(join(directory, "s/f")).mode & 0o7777).toBe(0o4711);
  });

  test("modes that keep their owner out wait until the end, and increments get past them, in place too", async () => {
    const directory = newDirectory();
    const first = [mkdir("d"), mkfile("d/f"), write("d/f", "one"), chmod("d/f", 0o444), chmod("d", 0o555)];
    const next = [mkfile("d/g"), write("d/f", "two"), chmod("", 0o500)];
    await into(directory, stream(2, subvol("s", 1), ...first, chmod("", 0o555), write("d/f", "1"), END), {
      host: user,
    });
    await into(directory, stream(2, snapshot("t", 2, 1), ...next, END), { host: user });
    await into(directory, stream(2, snapshot("u", 3, 2), unlink("d/g"), END), { host: user, inPlace: true });
    const modes = (name: string) => ["", "d", "d/f"].map((path) => lstatSync(join(directory, name, path)).mode & 0o777);
    expect(modes("s")).toEqual([0o555, 0o555, 0o444]);
    expect(modes("u")).toEqual([0o500, 0o555, 0o444]);
    expect(readFileSync(join(directory, "s/d/f"), "utf8")).toBe("1ne");
    expect(readFileSync(join(directory, "u/d/f"), "utf8")).toBe("two");
    expect(readdirSync(join(directory, "u/d"))).toEqual(["f"]);
  });

  test("removing an attribute that only the sidecar has works once", async () => {
    const commands = [mkfile("f"), setXattr("f", "user.a", "1"), removeXattr("f", "user.a")];
    const directory = newDirectory();
    await into(directory, stream(2, subvol("s"), ...commands, END), { host: user });
    const again = stream(2, subvol("t"), ...commands, removeXattr("f", "user.a"), END);
    await expect(into(directory, again, { host: user })).rejects.toMatchObject({ code: "missing" });
  });
});

describe("in place", () => {
  const base = stream(
    2,
    subvol("s", 1),
    mkfile("a"),
    write("a", "content"),
    mkdir("d"),
    mkfile("d/b"),
    write("d/b", "other"),
    END,
  );
  const onto = async (...commands: Uint8Array[]) => {
    const directory = newDirectory();
    await into(directory, base);
    await into(directory, stream(2, snapshot("t", 2, 1), ...commands, END), { inPlace: true });
    return (path: string) => readFileSync(join(directory, "t", path), "utf8");
  };

  test("a clone out of the parent is made while its source is as it was", async () => {
    const read = await onto(mkfile("new"), clone("new", "d/b", 5), write("d/b", "OTHER"));
    expect([read("new"), read("d/b")]).toEqual(["other", "OTHER"]);
  });

  test.each([
    ["was written to", [write("a", "CONTENT"), mkfile("new"), clone("new", "a", 7)]],
    ["has another name", [rename("a", "x"), mkfile("new"), clone("new", "a", 7)]],
    ["was replaced", [unlink("a"), mkfile("a"), write("a", "CONTENT"), mkfile("new"), clone("new", "a", 7)]],
    [
      "is in a directory with another name",
      [rename("d", "e"), mkdir("d"), mkfile("d/b"), mkfile("new"), clone("new", "d/b", 0)],
    ],
    ["was written to by another name", [link("z", "a"), write("z", "CONTENT"), mkfile("new"), clone("new", "a", 7)]],
  ])("a clone out of the parent is refused when its source %s", async (_, commands) => {
    await expect(onto(...commands)).rejects.toMatchObject({ code: "missing" });
  });
});

describe("the sidecar", () => {
  test("is nothing that a stream may be called, and one process has it at a time", async () => {
    const directory = newDirectory();
    await expect(into(directory, stream(2, subvol(".btrkit"), END))).rejects.toThrow(
      ".btrkit is the name of the sidecar",
    );
    if (process.platform !== "linux") return;
    const { host, close } = openDirectoryHost(directory);
    const target = await DirectoryTarget.open(host, { path: directory });
    await expect(into(directory, streamBytes("small-v2"))).rejects.toMatchObject({ code: "busy" });
    target.close();
    close();
    await into(directory, streamBytes("small-v2"));
  });

  test("a line that a crash cut never counted; other rubbish is an error", async () => {
    const directory = newDirectory();
    await into(directory, streamBytes("small-v2"));
    const log = join(directory, ".btrkit/subvolumes.jsonl");
    const text = readFileSync(log, "utf8");
    writeFileSync(log, `${text}{"state":"gone","uu`);
    await into(directory, streamBytes("small-increment-v2"));
    expect(readFileSync(log, "utf8").startsWith(text)).toBe(true);
    expect(sidecarLines(directory)).toHaveLength(2);
    for (const rubbish of ["{}\n", "x\n", '{"state":"complete","path":"../x"}\n']) {
      writeFileSync(log, text + rubbish);
      await expect(into(directory, streamBytes("small-increment-v2"))).rejects.toMatchObject({ code: "corrupt" });
    }
    writeFileSync(log, text.replace('"version":1', '"version":2'));
    await expect(into(directory, streamBytes("small-increment-v2"))).rejects.toMatchObject({ code: "unsupported" });
  });

  test("a parent that somebody took away is not found; a new one is", async () => {
    const directory = newDirectory();
    await into(directory, streamBytes("small-v2"));
    rmSync(join(directory, "small-1"), { recursive: true });
    await expect(into(directory, streamBytes("small-increment-v2"))).rejects.toThrow("cannot find parent subvolume");
    await into(directory, streamBytes("small-v2"));
    await into(directory, streamBytes("small-increment-v2"));
    expect(sidecarLines(directory).map(({ path }) => path)).toContain("small-2");
  });
});
