import { expect, test } from "vitest";
import { viewOf } from "../src/bytes/bytes.ts";
import { OverlayDevice } from "../src/device/overlay.ts";
import type { ByteSource } from "../src/device/source.ts";
import { DirItem, dirEntryEnd } from "../src/format/dir-item.ts";
import { InodeItem } from "../src/format/inode.ts";
import { keyOf } from "../src/format/key.ts";
import { DIR_INDEX, INODE_ITEM } from "../src/format/key-type.ts";
import { itemSize, itemStart, slotType } from "../src/format/node.ts";
import type { DirectoryEntry } from "../src/fs/directory.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { joinPath } from "../src/fs/path.ts";
import { findMatches, lastName, type OnLostMatch } from "../src/restore/glob.ts";
import type { RestoreProblem } from "../src/restore/report.ts";
import { type LostSource, type RestoreOptions, restore } from "../src/restore/restore.ts";
import { Restorer } from "../src/restore/restorer.ts";
import { seal } from "./support/damage.ts";
import { EditedImage } from "./support/edit-image.ts";
import { latin, MemoryTarget } from "./support/memory-target.ts";
import { everyNode, regularExtents } from "./support/volume-walk.ts";
import { imageFixtures, imageSource, imageTree, type TreeEntry } from "./support.ts";

const utf8 = new TextEncoder();

interface Restoring extends RestoreOptions {
  readonly target?: MemoryTarget;
  readonly paths?: readonly string[];
  /** As if several threads did it: files from this size on are cut. */
  readonly largeBytes?: number;
  readonly isNew?: boolean;
}

async function restored(sources: readonly ByteSource[], options: Restoring = {}) {
  const { target = new MemoryTarget(), paths = ["/"], largeBytes = Number.POSITIVE_INFINITY, isNew = true } = options;
  const filesystem = await openFilesystem(sources);
  const { overwrite = false, dryRun = false } = options;
  const common = { overwrite, dryRun, largeBytes, stop: { throwIfAborted() {} } };
  const restorers = await Promise.all(
    ["a", "b"].map((token) => Restorer.make(filesystem, target, { ...common, token })),
  );
  const queues = restorers.map((): Promise<unknown> => Promise.resolve());
  let turn = 0;
  const runner = {
    width: 4,
    filesBelow: largeBytes,
    run: (job: Parameters<Restorer["run"]>[0]) => {
      const index = turn++ % 2;
      const result = queues[index]!.then(() => restorers[index]!.run(job));
      queues[index] = result.catch(() => {});
      return result;
    },
  };
  const top = await filesystem.top();
  const lost: LostSource[] = [];
  const lose: OnLostMatch = (path, error) => lost.push({ path, error });
  const matches = await Promise.all(paths.map((path) => findMatches(top, utf8.encode(path), lose)));
  const problems: RestoreProblem[] = [];
  const summary = await restore(
    matches.flat().map((inode) => ({ inode, name: lastName(inode.path!), isNew })),
    target,
    runner,
    { ...options, lost, onProblem: (problem) => problems.push(problem) },
  );
  expect(target.openHandles).toBe(0);
  return { target, summary, problems };
}

function devicesOf(name: string, devices: number): ByteSource[] {
  return Array.from({ length: devices }, (_, index) => imageSource(name, index + 1));
}

/** What a restore can bring back of what the kernel showed. */
function comparable(tree: readonly TreeEntry[]): unknown[] {
  return tree.map(({ inode: _inode, ctime: _ctime, data, ...entry }) => ({
    ...entry,
    ...(entry.type === "file" ? { data: data ?? [] } : {}),
  }));
}

const ways = imageFixtures().flatMap((fixture) => [
  { ...fixture, way: "plain files at once", withoutFileCalls: false },
  { ...fixture, way: "all the long way", withoutFileCalls: true },
]);

