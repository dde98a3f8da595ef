import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { cleanDirectory } from "../src/node/directory-cleanup.ts";
import { DirectoryTarget, type DirectoryTargetOptions } from "../src/node/directory-target.ts";
import { NodeDirectoryHost } from "../src/node/node-directory-host.ts";
import { receive } from "../src/receive/receive.ts";
import type { Handle } from "../src/restore/target.ts";
import { chmod, chown, mkdir, mkfile, rename, snapshot, subvol } from "./support/raw-commands.ts";
import { commandOf, END, stream, time } from "./support/raw-stream.ts";
import { sidecarLines } from "./support/sidecar-tree.ts";

// What a plain directory must keep: what is another's under the same name, the order in which things become durable, and the
// place of what is being written while names move.

const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "btrkit-keeping-"));
  made.push(directory);
  return directory;
}

async function into(
  directory: string,
  input: Uint8Array,
  host = new NodeDirectoryHost(directory),
  options: Partial<DirectoryTargetOptions> = {},
): Promise<void> {
  const target = await DirectoryTarget.open(host, {
    path: directory,
    ...options,
  });
  try {
    await receive(input, target);
  } finally {
    target.close();
  }
}

const clean = (directory: string) => cleanDirectory(new NodeDirectoryHost(directory), { remove: true });
const states = (directory: string) => sidecarLines(directory).map(({ path, state }) => [path, state]);

const FULL = stream(2, subvol("s", 1), mkfile("a"), END);
const INCREMENT = stream(2, snapshot("t", 2, 1), mkfile("b"), END);

test("cleaning up leaves a complete subvolume that has the name of an unfinished one", async () => {
  const directory = newDirectory();
  await expect(into(directory, FULL.subarray(0, FULL.byteLength - 10))).rejects.toThrow();
  // Taken away by hand, and received again.
  rmSync(join(directory, "s"), { recursive: true });
  await into(directory, FULL);
  expect(states(directory)).toEqual([
    ["s", "receiving"],
    ["s", "complete"],
  ]);
  clean(directory);
  expect(existsSync(join(directory, "s/a"))).toBe(true);
  expect(states(directory)).toEqual([["s", "complete"]]);
  await into(directory, INCREMENT);
});

test("a subvolume is complete only when all of it has been flushed, and that is made durable", async () => {
  const directory = newDirectory();
  const events: string[] = [];
  class Watched extends NodeDirectoryHost {
    override async flush(): Promise<void> {
      events.push(`flush, ${states(directory).join()}`);
      await super.flush();
    }
    override syncFile(handle: Handle): void {
      events.push(`sync, ${existsSync(join(directory, "s"))}, ${states(directory).join()}`);
      super.syncFile(handle);
    }
  }
  await into(directory, FULL, new Watched(directory));
  expect(events[0]).toBe("sync, false, s,receiving");
  expect(events.slice(-2)).toEqual(["flush, s,receiving", "sync, true, s,complete"]);
});

test("what could not be flushed is unfinished, and nothing of it stays behind when it is cleaned up", async () => {
  const directory = newDirectory();
  class Failing extends NodeDirectoryHost {
    override setOwner(): boolean {
      return false;
    }
    override async flush(): Promise<void> {
      throw Object.assign(new Error("lost"), { code: "EIO" });
    }
  }
  const input = stream(2, subvol("s", 1), mkfile("a"), chown("a", 12345, 54321), END);
  await expect(into(directory, input, new Failing(directory))).rejects.toThrow("lost");
  expect(readdirSync(join(directory, ".btrkit"))).toHaveLength(2);
  expect(states(directory)).toEqual([["s", "receiving"]]);
  expect(clean(directory)).toEqual([{ name: "s", state: "removed" }]);
  expect(readdirSync(join(directory, ".btrkit"))).toEqual(["subvolumes.jsonl"]);
});

test("differences of which only a part was written are taken away when it is cleaned up", async () => {
  const directory = newDirectory();
  class Failing extends NodeDirectoryHost {
    override setOwner(): boolean {
      return false;
    }
    override move(): void {
      throw Object.assign(new Error("lost"), { code: "EIO" });
    }
  }
  const input = stream(2, subvol("s", 1), mkfile("a"), chown("a", 12345, 54321), END);
  await expect(into(directory, input, new Failing(directory))).rejects.toThrow("lost");
  const [{ uuid } = { uuid: "" }] = sidecarLines(directory);
  expect(readdirSync(join(directory, ".btrkit"))).toContain(`${uuid}.part`);
  expect(clean(directory)).toEqual([{ name: "s", state: "removed" }]);
  expect(readdirSync(join(directory, ".btrkit"))).toEqual(["subvolumes.jsonl"]);
});

