import { expect, test } from "vitest";
import { toBytes } from "../src/bytes/bytes.ts";
import { asStruct } from "../src/bytes/struct.ts";
import { MemoryDevice } from "../src/device/memory.ts";
import { OverlayDevice } from "../src/device/overlay.ts";
import * as edit from "../src/edit/index.ts";
import { BlockGroupItem } from "../src/format/block-group.ts";
import { DevItem } from "../src/format/chunk.ts";
import { DevExtent } from "../src/format/device-items.ts";
import { FREE_SPACE_BITMAP_BYTES, FREE_SPACE_USING_BITMAPS, FreeSpaceInfo } from "../src/format/free-space.ts";
import { keyOf } from "../src/format/key.ts";
import * as types from "../src/format/key-type.ts";
import { itemBytes, slotKey } from "../src/format/node.ts";
import {
  CHUNK_TREE_OBJECTID,
  CSUM_TREE_OBJECTID,
  DEV_TREE_OBJECTID,
  EXTENT_TREE_OBJECTID,
  FIRST_FREE_OBJECTID,
  FREE_SPACE_TREE_OBJECTID,
  FS_TREE_OBJECTID,
} from "../src/format/objectid.ts";
import { type MakeOptions, makeFilesystem } from "../src/mkfs/mkfs.ts";
import { RangeSet } from "../src/transaction/range-set.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import { openVolume } from "../src/volume/open.ts";
import type { Volume } from "../src/volume/volume.ts";
import { everyNode } from "./support/volume-walk.ts";
import { imageSource } from "./support.ts";

// What one tree says of space, others say too. After each commit all of them are added up: the extent tree is taken at its
// word, and free space, checksums, block groups, devices and the superblock have to agree; and all copies are alike.

const PLACE = { tree: FS_TREE_OBJECTID, now: 1_700_000_000_000_000_000n };

interface Item {
  readonly objectid: number;
  readonly type: number;
  readonly offset: number;
  readonly data: Uint8Array;
}

async function itemsOf(volume: Volume, tree: bigint): Promise<Item[]> {
  const items: Item[] = [];
  const source = tree === CHUNK_TREE_OBJECTID ? volume.chunkTree : await volume.openTree(tree);
  for await (const { leaf, first, last } of source.leaves()) {
    for (let slot = first; slot < last; slot++) {
      const { objectid, type, offset } = slotKey(leaf, slot);
      const data = itemBytes(leaf, slot).slice();
      items.push({ objectid: Number(objectid), type, offset: Number(offset), data });
    }
  }
  return items;
}

/** Ranges without those that touch. */
function rangesOf(items: readonly (readonly [start: number, end: number])[]): [number, number][] {
  const set = new RangeSet();
  for (const [start, end] of items) set.add(start, end);
  return [...set].map(({ start, end }) => [start, end]);
}

async function expectAccounts(stores: readonly (MemoryDevice | OverlayDevice)[]): Promise<void> {
  const volume = await openVolume(stores);
  const { nodeSize, sectorSize } = volume;
  const extents = await itemsOf(volume, EXTENT_TREE_OBJECTID);
  const used = extents.flatMap(({ objectid, type, offset }): [number, number, boolean][] => {
    if (type === types.EXTENT_ITEM) return [[objectid, objectid + offset, true]];
    return type === types.METADATA_ITEM ? [[objectid, objectid + nodeSize, false]] : [];
  });
  const free = await itemsOf(volume, FREE_SPACE_TREE_OBJECTID);
  let total = 0;
  for (const group of extents.filter(({ type }) => type === types.BLOCK_GROUP_ITEM)) {
    const end = group.objectid + group.offset;
    const inGroup = used.filter(([start]) => start >= group.objectid && start < end);
    const bytes = inGroup.reduce((sum, [from, to]) => sum + to - from, 0);
    total += bytes;
    expect([group.objectid, Number(asStruct(BlockGroupItem, group.data).used)]).toEqual([group.objectid, bytes]);
    const left = new RangeSet();
    left.add(group.objectid, end);
    for (const [from, to] of inGroup) left.remove(from, to);
    const own = free.filter(({ objectid }) => objectid >= group.objectid && objectid < end);
    const info = asStruct(FreeSpaceInfo, own.find(({ type }) => type === types.FREE_SPACE_INFO)!.data);
    const expected = [...left].map(({ start, end: to }): [number, number] => [start, to]);
    if ((info.flags & FREE_SPACE_USING_BITMAPS) === 0) {
      // Each as an item, so that none touches another.
      const found = own.filter(({ type }) => type === types.FREE_SPACE_EXTENT);
      expect(found.map(({ objectid, offset }) => [objectid, objectid + offset])).toEqual(expected);
    } else {
      const bits = own.filter(({ type }) => type === types.FREE_SPACE_BITMAP);
      const sectors = bits.flatMap(({ objectid, offset, data }) =>
        Array.from({ length: offset / sectorSize }, (_, bit) => bit)
          .filter((bit) => ((data[bit >> 3]! >> (bit & 7)) & 1) === 1)
          .map((bit): [number, number] => [objectid + bit * sectorSize, objectid + (bit + 1) * sectorSize]),
      );
      expect(rangesOf(sectors)).toEqual(expected);
    }
    expect([group.objectid, info.extentCount]).toEqual([group.objectid, expected.length]);
  }
  expect(Number(volume.superblock.bytesUsed)).toBe(total);
  await expectChecksums(volume, used);
  await expectDevices(volume);
  await expectCopies(volume, used);
}

