import { expect, test } from "vitest";
import { viewOf } from "../src/bytes/bytes.ts";
import { displayName } from "../src/bytes/display.ts";
import { NumberSet } from "../src/bytes/number-set.ts";
import type { ByteSource } from "../src/device/source.ts";
import { FILE_EXTENT_REG, FileExtentItem } from "../src/format/file-extent.ts";
import { type BtrfsError, openFilesystem, type Usage, UsageCounter, type UsageRow } from "../src/index.ts";
import { countExtentItem } from "../src/usage/extents.ts";
import { Tally } from "../src/usage/tally.ts";
import { imageSource } from "./support.ts";

const bytes = (stored: number, decoded: number, referenced: number) => ({
  stored: BigInt(stored),
  decoded: BigInt(decoded),
  referenced: BigInt(referenced),
});

// What `compsize -b` of compsize 1.5 printed of the mounted images.
const COMPSIZE: Readonly<Record<string, Usage>> = {
  everything: {
    files: 160,
    extents: 24,
    references: 92,
    inline: 97,
    total: bytes(359007, 416621, 1194861),
    byType: {
      none: bytes(202417, 202417, 521905),
      zlib: bytes(4363, 20884, 94612),
      lzo: bytes(4519, 20884, 86420),
      zstd: bytes(8444, 33172, 94612),
      prealloc: bytes(139264, 139264, 397312),
    },
  },
  compressed: {
    files: 44,
    extents: 38,
    references: 53,
    inline: 9,
    total: bytes(328774, 2937784, 3056568),
    byType: {
      none: bytes(155648, 155648, 155648),
      zlib: bytes(53554, 1014760, 1010664),
      lzo: bytes(70118, 883688, 945128),
      zstd: bytes(49454, 883688, 945128),
    },
  },
};

test.for(Object.keys(COMPSIZE))("%s: counts equal those of compsize", async (name) => {
  await using filesystem = await openFilesystem([imageSource(name)]);
  const counter = new UsageCounter();
  await counter.add(await filesystem.top());
  expect(counter.usage).toEqual(COMPSIZE[name]);
});

// Without no-holes, a file of 4 EiB has such an item.
test("a hole of any length is nothing, and no damage", () => {
  const item = new Uint8Array(FileExtentItem.byteLength);
  const view = viewOf(item);
  view.setUint8(FileExtentItem.offsets.type, FILE_EXTENT_REG);
  view.setBigUint64(FileExtentItem.offsets.ramBytes, 1n << 62n, true);
  view.setBigUint64(FileExtentItem.offsets.numBytes, 1n << 61n, true);
  const tally = new Tally();
  expect(countExtentItem(view, 0, item.byteLength, tally, new NumberSet())).toBeUndefined();
  expect(tally.result()).toEqual(new Tally().result());
});

test("rows of files add up to the total, and directories to what is below them", async () => {
  await using filesystem = await openFilesystem([imageSource("everything")]);
  const rows: UsageRow[] = [];
  const counter = new UsageCounter({
    rows: new Set(["file", "directory", "subvolume"]),
    onRow: (row) => void rows.push(row),
  });
  await counter.add(await filesystem.top());
  const sumBelow = (path: string, kind: string): bigint =>
    rows
      .filter((row) => row.kind === kind && displayName(row.path!).startsWith(path))
      .reduce((sum, { usage }) => sum + usage.total.stored, 0n);
  expect(sumBelow("", "file")).toBe(counter.usage.total.stored);
  const vol = rows.find(({ kind, path }) => kind === "subvolume" && displayName(path!) === "vol")!;
  expect(vol.usage.total.stored).toBe(sumBelow("vol/", "file"));
  expect(rows.at(-1)).toMatchObject({ kind: "subvolume", subvolume: 5n, usage: counter.usage });
  const snapshot = rows.find(({ kind, path }) => kind === "subvolume" && displayName(path!) === "first")!;
  expect(snapshot.usage.total.referenced).toBeGreaterThan(snapshot.usage.total.stored);
});

test("what is added twice is used twice, and stored once", async () => {
  await using filesystem = await openFilesystem([imageSource("compressed")]);
  const counter = new UsageCounter();
  const zstd = await filesystem.lookup("zstd");
  await counter.add(zstd);
  const { total, extents } = counter.usage;
  await counter.add(await filesystem.lookup("zstd/clone-whole"));
  expect(counter.usage).toMatchObject({ extents, total: { stored: total.stored, decoded: total.decoded } });
  expect(counter.usage.total.referenced).toBeGreaterThan(total.referenced);
});

test("what can't be read is told, and the rest is counted", async () => {
  const source = imageSource("compressed");
  const bad: number[] = [];
  {
    const { volume } = await openFilesystem([source]);
    const { logical } = (await volume.findRoot(256n))!;
    for (const { physical } of volume.copiesOf(logical, volume.nodeSize)) bad.push(physical);
  }
  await using filesystem = await openFilesystem([flipped(source, bad)]);
  await expect(new UsageCounter().add(await filesystem.top())).rejects.toMatchObject({ code: "checksum" });
  const errors: BtrfsError[] = [];
  const counter = new UsageCounter({ onDamage: (error) => errors.push(error) });
  await counter.add(await filesystem.top());
  expect(errors).toMatchObject([{ code: "checksum", where: { path: "zlib" } }]);
  const { zlib: _, ...others } = COMPSIZE.compressed!.byType;
  expect(counter.usage.byType).toMatchObject({ lzo: others.lzo, zstd: others.zstd });
  expect(counter.usage.byType.zlib).toBeUndefined();
});

/** `source` with one bit changed in each of these places. */
function flipped(source: ByteSource, places: readonly number[]): ByteSource {
  const readSync = (at: number, target: Uint8Array): void => {
    source.readSync!(at, target);
    for (const place of places) if (place >= at && place < at + target.byteLength) target[place - at]! ^= 1;
  };
  return { ...source, readSync, read: async (at, target) => readSync(at, target) };
}

test("sums go on beyond 2^53", () => {
  const tally = new Tally();
  const most = Number.MAX_SAFE_INTEGER;
  for (let count = 0; count < 5; count++) tally.add(3, most, most, 1);
  const whole = new Tally();
  whole.merge(tally);
  whole.merge(tally);
  expect(whole.result().byType.zstd).toEqual({
    stored: 10n * BigInt(most),
    decoded: 10n * BigInt(most),
    referenced: 10n,
  });
});
