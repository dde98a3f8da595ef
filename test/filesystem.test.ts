import { describe, expect, test } from "vitest";
import { viewOf } from "../src/bytes/bytes.ts";
import { newStruct } from "../src/bytes/struct.ts";
import { encodedExtents } from "../src/encoded/extents.ts";
import { encodedReader } from "../src/encoded/read.ts";
import type { BtrfsError } from "../src/errors.ts";
import { DirItem, FT_REG_FILE } from "../src/format/dir-item.ts";
import { decodeFileExtent, FileExtentItem, type StoredExtent } from "../src/format/file-extent.ts";
import { InodeItem, S_IFDIR, S_IFREG } from "../src/format/inode.ts";
import { compareKeys, encodeKey, itemsOf, type Key, keyOf } from "../src/format/key.ts";
import { DIR_INDEX, DIR_ITEM, EXTENT_DATA, INODE_ITEM, ROOT_BACKREF, ROOT_REF } from "../src/format/key-type.ts";
import { ItemHeader, itemBytes, keyAt, slotKey } from "../src/format/node.ts";
import type { DirectoryEntry } from "../src/fs/directory.ts";
import { extentEnd } from "../src/fs/extents.ts";
import { type Filesystem, openFilesystem } from "../src/fs/filesystem.ts";
import type { Inode } from "../src/fs/inode.ts";
import { isSafeName, lookupPath } from "../src/fs/path.ts";
import { Subvolume, type SubvolumeInfo } from "../src/fs/subvolume.ts";
import { walk } from "../src/fs/walk.ts";
import { nameHash } from "../src/tree/hash.ts";
import { NodeTree } from "../src/tree/tree.ts";
import type { VolumeEvent } from "../src/volume/events.ts";
import { type BuiltItem, BuiltTree } from "./support/build-tree.ts";
import { EditedImage } from "./support/edit-image.ts";
import { imageSource, imageTree } from "./support.ts";

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("latin1");
const open = (name: string) => openFilesystem([imageSource(name)]);

async function namesIn(directory: Inode, onDamage?: (error: BtrfsError) => void): Promise<string[]> {
  const names: string[] = [];
  for await (const entries of directory.readDirectory({ onDamage }))
    names.push(...entries.map(({ name }) => text(name)));
  return names;
}

