import { expect, test } from "vitest";
import { viewOf } from "../bytes/bytes.ts";
import { CorruptError } from "../errors.ts";
import { decodeDirEntries, dirTypeName } from "./dir-item.ts";
import { decodeInlineRefs, decodeKeyedRefs } from "./extent-item.ts";
import { flagNames } from "./flags.ts";
import { inodeFlagNames } from "./inode.ts";
import { decodeInodeExtrefs, decodeInodeRefs } from "./inode-ref.ts";
import { keyOf } from "./key.ts";
import {
  EXTENT_DATA_REF,
  EXTENT_ITEM,
  METADATA_ITEM,
  SHARED_DATA_REF,
  TREE_BLOCK_REF,
  UUID_SUBVOL,
} from "./key-type.ts";
import { isSubvolumeId, objectidName, treeName } from "./objectid.ts";
import { formatQgroupId } from "./quota.ts";
import { decodeRootItem, decodeRootRef, OLD_ROOT_ITEM_BYTES, RootItem } from "./root.ts";
import { decodeSubvolumeIds, uuidKey, uuidOfKey } from "./uuid-tree.ts";

const ascii = (text: string) => [...new TextEncoder().encode(text)];
const u64le = (value: number) => [value, 0, 0, 0, 0, 0, 0, 0];
const u16le = (value: number) => [value, 0];

test("an INODE_REF holds every name of an inode in one directory", () => {
  const data = Uint8Array.from([...u64le(2), ...u16le(1), ...ascii("a"), ...u64le(3), ...u16le(2), ...ascii("bc")]);
  expect(decodeInodeRefs(data, 256n)).toEqual([
    { parent: 256n, index: 2n, name: Uint8Array.from(ascii("a")) },
    { parent: 256n, index: 3n, name: Uint8Array.from(ascii("bc")) },
  ]);
  for (let cut = 1; cut < data.byteLength; cut++) {
    if (cut === 11) continue;
    expect(() => decodeInodeRefs(data.subarray(0, cut), 256n), `cut at ${cut}`).toThrow(CorruptError);
  }
});

test("an INODE_EXTREF names the directory itself", () => {
  const data = Uint8Array.from([...u64le(1), ...u64le(9), ...u16le(1), ...ascii("x")]);
  expect(decodeInodeExtrefs(data)).toEqual([{ parent: 1n, index: 9n, name: Uint8Array.from(ascii("x")) }]);
  expect(() => decodeInodeExtrefs(data.subarray(0, 17))).toThrow("record ends at byte 18, the item has 17");
});

test("names that share a hash are entries of one item, cut short they are corrupt", () => {
  const entry = (name: string, value: string) => [
    ...[...u64le(5), 1, ...u64le(0)],
    ...u64le(7),
    ...u16le(value.length),
    ...u16le(name.length),
    8,
    ...ascii(name + value),
  ];
  const data = Uint8Array.from([...entry("user.a", "1"), ...entry("user.bc", "")]);
  const entries = decodeDirEntries(data);
  expect(entries.map(({ name, data: value }) => [String.fromCharCode(...name), value.byteLength])).toEqual([
    ["user.a", 1],
    ["user.bc", 0],
  ]);
  expect(entries[0]).toMatchObject({ location: keyOf(5n, 1, 0n), transid: 7n, type: 8 });
  expect(dirTypeName(8)).toBe("XATTR");
  for (let cut = 1; cut < data.byteLength; cut++) {
    if (cut !== 37) expect(() => decodeDirEntries(data.subarray(0, cut)), `cut at ${cut}`).toThrow(CorruptError);
  }
});

test("a root item of the old form, or stale after its first part, has zeros there", () => {
  const data = new Uint8Array(RootItem.byteLength).fill(0x11);
  const full = decodeRootItem(data);
  expect(full.generationV2).toBe(full.generation);
  expect(full.ctransid).toBe(0x1111_1111_1111_1111n);
  expect(full.flags).toBe(0n);

  const stale = data.slice();
  stale[160] = 0x12;
  const old = decodeRootItem(data.subarray(0, OLD_ROOT_ITEM_BYTES));
  for (const root of [decodeRootItem(stale), old]) {
    expect([root.ctransid, root.uuid.every((byte) => byte === 0), root.level]).toEqual([0n, true, 0x11]);
  }
  const initialised = data.slice();
  initialised[67] = 0x80;
  expect(decodeRootItem(initialised).flags).toBe(0x1111_1111_1111_1111n);
  expect(data.every((byte) => byte === 0x11)).toBe(true);
  expect(() => decodeRootItem(data.subarray(0, 300))).toThrow("300 bytes, expected 439 or 239");
});

