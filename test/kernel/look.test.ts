import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openFilesystem, UsageCounter } from "../../src/index.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { btrkit } from "../cli/support.ts";
import { applyHistory } from "./support/apply.ts";
import { asPeer, compsize, type Peer } from "./support/compsize.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory } from "./support/history.ts";
import { describeKernel, hasTool } from "./support/host.ts";

// Random histories of everything that a kernel can do to files, and what `compsize` and `stat` say of them while they
// are mounted, against what is counted and told from the image afterwards.
const seeds = [11, 12, 13, 14];

describeKernel("images beside the mounted filesystem", () => {
  test.skipIf(!hasTool("compsize")).for(seeds)("counts equal those of compsize, seed %i", async (seed) => {
    await using filesystem = await TestFilesystem.make();
    await applyHistory(filesystem.directory, makeHistory({ seed, profile: "everything", steps: 250 }));
    await filesystem.sync();
    const places = ["", ...readdirSync(filesystem.directory)];
    const peer = new Map<string, Peer>();
    for (const place of places) peer.set(place, await compsize(join(filesystem.directory, place)));
    await filesystem.unmount();
    await using image = await openFilesystem([await openFileDevice(filesystem.images[0]!)]);
    for (const place of places) {
      const counter = new UsageCounter();
      await counter.add(await image.lookup(place));
      expect(asPeer(counter.usage), place).toEqual(peer.get(place));
    }
    expect(peer.get("")!.extents).toBeGreaterThan(10);
  });

  test.for(seeds)("ls --long tells what stat(2) tells, seed %i", async (seed) => {
    await using filesystem = await TestFilesystem.make();
    await applyHistory(filesystem.directory, makeHistory({ seed, profile: "everything", steps: 250 }));
    await filesystem.remount("ro");
    const mounted = new Map<string, Told>();
    tell(Buffer.from(filesystem.directory), "/", mounted);
    await filesystem.unmount();
    const { stdout, status } = btrkit(["ls", "-aRl", "--format", "jsonl", filesystem.images[0]!]);
    expect(status).toBe(0);
    const rows = stdout
      .toString()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const found = new Map(rows.map((row) => [pathOf(row), toldBy(row)]));
    expect(found.size).toBeGreaterThan(20);
    expect(found).toEqual(mounted);
  });
});

/** What is told of one file, in words and numbers that both sides have. */
type Told = Readonly<Record<string, unknown>>;

/** Everything below a mounted directory. @param path Its own; a character is a byte, with a slash at the end. */
function tell(directory: Buffer, path: string, found: Map<string, Told>): void {
  for (const name of readdirSync(directory, { encoding: "buffer" })) {
    const child = Buffer.concat([directory, Buffer.from("/"), name]);
    const stat = lstatSync(child, { bigint: true });
    const childPath = `${path}${name.toString("latin1")}`;
    const { mode, nlink, uid, gid, size, ino, atimeNs, ctimeNs, mtimeNs, birthtimeNs } = stat;
    const numbers = { mode: mode & 0o7777n, nlink, uid, gid, size, inode: ino };
    // A kernel makes up the times of what stands in for a nested subvolume in a snapshot.
    const times = ino === 2n ? {} : { atime: atimeNs, ctime: ctimeNs, mtime: mtimeNs, otime: birthtimeNs };
    found.set(childPath, { ...numbers, ...times });
    if (stat.isDirectory()) tell(child, `${childPath}/`, found);
  }
}

interface Row {
  readonly path: string;
  readonly path_b64?: string;
  readonly inode: number;
  readonly [field: string]: unknown;
}

function pathOf({ path, path_b64 }: Row): string {
  return (path_b64 === undefined ? Buffer.from(path) : Buffer.from(path_b64, "base64")).toString("latin1");
}

function toldBy(row: Row): Told {
  const number = (field: string) => BigInt(row[field] as number | string);
  const time = (field: string) => {
    const { sec, nsec } = row[field] as { sec: number; nsec: number };
    return BigInt(sec) * 1_000_000_000n + BigInt(nsec);
  };
  const fields = ["mode", "nlink", "uid", "gid", "size", "inode"].map((field) => [field, number(field)] as const);
  const names = row.inode === 2 ? [] : ["atime", "ctime", "mtime", "otime"];
  return Object.fromEntries([...fields, ...names.map((field) => [field, time(field)] as const)]);
}