describe("paths", () => {
  test("dots, doubled and trailing slashes are what they are to Linux", async () => {
    const filesystem = await open("everything");
    const numbers = async (...paths: string[]) => {
      const found: string[] = [];
      for (const path of paths) {
        const { subvolume, number } = await filesystem.lookup(path);
        found.push(`${subvolume.id} ${number}`);
      }
      return found;
    };
    expect(await numbers("", "/", "..", "/../.", "vol/..", "vol/moves/../../vol/./..")).toEqual(Array(6).fill("5 256"));
    expect(await numbers("vol", "/vol/", "//vol//.", "vol/moves/nested/..//..")).toEqual(Array(4).fill("256 256"));
    expect(await numbers("vol/moves/nested", "vol/moves/nested/file")).toEqual(["258 256", "258 257"]);
    for (const path of ["vol/data/big/", "vol/data/big/.", "vol/data/big/..", "vol/data/big/x"]) {
      await expect(filesystem.lookup(path)).rejects.toMatchObject({ code: "kind" });
    }
    const missing = filesystem.lookup("vol/data/Big/x");
    await expect(missing).rejects.toMatchObject({ code: "missing", where: { path: "vol/data/Big" } });
    await expect(filesystem.lookup("x".repeat(300))).rejects.toMatchObject({ code: "missing" });
  });

  test("names are bytes: one that is not UTF-8 is found by its bytes only", async () => {
    const filesystem = await open("everything");
    const { subvolume, path } = await filesystem.lookup(Buffer.from("n\xf6t utf-8", "latin1"));
    expect([subvolume.id, text(path)]).toEqual([260n, "n\xf6t utf-8"]);
    await expect(filesystem.lookup("n\xf6t utf-8")).rejects.toMatchObject({ code: "missing" });
  });

  test("symlinks are followed only when asked for, and never out of where the path begins", async () => {
    const filesystem = await open("everything");
    const link = await filesystem.lookup("vol/kinds/symlink");
    expect([link.kind, text(await link.readSymlink())]).toEqual(["symlink", "../data/big"]);
    await expect(filesystem.lookup("vol/kinds/symlink/")).rejects.toMatchObject({ code: "kind" });
    const followSymlinks = true;
    expect((await filesystem.lookup("vol/kinds/symlink", { followSymlinks })).number).toBe(264n);
    const from = await filesystem.lookup("vol/kinds");
    await expect(filesystem.lookup("symlink", { followSymlinks, from })).rejects.toMatchObject({ code: "missing" });
    expect((await filesystem.lookup("../../dir", { from })).number).toBe(284n);
  });

  test("a symlink to itself ends, and an absolute one begins where the path did", async () => {
    const image = new EditedImage("everything");
    const targetOf = async (path: string, target: string) => {
      const { subvolume, number, stat } = await (await image.open()).lookup(path);
      const padded = Buffer.from(target.padStart(Number(stat.size), "/"), "latin1");
      await image.editItem(subvolume.id, keyOf(number, EXTENT_DATA, 0n), (data) => data.set(padded, 21));
    };
    await targetOf("vol/kinds/symlink", "./symlink");
    await targetOf("vol/kinds/symlink-2", "symlink-2");
    await targetOf("vol/kinds/symlink-long", "data");
    const filesystem = await image.open();
    const followSymlinks = true;
    const round = filesystem.lookup("vol/kinds/symlink-2", { followSymlinks });
    await expect(round).rejects.toMatchObject({ code: "limit" });
    const from = await filesystem.lookup("vol");
    expect((await filesystem.lookup("kinds/symlink-long/big", { followSymlinks, from })).number).toBe(264n);
    await expect(filesystem.lookup("vol/kinds/symlink-long", { followSymlinks })).rejects.toMatchObject({
      code: "missing",
    });
  });

  test.each([
    ["ordinary", true],
    ["", false],
    [".", false],
    ["..", false],
    ["...", true],
    ["a/b", false],
    ["a\0b", false],
    ["x".repeat(255), true],
    ["x".repeat(256), false],
  ])("a host may have %j: %s", (name, isSafe) => {
    expect(isSafeName(Buffer.from(name, "latin1"))).toBe(isSafe);
  });
});

describe("subvolumes", () => {
  test("the default one is what was set, and the top level where nothing was", async () => {
    expect((await (await open("everything")).defaultSubvolume()).id).toBe(256n);
    expect((await (await open("dup")).defaultSubvolume()).id).toBe(5n);
  });

  test("a snapshot has an empty directory for a subvolume inside of what it is of", async () => {
    const filesystem = await open("everything");
    const nested = await filesystem.lookup("second/moves/nested");
    expect([nested.number, nested.isPlaceholder, nested.stat.mode]).toEqual([2n, true, 0o755]);
    expect(await namesIn(nested)).toEqual([]);
    expect([await nested.findEntry("file"), await nested.xattrs(), await nested.names()]).toEqual([undefined, [], []]);
    await expect(filesystem.lookup("second/moves/nested/file")).rejects.toMatchObject({ code: "missing" });
  });

  test("deleted and unknown ones can't be opened", async () => {
    const filesystem = await open("everything");
    for (const id of [261n, 7n, 1n << 60n, 0n]) {
      await expect(filesystem.subvolume(id)).rejects.toMatchObject({ code: "missing", where: { tree: id } });
    }
  });
});