test.for(ways)(
  "$name, $way: what is restored equals what the kernel shows: names, content, holes, links, attributes",
  async ({ name, devices, withoutFileCalls }) => {
    const { target, summary, problems } = await restored(devicesOf(name, devices), {
      target: new MemoryTarget({ withoutFileCalls }),
      largeBytes: 50_000,
    });
    if (withoutFileCalls) expect(target.plainNames).toEqual([]);
    else expect(target.plainNames.length).toBeGreaterThan(0);
    expect(problems).toEqual([]);
    // Where a snapshot has no copy of a nested subvolume, the kernel makes up a directory, new with every mount.
    const madeUp = new Set(imageTree(name).flatMap((entry) => (entry.inode === 2 ? [entry.path] : [])));
    const known = (tree: readonly TreeEntry[]) => tree.filter(({ path }) => !madeUp.has(path));
    const byPath = (a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1);
    expect(comparable(known(target.tree()).sort(byPath))).toEqual(comparable(known(imageTree(name)).sort(byPath)));
    expect(summary.lostBytes + summary.damagedFiles + summary.ownersNotHeld).toBe(0);
  },
);

test("owner, mode, xattrs and times come in this order, after all data", async () => {
  const { target } = await restored(devicesOf("everything", 1));
  const withXattrs = target.tree().filter(({ type, xattrs }) => type === "file" && xattrs !== undefined);
  expect(withXattrs.length).toBeGreaterThan(0);
  for (const { path } of withXattrs) {
    const text = target.node(path)!.steps.join(" ");
    expect(text).toMatch(/^(write )*owner mode (xattr )+times$/);
  }
});

// With SELinux, every file has one.
test.for([false, true])(
  "attributes that the host holds, or not (%s), take no file the long way",
  async (withoutXattrs) => {
    const tree = imageTree("everything");
    const wanted = tree.filter(
      ({ path, type, size, nlink = 1, xattrs }) =>
        path.startsWith("vol/") && type === "file" && size! < 50_000 && nlink === 1 && xattrs !== undefined,
    );
    expect(wanted.length).toBeGreaterThan(1);
    const target = new MemoryTarget({ withoutXattrs });
    const { summary } = await restored(devicesOf("everything", 1), { target, largeBytes: 50_000 });
    const names = wanted.map(({ path }) => path.slice(path.lastIndexOf("/") + 1));
    expect(target.plainNames).toEqual(expect.arrayContaining(names));
    for (const { path, xattrs } of wanted) expect(target.node(path)!.xattrs).toEqual(withoutXattrs ? {} : xattrs);
    const first = tree.filter(({ link }) => link === undefined);
    const count = first.flatMap(({ xattrs = {} }) => Object.keys(xattrs)).length;
    expect(summary.xattrsNotHeld).toBe(withoutXattrs ? count : 0);
  },
);

test("whoever is not root gets all content, and a count of what was not to be had", async () => {
  const { target, summary, problems } = await restored(devicesOf("everything", 1), {
    target: new MemoryTarget({ asAnybody: true }),
    paths: ["/vol"],
  });
  expect(problems).toEqual([]);
  const wanted = imageTree("everything").filter(({ path }) => path.startsWith("vol/"));
  const devices = wanted.filter(({ rdev }) => rdev !== undefined).length;
  expect(devices).toBeGreaterThan(0);
  expect(summary.specialsNotHeld).toBe(devices);
  expect(summary.xattrsNotHeld).toBeGreaterThan(0);
  expect(summary.ownersNotHeld).toBeGreaterThan(0);
  const sums = (tree: readonly TreeEntry[]) =>
    tree.flatMap(({ path, sha256 }) => (sha256 ? [[path, sha256]] : [])).sort();
  expect(sums(target.tree())).toEqual(sums(wanted));
  // A setuid bit means something only with its owner.
  expect(target.tree().every(({ type, mode }) => type === "dir" || (mode & 0o6000) === 0)).toBe(true);
});

