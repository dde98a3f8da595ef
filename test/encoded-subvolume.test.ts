import { describe, expect, test, vi } from "vitest";
import type { ByteSource } from "../src/device/source.ts";
import { type EncodedExtent, encodedExtents, encodedExtentsOf } from "../src/encoded/extents.ts";
import type { BtrfsError } from "../src/errors.ts";
import { EXTENT_DATA } from "../src/format/key-type.ts";
import { slotType } from "../src/format/node.ts";
import { type Filesystem, openFilesystem } from "../src/fs/filesystem.ts";
import type { Inode } from "../src/fs/inode.ts";
import { walk } from "../src/fs/walk.ts";
import type { VolumeEvent } from "../src/volume/events.ts";
import { EditedImage } from "./support/edit-image.ts";
import { regularExtents } from "./support/volume-walk.ts";
import { imageFixtures, imageSource } from "./support.ts";

// All extents of a subvolume by one walk over its tree are those of its files, one by one: the same nouns, the same bytes,
// the same damage.

interface Seen {
  readonly offset: bigint;
  readonly words: string;
  readonly data: string | undefined;
}

function seen({ inode: _, data, ...io }: EncodedExtent): Seen {
  const words = Object.values(io).join(" ");
  return { offset: io.offset, words, data: data && Buffer.from(data).toString("latin1") };
}

type Files = Map<bigint, Seen[]>;

function add(files: Files, extent: EncodedExtent): void {
  const { number } = extent.inode;
  const known = files.get(number);
  if (known === undefined) files.set(number, [seen(extent)]);
  else known.push(seen(extent));
}

async function byTree({ subvolume }: Inode, options: Parameters<typeof encodedExtentsOf>[1] = {}): Promise<Files> {
  const files: Files = new Map();
  for await (const extents of encodedExtentsOf(subvolume, options)) for (const extent of extents) add(files, extent);
  return files;
}

async function byPath(top: Inode): Promise<Files> {
  const files: Files = new Map();
  for await (const { directory, entries } of walk(top, { enters: ({ subvolume }) => subvolume === undefined })) {
    for (const entry of entries) {
      if (entry.kind !== "file" || files.has(entry.inode)) continue;
      const file = (await directory.enter(entry)).openFile();
      for await (const extent of encodedExtents(file)) add(files, extent);
    }
  }
  return files;
}

const sorted = (files: Files): Files => new Map([...files].sort(([a], [b]) => Number(a - b)));

/** The same bytes for who waits only, as a browser's file is. */
const waiting = ({ name, size, read }: ByteSource): ByteSource => ({ name, size, read });

test.for(imageFixtures())("$name: the extents of each subvolume are those of its files", async ({ name, devices }) => {
  const sources = () => Array.from({ length: devices }, (_, index) => imageSource(name, index + 1));
  for (const given of [sources(), sources().map(waiting)]) {
    const filesystem = await openFilesystem(given);
    let count = 0;
    for (const { id } of await filesystem.subvolumes()) {
      const top = await (await filesystem.subvolume(id)).root();
      const [tree, path] = [await byTree(top), await byPath(top)];
      expect([...tree.keys()]).toEqual([...sorted(path).keys()]);
      for (const [number, extents] of tree) expect(extents).toEqual(path.get(number));
      count += tree.size;
    }
    expect(count).toBeGreaterThan(2);
  }
});

/** With what an overlay lacks: reads at once. */
async function inMemory(image: EditedImage): Promise<ByteSource> {
  const bytes = new Uint8Array(image.store.size);
  await image.store.read(0, bytes);
  const readSync = (at: number, target: Uint8Array) => target.set(bytes.subarray(at, at + target.byteLength));
  return { name: "memory", size: bytes.byteLength, readSync, read: async (at, target) => readSync(at, target) };
}

async function reopened(image: EditedImage, isSync: boolean): Promise<[Filesystem, VolumeEvent[]]> {
  const events: VolumeEvent[] = [];
  const source = isSync ? await inMemory(image) : image.store;
  return [await openFilesystem([source], { onEvent: (event) => events.push(event) }), events];
}