describe("subvolumes inside of each other", () => {
  /** Gives an item of the root tree another offset: who refers to whom. */
  async function refer(image: EditedImage, key: Key, offset: bigint): Promise<void> {
    const { volume } = await image.open();
    const span = await volume.rootTree.find(key, "exact");
    const at = keyAt(span!.leaf, span!.first) + ItemHeader.offsets.keyOffset;
    await image.editNode(span!.leaf.logical, (bytes) => viewOf(bytes).setBigUint64(at, offset, true));
  }

  test("in a ring they have no paths, and the others have theirs", async () => {
    const image = new EditedImage("everything");
    const sound = await (await image.open()).subvolumes();
    const nested = sound.find(({ path }) => text(path) === "vol/moves/nested")!;
    await refer(image, keyOf(256n, ROOT_BACKREF, 5n), nested.id);
    const listed = await (await image.open()).subvolumes();
    const inRing = [256n, nested.id];
    expect(listed.map(({ id, path }) => [id, inRing.includes(id) ? undefined : text(path)])).toEqual(
      listed.map(({ id, path }) => [id, path && text(path)]),
    );
    const others = ({ id }: { id: bigint }) => !inRing.includes(id);
    expect(listed.filter(others)).toEqual(sound.filter(others));
  });

  test("a walk ends where one leads into itself, and tells it", async () => {
    const image = new EditedImage("everything");
    const filesystem = await image.open();
    const nested = (await filesystem.subvolumes()).find(({ path }) => text(path) === "vol/moves/nested")!;
    for (const key of await entryKeys(await filesystem.lookup("vol/moves"), "nested")) {
      await image.editItem(256n, key, (data) => viewOf(data).setBigUint64(0, 256n, true));
    }
    await refer(image, keyOf(256n, ROOT_REF, nested.id), 256n);
    const damage: BtrfsError[] = [];
    let names = 0;
    for await (const { entries } of walk(await (await image.open()).lookup("vol"), {
      onDamage: (error) => damage.push(error),
    })) {
      names += entries.length;
    }
    expect(damage.map(({ code, where }) => [code, where.path])).toEqual([["corrupt", "vol/moves/nested"]]);
    expect(names).toBeLessThan(imageTree("everything").length);
  });
});

/** The key of the index entry `name`, and of its hashed one. */
async function entryKeys(directory: Inode, name: string): Promise<Key[]> {
  const { tree } = directory.subvolume;
  for await (const { leaf, first, last } of tree.leaves()) {
    for (let slot = first; slot < last; slot++) {
      const key = slotKey(leaf, slot);
      if (key.objectid !== directory.number || key.type !== DIR_INDEX) continue;
      if (text(itemBytes(leaf, slot).subarray(DirItem.byteLength)) !== name) continue;
      return [key, keyOf(directory.number, DIR_ITEM, BigInt(nameHash(Buffer.from(name, "latin1"))))];
    }
  }
  throw new Error(`there is no ${name}`);
}

describe("directories that lie", () => {
  test("a directory that leads to one above it is entered once, and told", async () => {
    const image = new EditedImage("everything");
    const moves = await (await image.open()).lookup("vol/moves");
    for (const key of await entryKeys(moves, "two")) {
      await image.editItem(256n, key, (data) => viewOf(data).setBigUint64(0, 256n, true));
    }
    const filesystem = await image.open();
    const damage: BtrfsError[] = [];
    const seen: string[] = [];
    const top = await (await filesystem.subvolume(256n)).root(new Uint8Array(0));
    for await (const { directory, entries } of walk(top, { onDamage: (error) => damage.push(error) })) {
      seen.push(...entries.map(({ name }) => `${text(directory.path)}/${text(name)}`));
    }
    expect(damage.map(({ code, where }) => [code, where.path])).toEqual([["corrupt", "moves/two"]]);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toContain("moves/x/y0");
    await expect(countAll(top)).rejects.toMatchObject({ code: "corrupt" });
  });

  test("a name that is there twice comes once, with a warning", async () => {
    const image = new EditedImage("everything");
    const x = await (await image.open()).lookup("vol/moves/x");
    const [index] = await entryKeys(x, "y1");
    await image.editItem(256n, index!, (data) => data.set(Buffer.from("y0"), DirItem.byteLength));
    const events: VolumeEvent[] = [];
    const filesystem = await image.open({ onEvent: (event) => events.push(event) });
    expect((await namesIn(await filesystem.lookup("vol/moves/x"))).sort()).toEqual(["y0", "y2"]);
    expect(events).toMatchObject([{ kind: "warning", topic: "directory", where: { path: "vol/moves/x/y0" } }]);
  });

  test("an entry whose kind is not its inode's is not entered", async () => {
    const image = new EditedImage("everything");
    const x = await (await image.open()).lookup("vol/moves/x");
    for (const key of await entryKeys(x, "y1")) {
      await image.editItem(256n, key, (data) => viewOf(data).setBigUint64(0, 301n, true));
    }
    await expect((await image.open()).lookup("vol/moves/x/y1")).rejects.toMatchObject({ code: "corrupt" });
  });

  test("names of a lost leaf come from the other index; what is lost is told once a leaf", async () => {
    const image = new EditedImage("wide-4k");
    const filesystem = await image.open();
    const many = await filesystem.lookup("many");
    const whole = (await namesIn(many)).sort();
    const { tree } = many.subvolume;
    const span = await tree.find(keyOf(many.number, DIR_INDEX, 250n), "atOrBefore");
    await image.damage(span!.leaf.logical + 2000);
    const damaged = await (await image.open()).lookup("many");
    await expect(namesIn(damaged)).rejects.toMatchObject({ code: "checksum", where: { path: "many" } });
    const damage: BtrfsError[] = [];
    expect((await namesIn(damaged, (error) => damage.push(error))).sort()).toEqual(whole);
    expect(damage.map(({ where }) => where.logical)).toEqual([span!.leaf.logical]);
  });
});