/** All data that files have has checksums, nothing else has, and none is there twice. */
async function expectChecksums(volume: Volume, used: readonly [number, number, boolean][]): Promise<void> {
  const { sectorSize, checksum } = volume;
  const items = (await itemsOf(volume, CSUM_TREE_OBJECTID)).map(({ offset, data }): [number, number] => [
    offset,
    offset + (data.byteLength / checksum.byteLength) * sectorSize,
  ]);
  for (const [index, [start]] of items.entries())
    expect(start).toBeGreaterThanOrEqual(index === 0 ? 0 : items[index - 1]![1]);
  const data = used.filter(([, , isData]) => isData).map(([start, end]): [number, number] => [start, end]);
  expect(rangesOf(items)).toEqual(rangesOf(data));
}

async function expectDevices(volume: Volume): Promise<void> {
  const devices = (await itemsOf(volume, CHUNK_TREE_OBJECTID)).filter(({ type }) => type === types.DEV_ITEM);
  const inUse = (await itemsOf(volume, DEV_TREE_OBJECTID)).filter(({ type }) => type === types.DEV_EXTENT);
  for (const { offset: devid, data } of devices) {
    const bytes = inUse
      .filter(({ objectid }) => objectid === devid)
      .reduce((sum, extent) => sum + Number(asStruct(DevExtent, extent.data).length), 0);
    expect([devid, Number(asStruct(DevItem, data).bytesUsed)]).toEqual([devid, bytes]);
  }
  const { devItem } = volume.superblock;
  const own = devices.find(({ offset }) => offset === Number(devItem.devid))!;
  expect(devItem.bytesUsed).toBe(asStruct(DevItem, own.data).bytesUsed);
}

/** Tree blocks and data are the same in every copy. */
async function expectCopies(volume: Volume, used: readonly [number, number, boolean][]): Promise<void> {
  const blocks: [number, number][] = used.filter(([, , isData]) => isData).map(([start, end]) => [start, end - start]);
  for await (const { node } of everyNode(volume)) blocks.push([node.logical, volume.nodeSize]);
  for (const [logical, length] of blocks) {
    for (let at = logical; at < logical + length; at += volume.sectorSize) {
      const copies: string[] = [];
      for (const copy of volume.copiesOf(at, volume.sectorSize)) {
        const bytes = new Uint8Array(volume.sectorSize);
        await volume.readCopy(copy, bytes);
        copies.push(Buffer.from(bytes).toString("latin1"));
      }
      expect([at, new Set(copies).size]).toEqual([at, 1]);
    }
  }
}