describe.each([true, false])("damage (read at once: %s)", (isSync) => {
  test("a bad sector in a run of several files costs the file that has it, and no other", async () => {
    const image = new EditedImage("compressed");
    const top = await (await image.open()).lookup("zstd");
    const whole = await byTree(top);
    const files = await regularExtents(top.subvolume.filesystem.volume, top.subvolume.id);
    const one = files.find(({ compression, diskBytes }) => compression !== 0 && diskBytes > 4096)!;
    await image.damage(one.logical + 5000);
    const [filesystem, events] = await reopened(image, isSync);
    const lost: [bigint, bigint, string][] = [];
    const onUnreadable = ({ inode, offset }: EncodedExtent, { code, where }: BtrfsError) => {
      expect(where).toMatchObject({ inode: inode.number, fileOffset: offset });
      lost.push([inode.number, offset, code]);
    };
    const rest = await byTree(await filesystem.lookup("zstd"), { onUnreadable });
    expect(lost).toEqual([[one.inode, BigInt(one.fileOffset), "checksum"]]);
    for (const [number, extents] of whole) {
      const left = extents.filter(({ offset }) => number !== one.inode || offset !== BigInt(one.fileOffset));
      expect(rest.get(number) ?? []).toEqual(left);
    }
    expect(events.filter(({ kind }) => kind === "unreadable")).toHaveLength(1);
    await expect(byTree(await filesystem.lookup("zstd"))).rejects.toMatchObject({
      code: "checksum",
      where: { inode: one.inode },
    });
  });

  test("of an unreadable leaf the other files are read, and no hole is made of what it had", async () => {
    const image = new EditedImage("wide-4k");
    const top = await (await image.open()).top();
    const whole = await byTree(top);
    let damaged = 0;
    for await (const { leaf, first, last } of top.subvolume.tree.leaves()) {
      let extents = 0;
      for (let slot = first; slot < last; slot++) if (slotType(leaf, slot) === EXTENT_DATA) extents++;
      if (extents < 10 || damaged > 0) continue;
      await image.damage(leaf.logical + 3000);
      damaged++;
    }
    expect(damaged).toBe(1);
    const [filesystem] = await reopened(image, isSync);
    const faults: string[] = [];
    const unreadable: bigint[] = [];
    const rest = await byTree(await filesystem.top(), {
      onDamage: ({ code }) => faults.push(code),
      onUnreadable: ({ inode }) => unreadable.push(inode.number),
    });
    expect(faults).toEqual(["checksum"]);
    for (const [number, extents] of rest) {
      for (const extent of extents) expect(whole.get(number)).toContainEqual(extent);
    }
    expect(rest.size).toBeGreaterThan(1);
    expect(rest.size + new Set(unreadable).size).toBeGreaterThanOrEqual(whole.size - 1);
    await expect(byTree(await filesystem.top())).rejects.toMatchObject({ code: "checksum" });
  });
});

test("a bad copy in a run of several files is replaced by a good one, and told with its file", async () => {
  const image = new EditedImage("dup");
  const top = await (await image.open()).top();
  const { volume } = top.subvolume.filesystem;
  const whole = await byTree(top);
  const [one] = await regularExtents(volume, 5n);
  const copies = volume.copiesOf(one!.logical, 4096);
  expect(copies).toHaveLength(2);
  await image.store.write(copies[0]!.physical, new Uint8Array(4096).fill(0x77));
  const [filesystem, events] = await reopened(image, true);
  expect(await byTree(await filesystem.top())).toEqual(whole);
  expect(events.map(({ kind }) => kind)).toEqual(["bad-copy", "recovered"]);
  expect(events[0]!.where).toMatchObject({ inode: one!.inode, fileOffset: BigInt(one!.fileOffset) });
});

// A device that has to be waited for must not hold up everything else: reads go to the host's threads for a while.
test("after a read at once that took long, the next ones are not made at once", async () => {
  const source = imageSource("everything");
  const counts = { sync: 0, waiting: 0 };
  let isSlow = false;
  // A clock of its own: the machine may be slow as well.
  let now = 0;
  using _clock = vi.spyOn(performance, "now").mockImplementation(() => now);
  const filesystem = await openFilesystem([
    {
      name: source.name,
      size: source.size,
      readSync(at, target) {
        counts.sync++;
        source.readSync!(at, target);
        if (isSlow) now += 10;
      },
      read(at, target) {
        counts.waiting++;
        return source.read(at, target);
      },
    },
  ]);
  const top = await filesystem.lookup("vol");
  const whole = await byTree(top);
  isSlow = true;
  Object.assign(counts, { sync: 0, waiting: 0 });
  expect(await byTree(top)).toEqual(whole);
  expect(counts.sync).toBe(1);
  expect(counts.waiting).toBeGreaterThan(3);
});