async function countAll(top: Inode): Promise<number> {
  let count = 0;
  for await (const { entries } of walk(top)) count += entries.length;
  return count;
}

async function storedExtent(filesystem: Filesystem, path: string): Promise<StoredExtent> {
  for await (const batch of (await filesystem.lookup(path)).openFile().extents()) return batch[0] as StoredExtent;
  throw new Error("no extents");
}

describe("file extents that lie", () => {
  const { offsets: AT } = FileExtentItem;
  const set = (at: number, value: bigint) => (data: Uint8Array) => viewOf(data).setBigUint64(at, value, true);

  test.each([
    [
      "tree blocks",
      "big",
      async (fs: Filesystem) => set(AT.diskBytenr, BigInt((await fs.top()).subvolume.tree.root.logical)),
    ],
    ["nowhere", "big", async () => set(AT.diskBytenr, 1n << 50n)],
    ["more than its chunk has", "big", async () => set(AT.diskNumBytes, 1n << 40n)],
    ["more than it has", "big", async () => set(AT.offset, 1n << 20n)],
    ["more than it decodes to", "zstd", async () => set(AT.offset, 1n << 20n)],
    ["more than can be decoded", "zstd", async () => set(AT.ramBytes, 1n << 40n)],
    ["more than can be encoded", "zlib", async () => set(AT.diskNumBytes, 1n << 20n)],
  ])("one that leads to %s is refused, by content and as stored", async (_what, name, edit) => {
    const image = new EditedImage("everything");
    const before = await image.open();
    const { number } = await before.lookup(`vol/data/${name}`);
    await image.editItem(256n, keyOf(number, EXTENT_DATA, 0n), await edit(before));
    const file = (await (await image.open()).lookup(`vol/data/${name}`)).openFile();
    const corrupt = { code: "corrupt", where: { path: `vol/data/${name}`, fileOffset: 0n } };
    await expect(file.read(0n, new Uint8Array(100_000))).rejects.toMatchObject(corrupt);
    await expect(encodedExtents(file).next()).rejects.toMatchObject(corrupt);
    const read = encodedReader(file).readEncoded(0n, new Uint8Array(1 << 21));
    await expect(read).rejects.toMatchObject({ errno: "EIO" });
    const lost: [bigint, number][] = [];
    await file.read(0n, new Uint8Array(4096), { onUnreadable: (at, length) => lost.push([at, length]) });
    expect(lost).toEqual([[0n, 4096]]);
  });

  test("one that begins inside the one before is refused", async () => {
    const image = new EditedImage("wide-4k");
    const { number } = await (await image.open()).lookup("fragments");
    await image.editItem(5n, keyOf(number, EXTENT_DATA, 8192n), set(AT.numBytes, 8192n)).catch(() => {});
    // Within a leaf the checker of nodes sees it, so the node is bad as a whole.
    const file = (await image.open())
      .lookup("fragments")
      .then((inode) => inode.openFile().read(0n, new Uint8Array(32768)));
    await expect(file).rejects.toMatchObject({ code: "corrupt" });
  });
});