test("a line that was cut leaves nothing behind, however long it was", async () => {
  const directory = newDirectory();
  await into(directory, FULL);
  const log = join(directory, ".btrkit/subvolumes.jsonl");
  const whole = readFileSync(log, "utf8");
  writeFileSync(log, `${whole}${"x".repeat(5000)}`);
  await into(directory, INCREMENT);
  const text = readFileSync(log, "utf8");
  expect([text.startsWith(whole), text.includes("x".repeat(10))]).toEqual([true, false]);
  expect(states(directory)).toEqual([
    ["s", "complete"],
    ["t", "complete"],
  ]);
});

test("a parent whose place something else has taken is not found; a copy that can't be made is taken away", async () => {
  const directory = newDirectory();
  await into(directory, FULL);
  await expect(
    into(directory, INCREMENT, undefined, {
      signal: AbortSignal.abort(new Error("stopped")),
    }),
  ).rejects.toThrow("stopped");
  expect(readdirSync(directory).sort()).toEqual([".btrkit", "s"]);
  expect(states(directory)).toEqual([["s", "complete"]]);
  rmSync(join(directory, "s"), { recursive: true });
  writeFileSync(join(directory, "s"), "");
  await expect(into(directory, INCREMENT)).rejects.toThrow("cannot find parent subvolume");
});

test("what is below a directory that has moved is found where the paths lead now", async () => {
  const directory = newDirectory();
  const again = [mkdir("a"), mkdir("a/s")];
  await into(
    directory,
    stream(2, subvol("s", 1), ...again, mkfile("a/s/x"), rename("a", "b"), ...again, mkfile("a/s/y"), END),
  );
  expect([readdirSync(join(directory, "s/a/s")), readdirSync(join(directory, "s/b/s"))]).toEqual([["y"], ["x"]]);
});

test("setuid bits need the owner; a mode that had to wait does not outlive the next one", async () => {
  const directory = newDirectory();
  class Ownerless extends NodeDirectoryHost {
    override readonly isPrivileged: boolean = true;
    override setOwner(): boolean {
      return false;
    }
  }
  class User extends Ownerless {
    override readonly isPrivileged = false;
  }
  const setid = stream(2, subvol("s", 1), mkfile("a"), chown("a", 12345, 54321), chmod("a", 0o6755), END);
  await into(directory, setid, new Ownerless(directory));
  expect(statSync(join(directory, "s/a")).mode & 0o7777).toBe(0o755);
  const twice = stream(2, subvol("u", 2), mkfile("a"), chmod("a", 0o40), chmod("a", 0o644), END);
  await into(directory, twice, new User(directory));
  expect(statSync(join(directory, "u/a")).mode & 0o7777).toBe(0o644);
});

test("times that the host cuts off at its last second are in the sidecar, be it by a fraction, or of access only", async () => {
  const directory = newDirectory();
  const last = 15_032_385_535n;
  class Ext4 extends NodeDirectoryHost {
    override setTimes(handle: Handle, name: Uint8Array | undefined, atime: bigint, mtime: bigint): boolean {
      const cut = (at: bigint): bigint => (at > last * SECOND ? last * SECOND : at);
      return super.setTimes(handle, name, cut(atime), cut(mtime));
    }
  }
  const times = (path: string, atime: Uint8Array, mtime: Uint8Array) => [
    mkfile(path),
    commandOf(2, 20, [
      [15, path],
      [11, atime],
      [10, mtime],
      [9, time(7)],
    ]),
  ];
  const commands = [
    ...times("a", time(1), time(last, 999_999_999)),
    ...times("b", time(last + 5n), time(1)),
    ...times("c", time(1), time(last)),
    ...times("d", time(1), time(last - 9n, 500_000_000)),
  ];
  await into(directory, stream(2, subvol("s", 1), ...commands, END), new Ext4(directory));
  const [{ uuid } = { uuid: "" }] = sidecarLines(directory);
  const lines = readFileSync(join(directory, `.btrkit/${uuid}.jsonl`), "utf8")
    .trimEnd()
    .split("\n")
    .slice(1);
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
    { path: "a", atime_ns: `${SECOND}`, mtime_ns: `${last * SECOND + 999_999_999n}` },
    { path: "b", atime_ns: `${(last + 5n) * SECOND}`, mtime_ns: `${SECOND}` },
  ]);
});

const SECOND = 1_000_000_000n;