/** Changes that leave gaps, fill them, and need a chunk more. */
async function change(stores: readonly (MemoryDevice | OverlayDevice)[], after: () => Promise<void>): Promise<void> {
  const writable = await openWritableVolume(stores);
  const step = async (run: (at: edit.Place) => Promise<void>): Promise<void> => {
    await writable.transaction((tx) => run({ ...PLACE, tx }));
    await after();
  };
  const name = (n: number): Uint8Array => toBytes(`account ${n}`);
  await step(async (at) => {
    for (let n = 0; n < 24; n++) {
      const inode = await edit.createFile(at, FIRST_FREE_OBJECTID, name(n));
      await edit.writeFile(at, inode, 0n, new Uint8Array(8192 + 4096 * (n % 3)).fill(n + 1));
    }
  });
  // Gaps of their own, then such as join the one before, the one behind, and both.
  await step(async (at) => {
    for (const n of [1, 5, 9, 13, 17]) await edit.unlink(at, FIRST_FREE_OBJECTID, name(n));
  });
  await step(async (at) => {
    for (const n of [2, 4, 10, 12, 11, 18]) await edit.unlink(at, FIRST_FREE_OBJECTID, name(n));
  });
  await step(async (at) => {
    const { location } = await edit.getName(at, FIRST_FREE_OBJECTID, name(0));
    for (let n = 0; n < 8; n++) {
      await edit.writeFile(
        at,
        location.objectid,
        BigInt(n * 65_536),
        new Uint8Array(4096 * (1 + (n % 4))).fill(0x30 + n),
      );
    }
  });
  await step(async (at) => {
    const { location } = await edit.getName(at, FIRST_FREE_OBJECTID, name(3));
    await edit.writeFile(at, location.objectid, 0n, new Uint8Array(20 << 20).fill(7));
  });
  await step(async (at) => {
    await edit.unlink(at, FIRST_FREE_OBJECTID, name(3));
    await edit.unlink(at, FIRST_FREE_OBJECTID, name(0));
  });
}

const MADE: readonly MakeOptions[] = [
  { nodeSize: 4096, metadata: "dup", data: "dup" },
  { nodeSize: 16384, metadata: "dup", data: "single", checksum: "sha256" },
];

/** Gives the block groups of data bitmaps, in the form in which the kernel has them when free space is in many pieces. */
async function useBitmaps(store: MemoryDevice): Promise<void> {
  const writable = await openWritableVolume([store]);
  const { volume } = writable;
  const groups = volume.chunks.chunks.filter(({ type }) => (type & 1) !== 0);
  const items = await itemsOf(volume, FREE_SPACE_TREE_OBJECTID);
  await writable.transaction(async (tx) => {
    for (const { start, length } of groups) {
      const own = items.filter(({ objectid }) => objectid >= start && objectid < start + length);
      for (const { objectid, type, offset } of own) {
        if (type === types.FREE_SPACE_EXTENT)
          await tx.remove(FREE_SPACE_TREE_OBJECTID, keyOf(BigInt(objectid), type, BigInt(offset)));
      }
      const covers = FREE_SPACE_BITMAP_BYTES * 8 * volume.sectorSize;
      for (let at = start; at < start + length; at += covers) {
        const bytes = Math.min(covers, start + length - at);
        const bits = new Uint8Array(bytes / volume.sectorSize / 8);
        for (const { objectid, type, offset } of own) {
          if (type !== types.FREE_SPACE_EXTENT) continue;
          const end = Math.min(at + bytes, objectid + offset);
          for (let free = Math.max(at, objectid); free < end; free += volume.sectorSize) {
            const bit = (free - at) / volume.sectorSize;
            bits[bit >> 3]! |= 1 << (bit & 7);
          }
        }
        await tx.insert(FREE_SPACE_TREE_OBJECTID, keyOf(BigInt(at), types.FREE_SPACE_BITMAP, BigInt(bytes)), bits);
      }
      await tx.edit(FREE_SPACE_TREE_OBJECTID, keyOf(BigInt(start), types.FREE_SPACE_INFO, BigInt(length)), (view) => {
        new FreeSpaceInfo(view).flags = FREE_SPACE_USING_BITMAPS;
      });
    }
  });
}

test("all accounts agree where free space is in bitmaps", async () => {
  const store = new MemoryDevice(new Uint8Array(256 << 20));
  await makeFilesystem(store, { nodeSize: 4096, metadata: "single", data: "single" });
  await useBitmaps(store);
  await expectAccounts([store]);
  await change([store], () => expectAccounts([store]));
}, 120_000);

test("all accounts agree, and all copies, on two devices", async () => {
  const stores = [imageSource("raid1", 1), imageSource("raid1", 2)].map((source) => new OverlayDevice(source));
  await change(stores, () => expectAccounts(stores));
}, 120_000);

test.each(MADE)(
  "all accounts agree, and all copies, after every commit: $nodeSize, data $data",
  async (options) => {
    const store = new MemoryDevice(new Uint8Array(256 << 20));
    await makeFilesystem(store, options);
    await change([store], () => expectAccounts([store]));
  },
  120_000,
);