describe("damage", () => {
  test("a bad sector costs its bytes of a plain file, and says which; a compressed extent is lost whole", async () => {
    const image = new EditedImage("everything");
    const before = await image.open();
    const content = new Uint8Array(57351);
    await (await before.lookup("vol/data/big")).openFile().read(0n, content);
    await image.damage((await storedExtent(before, "vol/data/big")).diskBytenr + 8192 + 5);
    await image.damage((await storedExtent(before, "vol/data/zlib")).diskBytenr + 5);
    const events: VolumeEvent[] = [];
    const filesystem = await image.open({ onEvent: (event) => events.push(event) });
    const big = (await filesystem.lookup("vol/data/big")).openFile();
    const where = { path: "vol/data/big", fileOffset: 8192n };
    await expect(big.read(5000n, new Uint8Array(9000))).rejects.toMatchObject({ code: "checksum", where });
    expect(events.map(({ kind }) => kind)).toEqual(["bad-copy", "unreadable"]);
    expect(events[1]).toMatchObject({ where });

    const target = new Uint8Array(20000).fill(7);
    const lost: unknown[] = [];
    const onUnreadable = (at: bigint, length: number, error: BtrfsError) =>
      lost.push([at, length, error.code, error.where.path]);
    expect(await big.read(5000n, target, { onUnreadable })).toBe(20000);
    expect(lost).toEqual([[8192n, 4096, "checksum", "vol/data/big"]]);
    expect(Buffer.compare(target.subarray(0, 3192), content.subarray(5000, 8192))).toBe(0);
    expect(target.subarray(3192, 7288).every((byte) => byte === 0)).toBe(true);
    expect(Buffer.compare(target.subarray(7288), content.subarray(12288, 25000))).toBe(0);

    const zlib = (await filesystem.lookup("vol/data/zlib")).openFile();
    lost.length = 0;
    await zlib.read(100n, target, { onUnreadable });
    // Two parts of the file use it.
    expect(lost).toEqual([
      [100n, 8092, "checksum", "vol/data/zlib"],
      [12288n, 2048, "checksum", "vol/data/zlib"],
    ]);
    const unreadable: unknown[] = [];
    for await (const { offset } of encodedExtents(zlib, {
      onUnreadable: (io, { code }) => unreadable.push([io.offset, code]),
    })) {
      expect(offset).toBeGreaterThan(0n);
    }
    expect(unreadable).toEqual([
      [0n, "checksum"],
      [12288n, "checksum"],
    ]);
    await expect(encodedExtents(zlib).next()).rejects.toMatchObject({ code: "checksum" });
  });

  test("of a lost leaf of extents the rest of the file is read, and no hole is made of it", async () => {
    const image = new EditedImage("wide-4k");
    const before = await image.open();
    const { number, subvolume, stat } = await before.lookup("fragments");
    const content = new Uint8Array(Number(stat.size));
    await (await before.lookup("fragments")).openFile().read(0n, content);
    const range = itemsOf(number, EXTENT_DATA);
    const leaves: { logical: number; end: bigint }[] = [];
    for await (const { leaf, last } of subvolume.tree.leaves(range)) {
      leaves.push({ logical: leaf.logical, end: extentEnd(decodeFileExtent(leaf, last - 1)) });
    }
    expect(leaves).toHaveLength(2);
    const [{ end }, { logical }] = leaves as [(typeof leaves)[0], (typeof leaves)[0]];
    await image.damage(logical + 3000);
    const file = (await (await image.open()).lookup("fragments")).openFile();
    await expect(file.read(0n, new Uint8Array(content.byteLength))).rejects.toMatchObject({ code: "checksum" });
    const found = new Uint8Array(content.byteLength);
    const lost: [bigint, bigint][] = [];
    await file.read(0n, found, { onUnreadable: (at, length) => lost.push([at, at + BigInt(length)]) });
    expect(lost).toEqual([[end, file.size]]);
    expect(end).toBeGreaterThan(4096n);
    content.fill(0, Number(end));
    expect(Buffer.compare(found, content)).toBe(0);
  });
});