test("what is there already is left alone, or with overwrite replaced, and never a directory by a file", async () => {
  const sources = devicesOf("compressed", 1);
  const { target } = await restored(sources, { paths: ["/zlib"] });
  const before = target.tree();
  const count = before.filter(({ type }) => type !== "dir").length;
  const again = await restored(sources, { target, paths: ["/zlib"], isNew: false });
  expect(again.problems.map(({ kind }) => kind)).toEqual(Array.from({ length: count }, () => "exists"));
  expect(again.summary.files).toBe(0);
  expect(target.tree()).toEqual(before);

  const { path } = before.find(({ type, size }) => type === "file" && size! > 0)!;
  const handle = target.openDirectory(utf8.encode("zlib"));
  target.remove(handle, utf8.encode(path.slice(5)));
  target.makeDirectory(handle, utf8.encode(path.slice(5)));
  target.close(handle);
  const over = await restored(sources, { target, paths: ["/zlib"], isNew: false, overwrite: true });
  expect(over.problems.map(({ kind }) => kind)).toEqual(["exists"]);
  expect(over.summary.files).toBe(count - 1);
});

test("a dry run writes nothing, counts the same, and sees what is in the way", async () => {
  const sources = devicesOf("everything", 1);
  const real = await restored(sources);
  const dry = await restored(sources, { dryRun: true });
  expect(dry.target.tree()).toHaveLength(1);
  const { files, directories, symlinks, specials, hardLinks, fileBytes } = real.summary;
  expect(dry.summary).toMatchObject({ files, directories, symlinks, specials, hardLinks, fileBytes, bytes: 0 });
  const blocked = await restored(sources, { target: real.target, dryRun: true, isNew: false });
  expect(blocked.summary.files).toBe(0);
  expect(blocked.summary.problems.exists).toBeGreaterThan(100);
});

test("globs match names, a slash at the end means what is inside, and nothing is an error", async () => {
  const sources = devicesOf("compressed", 1);
  const names = async (...paths: string[]) => {
    const { target } = await restored(sources, { paths });
    return [...target.root.entries.keys()].sort();
  };
  expect(await names("/z*")).toEqual(["zlib", "zstd"]);
  expect(await names("/[!z]??")).toEqual(["lzo"]);
  expect(await names("/lzo", "/zstd")).toEqual(["lzo", "zstd"]);
  await expect(names("/q*")).rejects.toMatchObject({ code: "missing" });
  // As in a shell, a range that goes backwards matches nothing.
  await expect(names("/[z-a]*")).rejects.toMatchObject({ code: "missing" });
});

test("what matches and can't be read is lost and named, and the other matches are restored", async () => {
  const image = new EditedImage("compressed");
  const directory = await (await image.open()).lookup("zstd");
  const entries: DirectoryEntry[] = [];
  for await (const batch of directory.readDirectory()) entries.push(...batch);
  const bad = entries.find(({ kind }) => kind === "file")!;
  await image.editItem(directory.subvolume.id, keyOf(bad.inode, INODE_ITEM, 0n), (data) => {
    new InodeItem(viewOf(data)).mode = 0o010644;
  });
  const { target, summary, problems } = await restored([image.store], { paths: ["/zstd/*"] });
  expect(target.root.entries.size).toBe(entries.length - 1);
  const path = joinPath(utf8.encode("zstd"), bad.name);
  expect(problems).toMatchObject([{ kind: "lost", path }]);
  expect(summary.problems.lost).toBe(1);
  const only = utf8.encode(`/zstd/[${latin(bad.name)[0]}]${latin(bad.name).slice(1)}`);
  expect(await restored([image.store], { paths: [latin(only)] })).toMatchObject({ summary: { problems: { lost: 1 } } });
  await expect(findMatches(await (await image.open()).top(), only)).rejects.toMatchObject({ code: "corrupt" });
});