test("a root reference ends with its name", () => {
  const data = Uint8Array.from([...u64le(6), ...u64le(2), ...u16le(3), ...ascii("sub")]);
  expect(decodeRootRef(data)).toEqual({ dirid: 6n, sequence: 2n, name: Uint8Array.from(ascii("sub")) });
  expect(() => decodeRootRef(data.subarray(0, 20))).toThrow("it ends at byte 21, the item has 20");
  expect(() => decodeRootRef(data.subarray(0, 3))).toThrow(CorruptError);
});

test("inline references follow the item, or the block's key and level where those are inside", () => {
  const head = (flags: number) => [...u64le(1), ...u64le(7), ...u64le(flags)];
  const treeRef = [TREE_BLOCK_REF, ...u64le(5)];
  const expected = [{ type: TREE_BLOCK_REF, root: 5n }];
  expect(decodeInlineRefs(viewOf(Uint8Array.from([...head(2), ...treeRef])), METADATA_ITEM)).toEqual(expected);
  const withInfo = Uint8Array.from([...head(2), ...new Array(18).fill(0), ...treeRef]);
  expect(decodeInlineRefs(viewOf(withInfo), EXTENT_ITEM)).toEqual(expected);
  const data = Uint8Array.from([
    ...head(1),
    ...[EXTENT_DATA_REF, ...u64le(5), ...u64le(1), ...u64le(0), 2, 0, 0, 0],
    ...[SHARED_DATA_REF, ...u64le(64), 3, 0, 0, 0],
  ]);
  expect(decodeInlineRefs(viewOf(data), EXTENT_ITEM)).toEqual([
    { type: EXTENT_DATA_REF, root: 5n, objectid: 1n, offset: 0n, count: 2 },
    { type: SHARED_DATA_REF, parent: 64n, count: 3 },
  ]);
  expect(() => decodeInlineRefs(viewOf(data.subarray(0, 60)), EXTENT_ITEM)).toThrow(CorruptError);
  expect(() => decodeInlineRefs(viewOf(Uint8Array.from([...head(1), 99])), EXTENT_ITEM)).toThrow("type 99 is unknown");
});

test("references in items of their own have the size of their type", () => {
  expect(decodeKeyedRefs(new DataView(new ArrayBuffer(0)), TREE_BLOCK_REF, 5n)).toEqual([{ type: 176, root: 5n }]);
  expect(decodeKeyedRefs(new DataView(new ArrayBuffer(4)), SHARED_DATA_REF, 64n)).toEqual([
    { type: 184, parent: 64n, count: 0 },
  ]);
  expect(decodeKeyedRefs(new DataView(new ArrayBuffer(56)), EXTENT_DATA_REF, 1n).length).toBe(2);
  expect(() => decodeKeyedRefs(new DataView(new ArrayBuffer(29)), EXTENT_DATA_REF, 1n)).toThrow(
    "does not have 29 bytes",
  );
});

test("a uuid is a key and back", () => {
  const uuid = Uint8Array.from({ length: 16 }, (_, at) => at * 16);
  expect(uuidOfKey(uuidKey(uuid, UUID_SUBVOL))).toEqual(uuid);
  expect(uuidKey(uuid, UUID_SUBVOL).objectid).toBe(0x7060_5040_3020_1000n);
  expect(decodeSubvolumeIds(viewOf(Uint8Array.from([...u64le(5), ...u64le(7)])))).toEqual([5n, 7n]);
  expect(() => decodeSubvolumeIds(new DataView(new ArrayBuffer(9)))).toThrow(CorruptError);
});

test("ids, flags and quota groups have the field's words", () => {
  expect(treeName(5n)).toBe("FS_TREE");
  expect(objectidName(5n)).toBe("5");
  expect(objectidName(2n ** 64n - 9n)).toBe("DATA_RELOC_TREE");
  expect([5n, 256n, 4n, 1n << 48n, 2n ** 64n - 9n].map(isSubvolumeId)).toEqual([true, true, false, false, false]);
  expect(inodeFlagNames(1n | 8n | (1n << 32n) | (1n << 40n))).toEqual([
    "NODATASUM",
    "NOCOMPRESS",
    "VERITY",
    "0x10000000000",
  ]);
  expect(flagNames(0n, [])).toEqual([]);
  expect(formatQgroupId((1n << 48n) + 100n)).toBe("1/100");
});