describe("reads", () => {
  test("parts of a file, however they are cut, are the file", async () => {
    const filesystem = await open("everything");
    const paths: string[] = [];
    for await (const entries of (await filesystem.lookup("vol/data")).readDirectory()) {
      paths.push(
        ...entries.filter(({ kind }: DirectoryEntry) => kind === "file").map(({ name }) => `vol/data/${text(name)}`),
      );
    }
    for (const path of paths) {
      const file = (await filesystem.lookup(path)).openFile();
      if (file.size > 1n << 20n) continue;
      const whole = new Uint8Array(Number(file.size));
      expect(await file.read(0n, whole)).toBe(whole.byteLength);
      for (const [start, length] of [
        [0, 1],
        [1, 4096],
        [4095, 2],
        [4096, 4096],
        [5000, 9001],
        [8191, 40000],
        [whole.length - 1, 9],
      ] as const) {
        if (start < 0) continue;
        const part = new Uint8Array(length).fill(0xee);
        const filled = await file.read(BigInt(start), part);
        expect(filled).toBe(Math.max(0, Math.min(length, whole.byteLength - start)));
        expect(Buffer.compare(part.subarray(0, filled), whole.subarray(start, start + filled))).toBe(0);
        expect(part.subarray(filled).every((byte) => byte === 0xee)).toBe(true);
      }
    }
    const file = (await filesystem.lookup("vol/data/big")).openFile();
    await expect(file.read(-1n, new Uint8Array(1))).rejects.toThrow(RangeError);
    const stopped = file.read(0n, new Uint8Array(9000), { signal: AbortSignal.abort(new Error("stop")) });
    await expect(stopped).rejects.toThrow("stop");
  });

  // Three items a node, so that trees grow tall; no cache. Each name takes its entry and its inode: twice down the tree.
  test.each([10, 100, 1000])("a path lookup among %i names reads two nodes for each level", async (count) => {
    const built = new BuiltTree(directoryItems(count));
    const tree = await NodeTree.open(built, built.root);
    const subvolume = new Subvolume({ warn: () => {} } as unknown as Filesystem, tree, { id: 5n } as SubvolumeInfo);
    const top = await subvolume.root(new Uint8Array(0));
    built.reads = [];
    expect((await lookupPath(top, `name-${count >> 1}`)).number).toBe(BigInt(257 + (count >> 1)));
    expect(tree.root.level).toBe(Math.ceil(Math.log(count * 3 + 1) / Math.log(3)) - 1);
    expect(built.reads).toHaveLength(2 * tree.root.level);
  });

  test("a second lookup of the same path reads nothing", async () => {
    const source = imageSource("wide-4k");
    let reads = 0;
    const readSync = (at: number, target: Uint8Array): void => {
      reads++;
      source.readSync!(at, target);
    };
    const filesystem = await openFilesystem([{ ...source, readSync }]);
    await filesystem.lookup("snapshot/many/001-n");
    expect(reads).toBeGreaterThan(0);
    reads = 0;
    await filesystem.lookup("snapshot/many/001-n");
    expect(reads).toBe(0);
  });
});

/** A directory of so many empty files: an inode, a DIR_ITEM and a DIR_INDEX each. */
function directoryItems(count: number): BuiltItem[] {
  const items: BuiltItem[] = [inodeItem(256n, S_IFDIR | 0o755)];
  for (let index = 0; index < count; index++) {
    const inode = BigInt(257 + index);
    const name = new TextEncoder().encode(`name-${index}`);
    const data = new Uint8Array(DirItem.byteLength + name.byteLength);
    const entry = new DirItem(viewOf(data));
    encodeKey(keyOf(inode, INODE_ITEM, 0n), entry.view, 0);
    entry.nameLen = name.byteLength;
    entry.type = FT_REG_FILE;
    data.set(name, DirItem.byteLength);
    items.push(inodeItem(inode, S_IFREG | 0o644));
    items.push({ key: keyOf(256n, DIR_INDEX, BigInt(index + 2)), data });
    items.push({ key: keyOf(256n, DIR_ITEM, BigInt(nameHash(name))), data });
  }
  return items.sort((a, b) => compareKeys(a.key, b.key));
}

function inodeItem(inode: bigint, mode: number): BuiltItem {
  const item = newStruct(InodeItem);
  item.mode = mode;
  item.nlink = 1;
  return { key: keyOf(inode, INODE_ITEM, 0n), data: new Uint8Array(item.view.buffer) };
}