// Copies of one extent are damaged: on `single` data nothing can repair it.
test("lost bytes become holes that the report names; everything else is restored", async () => {
  const store = new OverlayDevice(imageSource("everything"));
  const whole = await restored([store]);
  const volume = (await openFilesystem([store])).volume;
  const extents = await regularExtents(volume, 256n);
  const plain = extents.find(({ compression, diskBytes }) => compression === 0 && diskBytes >= 3 * 4096)!;
  for (const { physical } of volume.copiesOf(plain.logical + 4096, 1))
    await store.write(physical, Uint8Array.of(1, 2, 3));
  const { target, summary, problems } = await restored([store], { largeBytes: 50_000 });
  expect(problems.length).toBeGreaterThan(0);
  expect(problems.every(({ kind, range }) => kind === "lost" && range !== undefined)).toBe(true);
  expect(problems.every(({ range }) => range!.end - range!.start === 4096n)).toBe(true);
  expect(summary.lostBytes).toBe(problems.length * 4096);
  const damaged = new Set(problems.map(({ path }) => Buffer.from(path).toString("latin1")));
  expect(summary.damagedFiles).toBeGreaterThanOrEqual(1);
  const before = new Map(whole.target.tree().map((entry) => [entry.path, entry]));
  for (const entry of target.tree()) {
    const was = before.get(entry.path)!;
    if (damaged.has(entry.link ?? entry.path)) expect(entry.sha256).not.toBe(was.sha256);
    else expect(entry).toEqual(was);
    expect(entry.size).toBe(was.size);
  }
});

// Names that would lead elsewhere, in leaves whose checksums are right.
test.each(["/", "\0"])("a name with %j in it goes nowhere; the names beside it are restored", async (bad) => {
  const store = new OverlayDevice(imageSource("everything"));
  const changed = await renameAll(store, (name) => {
    if (name.byteLength > 2) name[1] = bad.charCodeAt(0);
    return name.byteLength > 2;
  });
  expect(changed).toBeGreaterThan(10);
  const { summary, target } = await restored([store]);
  expect(summary.problems.lost).toBeGreaterThan(0);
  expect(target.tree().every(({ path }) => !path.includes("\0"))).toBe(true);
});

test("names that are dots go nowhere", async () => {
  const store = new OverlayDevice(imageSource("everything"));
  const changed = await renameAll(store, (name) => {
    if (name.byteLength <= 2) name.fill(0x2e);
    return name.byteLength <= 2;
  });
  expect(changed).toBeGreaterThan(0);
  const { summary } = await restored([store]);
  expect(summary.problems.lost).toBeGreaterThan(0);
});

test("a directory inside of itself ends", async () => {
  const store = new OverlayDevice(imageSource("everything"));
  const changed = await editEntries(store, (entry, view, at) => {
    if (entry.type !== 2) return false;
    // All directories are one: that of the number of the first.
    view.setBigUint64(at, 257n, true);
    view.setUint8(at + 8, 1);
    return true;
  });
  expect(changed).toBeGreaterThan(3);
  const { summary, problems } = await restored([store]);
  expect(summary.problems.lost).toBeGreaterThan(0);
  expect(problems.some(({ sentence }) => sentence.includes("second name"))).toBe(true);
});

function renameAll(store: OverlayDevice, rename: (name: Uint8Array) => boolean): Promise<number> {
  return editEntries(store, (entry, view, at) => {
    const nameAt = view.byteOffset + at + DirItem.byteLength;
    return rename(new Uint8Array(view.buffer, nameAt, entry.nameLen));
  });
}

/** Edits entries in directories' indexes, in every copy, and gives each node its checksum. */
async function editEntries(
  store: OverlayDevice,
  edit: (entry: InstanceType<typeof DirItem>, view: DataView, at: number) => boolean,
): Promise<number> {
  const { volume } = await openFilesystem([store]);
  let changed = 0;
  for await (const { node } of everyNode(volume)) {
    if (node.level > 0 || node.owner < 256n || node.owner > 1000n) continue;
    const bytes = node.bytes.slice();
    const view = viewOf(bytes);
    for (let slot = 0; slot < node.count; slot++) {
      if (slotType(node, slot) !== DIR_INDEX) continue;
      const end = itemStart(node, slot) + itemSize(node, slot);
      for (let at = itemStart(node, slot); at < end; at = dirEntryEnd(view, at)) {
        if (edit(new DirItem(view, at), view, at)) changed++;
      }
    }
    await seal(bytes, volume.checksum.type);
    for (const { physical } of volume.copiesOf(node.logical, bytes.byteLength)) await store.write(physical, bytes);
  }
  return changed;
}
