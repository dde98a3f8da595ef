import { expect, test } from "vitest";
import { expectationOf, limitsOf, realNodes } from "../../test/support/nodes.ts";
import { CorruptError } from "../errors.ts";
import { FileExtentItem } from "../format/file-extent.ts";
import * as types from "../format/key-type.ts";
import { itemSize, itemStart, keyAt, NodeBlock, NodeHeader, slotType } from "../format/node.ts";
import { RootItem } from "../format/root.ts";
import { checkNode } from "./check.ts";
import { KnownLeaf } from "./same-items.ts";
import type { NodeExpectation } from "./source.ts";

const nodes = realNodes();
const limits = limitsOf(nodes);

interface Item {
  readonly view: DataView;
  /** Byte of the block at which the data starts. */
  readonly at: number;
  /** Byte of the block at which the key starts. */
  readonly key: number;
  readonly size: number;
  readonly slot: number;
}

function problemOf(leaf: NodeBlock, original: NodeBlock, known?: NodeBlock): unknown {
  try {
    checkNode(leaf, original.logical, expectationOf(original), limits, known && new KnownLeaf(known));
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Checks a copy of the first real block that has an item of this type (and like `want`), after changing that item. */
function checkChanged(type: number, change: (item: Item) => void, want: (item: Item) => boolean = () => true): void {
  for (const node of nodes.filter(({ level }) => level === 0)) {
    const leaf = new NodeBlock(node.bytes.slice());
    for (let slot = 0; slot < leaf.count; slot++) {
      if (slotType(leaf, slot) !== type) continue;
      const item = {
        view: leaf.view,
        at: itemStart(leaf, slot),
        key: keyAt(leaf, slot),
        size: itemSize(leaf, slot),
        slot,
      };
      if (!want(item)) continue;
      checkNode(leaf, node.logical, expectationOf(node), limits);
      change(item);
      const alone = problemOf(leaf, node);
      // Beside the leaf as it was, with which it has nearly all in common, it is the same.
      expect(problemOf(leaf, node, node)).toEqual(alone);
      if (alone !== undefined) throw alone;
      return;
    }
  }
  throw new Error(`no item of type ${type} among the real blocks`);
}

const u8 = (offset: number, value: number) => (item: Item) => item.view.setUint8(item.at + offset, value);
const u16 = (offset: number, value: number) => (item: Item) => item.view.setUint16(item.at + offset, value, true);
const u32 = (offset: number, value: number) => (item: Item) => item.view.setUint32(item.at + offset, value, true);
const u64 = (offset: number, value: bigint) => (item: Item) => item.view.setBigUint64(item.at + offset, value, true);
const keyOffset = (value: bigint) => (item: Item) => item.view.setBigUint64(item.key + 9, value, true);

const extentOfType = (type: number, compression?: number) => (item: Item) =>
  item.view.getUint8(item.at + 20) === type &&
  (compression === undefined || item.view.getUint8(item.at + 16) === compression);
const isData = (item: Item) => item.view.getUint8(item.at + 16) === 1;
const isBlock = (item: Item) => item.view.getUint8(item.at + 16) === 2;
const hasInline = (ref: number) => (item: Item) => item.size > 24 && item.view.getUint8(item.at + 24) === ref;
const leadsToInode = (item: Item) => item.view.getUint8(item.at + 8) === types.INODE_ITEM;
const notFirst = (item: Item) => item.slot > 0;

const { offsets: EXTENT } = FileExtentItem;
const { offsets: ROOT } = RootItem;

/** What is wrong, the type of item, how it is made wrong, what the error says, and which item will do. */
type Rule = readonly [string, number, (item: Item) => void, string, ((item: Item) => boolean)?];

// biome-ignore format: one rule a line
const RULES: readonly Rule[] = [
  ["an inode number that is reserved", types.INODE_ITEM, (i) => i.view.setBigUint64(i.key, 7n, true), "object id of key is 7", (i) => i.slot === 0],
  ["an inode key with an offset", types.INODE_ITEM, keyOffset(1n), "offset of key is 1, expected 0"],
  ["an inode from the future", types.INODE_ITEM, u64(0, 10n ** 6n), "generation of the inode is 1000000"],
  ["a change from the future", types.INODE_ITEM, u64(8, 2n ** 60n), "transid of the inode is 1152921504606846976"],
  ["a mode without a type", types.INODE_ITEM, u32(52, 0o644), "mode is 0644"],
  ["a mode with two types", types.INODE_ITEM, u32(52, 0o150644), "mode is 0150644"],
  ["a mode with unknown bits", types.INODE_ITEM, u32(52, 0o200100644), "expected one type of file"],
  ["a directory with two links", types.INODE_ITEM, (i) => { u32(52, 0o40755)(i); u32(40, 2)(i); }, "directory has 2 links"],
  ["unknown inode flags", types.INODE_ITEM, u32(64, 0x1000), "inode flags are 0x1000"],
  ["an INODE_REF name past the item", types.INODE_REF, u16(8, 200), "bytes after the item"],
  ["an empty INODE_REF name", types.INODE_REF, u16(8, 0), "name has 0 bytes, expected 1 to 255"],
  ["an INODE_EXTREF name over 255 bytes", types.INODE_EXTREF, u16(16, 256), "name has 256 bytes"],
  ["a directory entry that leads to no inode", types.DIR_ITEM, u64(0, 3n), "object id of location is 3", leadsToInode],
  ["a directory entry of an odd location type", types.DIR_ITEM, u8(8, 84), "location is of type 84"],
  ["a directory entry that leads to an internal tree", types.DIR_INDEX, (i) => { u8(8, 132)(i); u64(0, 7n)(i); }, "location is tree 7, expected a subvolume"],
  ["a directory entry with a value", types.DIR_INDEX, u16(25, 4), "entry has 4 bytes of data"],
  ["a directory entry of an attribute's type", types.DIR_INDEX, u8(29, 8), "entry is of type 8, expected 0 to 7"],
  ["an attribute of another type", types.XATTR_ITEM, u8(29, 1), "entry is of type 1, expected 8"],
  ["an attribute with a location", types.XATTR_ITEM, u64(0, 257n), "location of an extended attribute is set"],
  ["an attribute value past the item", types.XATTR_ITEM, u16(25, 4000), "bytes after the item"],
  ["a name with another hash", types.DIR_ITEM, (i) => u8(30, i.view.getUint8(i.at + 30) ^ 1)(i), "hash of the name is"],
  ["a DIR_INDEX that goes on", types.DIR_INDEX, (i) => u16(27, i.view.getUint16(i.at + 27, true) - 1)(i), "item goes on for 1 bytes"],
  ["a file offset inside a sector", types.EXTENT_DATA, keyOffset(1n), "file offset is 1, expected a multiple of 4096"],
  ["an unknown extent type", types.EXTENT_DATA, u8(EXTENT.type, 3), "file extent is of type 3"],
  ["an unknown compression", types.EXTENT_DATA, u8(EXTENT.compression, 4), "compression is 4"],
  ["an encrypted extent", types.EXTENT_DATA, u8(EXTENT.encryption, 1), "encryption is 1"],
  ["an inline extent past the start", types.EXTENT_DATA, keyOffset(4096n), "inline extent is at file offset 4096", extentOfType(0)],
  ["an inline extent of another length", types.EXTENT_DATA, u64(EXTENT.ramBytes, 5n), "inline extent says 5 bytes", extentOfType(0, 0)],
  ["a regular extent of an inline size", types.EXTENT_DATA, u8(EXTENT.type, 1), "expected 53", extentOfType(0)],
  ["an extent at an odd address", types.EXTENT_DATA, u64(EXTENT.diskBytenr, 5n), "address of the extent is 5", extentOfType(1)],
  ["an odd offset in an extent", types.EXTENT_DATA, u64(EXTENT.offset, 5n), "offset in the extent is 5", extentOfType(1)],
  ["an odd decoded length", types.EXTENT_DATA, u64(EXTENT.ramBytes, 5n), "decoded length is 5", extentOfType(1)],
  ["an odd stored length", types.EXTENT_DATA, u64(EXTENT.diskNumBytes, 5n), "stored length is 5", extentOfType(1)],
  ["an odd length", types.EXTENT_DATA, u64(EXTENT.numBytes, 5n), "length is 5", extentOfType(2)],
  ["an extent that ends past 2^64", types.EXTENT_DATA, (i) => { keyOffset(2n ** 64n - 4096n)(i); u64(EXTENT.numBytes, 4096n)(i); }, "ends past 2^64", (i) => extentOfType(1)(i) && i.view.getBigUint64(i.key + 9, true) > 0n && i.view.getUint32(96, true) === i.slot + 1],
  ["an extent that covers the next", types.EXTENT_DATA, u64(EXTENT.numBytes, 2n ** 40n), "file extent before it ends at", (i) => extentOfType(1)(i) && i.view.getBigUint64(i.key + 25, true) === i.view.getBigUint64(i.key, true)],
  ["checksums under another id", types.EXTENT_CSUM, (i) => i.view.setUint8(i.key, 0xf5), "object id of checksums is", (i) => i.slot === 0],
  ["checksums at an odd address", types.EXTENT_CSUM, keyOffset(2n ** 50n + 1n), "address of checksums is", (i) => i.view.getUint32(96, true) === i.slot + 1],
  ["checksums that cover the next", types.EXTENT_CSUM, (i) => i.view.setBigUint64(i.key + 9, i.view.getBigUint64(i.key + 25 + 9, true) - 4096n, true), "checksums before it end at", (i) => i.slot + 1 < i.view.getUint32(96, true) && i.size > 4],
  ["an extent without references", types.EXTENT_ITEM, u64(0, 0n), "extent has 0 references"],
  ["an extent from the future", types.METADATA_ITEM, u64(8, 10n ** 6n), "generation of the extent is 1000000"],
  ["an extent that is data and block", types.EXTENT_ITEM, u32(16, 3), "extent flags are 0x3"],
  ["data with full back references", types.EXTENT_ITEM, u32(16, 0x101), "full back references", isData],
  ["data under a block's key", types.METADATA_ITEM, u32(16, 1), "data has the key of a tree block", isBlock],
  ["a block of another size", types.EXTENT_ITEM, u32(16, 2), "expected 4096", (i) => isData(i) && i.view.getBigUint64(i.key + 9, true) !== 4096n],
  ["a level over 7", types.METADATA_ITEM, keyOffset(8n), "level of the block is 8", (i) => i.slot + 1 === i.view.getUint32(96, true) || i.view.getBigUint64(i.key + 25, true) > i.view.getBigUint64(i.key, true)],
  ["an inline reference of an unknown type", types.METADATA_ITEM, u8(24, 7), "inline reference is of type 7", hasInline(176)],
  ["an inline reference past the item", types.METADATA_ITEM, u8(24, 178), "bytes after the item", hasInline(176)],
  ["a reference that counts nothing", types.EXTENT_ITEM, u32(24 + 25, 0), "reference counts 0", hasInline(178)],
  ["more inline references than there are", types.EXTENT_ITEM, u32(24 + 25, 1000), "are inline", hasInline(178)],
  ["a referrer at an odd address", types.METADATA_ITEM, (i) => { u8(24, 182)(i); u64(25, 5n)(i); }, "address of a referrer is 5", hasInline(176)],
  ["inline references out of order", types.METADATA_ITEM, (i) => u64(25, 0n)(i), "ascend, expected a falling order", (i) => hasInline(176)(i) && i.size >= 24 + 18 && i.view.getUint8(i.at + 33) === 176],
  ["a block group without a length", types.BLOCK_GROUP_ITEM, keyOffset(0n), "covers 0 bytes", notFirst],
  ["a block group that is fuller than full", types.BLOCK_GROUP_ITEM, u64(0, 2n ** 60n), "bytes of the block group are used"],
  ["a block group of another chunk tree", types.BLOCK_GROUP_ITEM, u64(8, 255n), "chunk object id is 255"],
  ["a block group of two profiles", types.BLOCK_GROUP_ITEM, u64(16, 0x19n), "two profiles"],
  ["a block group of no type", types.BLOCK_GROUP_ITEM, u64(16, 0x8n), "expected data, metadata, both or system"],
  ["a root at an odd address", types.ROOT_ITEM, u64(ROOT.bytenr, 5n), "address of the root is 5"],
  ["a root of level 8", types.ROOT_ITEM, u8(ROOT.level, 8), "level of the root is 8"],
  ["a drop of level 8", types.ROOT_ITEM, u8(ROOT.dropLevel, 8), "drop level is 8"],
  ["a root from the future", types.ROOT_ITEM, u64(ROOT.generation, 10n ** 6n), "generation of the root is 1000000"],
  ["unknown root flags", types.ROOT_ITEM, u64(ROOT.flags, 2n), "root flags are 2"],
  ["a root reference whose name does not end with it", types.ROOT_REF, u16(16, 1), "name has 1 bytes"],
  ["a device extent of another tree", types.DEV_EXTENT, u64(0, 4n), "chunk tree is 4"],
  ["a device extent over the next", types.DEV_EXTENT, u64(24, 2n ** 40n), "device extent before it ends at", (i) => i.slot + 1 < i.view.getUint32(96, true)],
  ["free space at an odd address", types.FREE_SPACE_EXTENT, (i) => i.view.setUint8(i.key + 9, 1), "length of the free space is"],
];

test.each(RULES.map((rule) => ({ title: rule[0], rule })))(
  "$title is refused",
  ({ rule: [, type, change, message, want] }) => {
    expect(() => checkChanged(type, change, want)).toThrow(CorruptError);
    expect(() => checkChanged(type, change, want)).toThrow(message);
  },
);

function checkHeader(change: (view: DataView) => void, expected: Partial<NodeExpectation> = {}): void {
  const node = nodes.find(({ level, owner }) => level === 0 && owner === 5n)!;
  const copy = new NodeBlock(node.bytes.slice());
  change(copy.view);
  checkNode(copy, node.logical, { ...expectationOf(node), ...expected }, limits);
}

test("a header that is not what led to it is refused", () => {
  const { offsets } = NodeHeader;
  checkHeader(() => {});
  expect(() => checkHeader((view) => view.setUint8(offsets.bytenr, 1))).toThrow("its header says logical");
  expect(() => checkHeader((view) => view.setUint8(offsets.fsid, 1))).toThrow("its fsid is another filesystem's");
  expect(() => checkHeader((view) => view.setUint8(offsets.flags + 7, 0))).toThrow("revision is 0, expected 1");
  expect(() => checkHeader((view) => view.setUint8(offsets.level, 8))).toThrow("level is 8, expected below 8");
  expect(() => checkHeader((view) => view.setUint8(offsets.level, 1))).toThrow("level is 1, expected 0");
  expect(() => checkHeader((view) => view.setUint32(offsets.nritems, 160, true))).toThrow("at most 159 fit");
  expect(() => checkHeader((view) => view.setUint32(offsets.nritems, 0, true))).toThrow("tree 5 is empty");
  expect(() => checkHeader(() => {}, { generation: 2 })).toThrow("expected 2");
  expect(() => checkHeader((view) => view.setUint8(offsets.generation + 7, 1))).toThrow("the superblock's is");
  expect(() => checkHeader(() => {}, { owner: 7n })).toThrow("owner is tree 5, expected 7");
  checkHeader(() => {}, { owner: 256n });
  checkHeader(() => {}, { owner: 0n });
  const key = { objectid: 1n, type: 1, offset: 0n };
  expect(() => checkHeader(() => {}, { firstKey: key })).toThrow("expected (1 INODE_ITEM 0)");
  expect(() => checkHeader(() => {}, { endKey: key })).toThrow("expected one below (1 INODE_ITEM 0)");
});

test("item data that overlaps, leaves a gap or reaches into the headers is refused, and so are keys out of order", () => {
  const first = 101 + 17;
  expect(() => checkHeader((view) => view.setUint32(first, 0xffff_ffff, true))).toThrow("data of the item ends at");
  expect(() => checkHeader((view) => view.setUint32(first + 4, 0xffff_ffff, true))).toThrow("data of the item ends at");
  expect(() => checkHeader((view) => view.setUint8(101 + 25 + 8, 0))).toThrow("expected one above");
  const full = (view: DataView) => {
    view.setUint32(first, 0, true);
    view.setUint32(first + 4, 4096 - 101, true);
  };
  expect(() => checkHeader(full)).toThrow("data starts at 0, headers end at");
});

test("an inner node without children, or with one at an odd or vast address, is refused", () => {
  const node = nodes.find(({ level }) => level === 1)!;
  const check = (change: (view: DataView) => void) => {
    const copy = new NodeBlock(node.bytes.slice());
    change(copy.view);
    checkNode(copy, node.logical, expectationOf(node), limits);
  };
  check(() => {});
  expect(() => check((view) => view.setUint32(NodeHeader.offsets.nritems, 0, true))).toThrow("it has no children");
  expect(() => check((view) => view.setBigUint64(101 + 17, 0n, true))).toThrow("child is at 0");
  expect(() => check((view) => view.setBigUint64(101 + 17, 4097n, true))).toThrow("child is at 4097");
  expect(() => check((view) => view.setBigUint64(101 + 17, 2n ** 63n, true))).toThrow(
    "child is at 9223372036854775808",
  );
  expect(() => check((view) => view.setUint8(101 + 25 + 7, 1))).toThrow("generation of a child");
  expect(() => check((view) => view.setBigUint64(101, 2n ** 64n - 1n, true))).toThrow("expected one above");
});
