import { viewOf } from "../../src/bytes/bytes.ts";
import { decodeInlineRefs, decodeKeyedRefs, ExtentItem, type ExtentRef } from "../../src/format/extent-item.ts";
import { FILE_EXTENT_INLINE, FileExtentItem, INLINE_DATA_AT } from "../../src/format/file-extent.ts";
import { InodeItem } from "../../src/format/inode.ts";
import { type Key, keyOf, MAX_U64 } from "../../src/format/key.ts";
import {
  EXTENT_CSUM,
  EXTENT_DATA,
  EXTENT_DATA_REF,
  EXTENT_ITEM,
  INODE_ITEM,
  SHARED_DATA_REF,
} from "../../src/format/key-type.ts";
import { CSUM_TREE_OBJECTID, EXTENT_CSUM_OBJECTID, EXTENT_TREE_OBJECTID } from "../../src/format/objectid.ts";
import type { StoredExtent } from "./encoded-write-vectors.ts";

/** What a filesystem holds of a file: its own items, and those that other trees have for its extents. */
export interface StoredFile {
  readonly size: bigint;
  /** `nbytes` of the inode item. */
  readonly nbytes: bigint;
  readonly extents: readonly StoredExtent[];
  /** The rest of each extent's items, in the same order. */
  readonly details: readonly StoredDetails[];
}

export interface StoredDetails {
  readonly at: number;
  readonly type: number;
  readonly encryption: number;
  readonly otherEncoding: number;
  /** What an inline extent holds, in hex. */
  readonly inline?: string;
  /** In the extent tree; not of inline extents and holes. */
  readonly extent?: {
    readonly bytes: number;
    readonly refs: bigint;
    readonly flags: bigint;
    /** Whether the extent is as old as what refers to it. */
    readonly isSameAge: boolean;
    /** Inline ones, then those in items of their own. The file is inode 0 of tree 0 here. */
    readonly references: readonly ExtentRef[];
  };
  /** Checksums of the stored sectors in hex, a sector that has none as "-". */
  readonly sums?: string;
}

/** An item of any tree. */
export interface TreeItem extends Key {
  readonly data: Uint8Array;
}

/** The items of a tree from `first` to `last`, both included, in bytes of their own. */
export type ReadItems = (tree: bigint, first: Key, last: Key) => Promise<readonly TreeItem[]>;

const SECTOR = 4096;
const SUM_BYTES = 4;

/** What there is of an inode, on a filesystem with 4096-byte sectors and crc32c. */
export async function storedFileOf(read: ReadItems, tree: bigint, inode: bigint): Promise<StoredFile> {
  const stored = { size: 0n, nbytes: 0n, extents: [] as StoredExtent[], details: [] as StoredDetails[] };
  for (const { type, offset, data } of await read(tree, keyOf(inode, 0, 0n), keyOf(inode, 255, MAX_U64))) {
    if (type === INODE_ITEM) {
      const item = new InodeItem(viewOf(data));
      stored.size = item.size;
      stored.nbytes = item.nbytes;
    } else if (type === EXTENT_DATA) {
      stored.extents.push(extentOf(Number(offset), data));
      stored.details.push(await detailsOf(read, tree, inode, Number(offset), data));
    }
  }
  return stored;
}

function extentOf(at: number, data: Uint8Array): StoredExtent {
  const item = new FileExtentItem(viewOf(data));
  const { compression, type } = item;
  const ramBytes = Number(item.ramBytes);
  if (type === FILE_EXTENT_INLINE) return { at, inline: data.byteLength - INLINE_DATA_AT, compression, ramBytes };
  const [diskNumBytes, offset, numBytes] = [Number(item.diskNumBytes), Number(item.offset), Number(item.numBytes)];
  return { at, compression, diskNumBytes, offset, numBytes, ramBytes };
}

async function detailsOf(
  read: ReadItems,
  tree: bigint,
  inode: bigint,
  at: number,
  data: Uint8Array,
): Promise<StoredDetails> {
  const item = new FileExtentItem(viewOf(data));
  const { type, encryption, otherEncoding } = item;
  const head = { at, type, encryption, otherEncoding };
  if (type === FILE_EXTENT_INLINE)
    return { ...head, inline: Buffer.from(data.subarray(INLINE_DATA_AT)).toString("hex") };
  const { diskBytenr, diskNumBytes, generation } = item;
  if (diskBytenr === 0n) return head;
  const own = (ref: ExtentRef): ExtentRef =>
    ref.type === EXTENT_DATA_REF && ref.root === tree && ref.objectid === inode
      ? { ...ref, root: 0n, objectid: 0n }
      : ref;
  const items = await read(
    EXTENT_TREE_OBJECTID,
    keyOf(diskBytenr, EXTENT_ITEM, 0n),
    keyOf(diskBytenr, SHARED_DATA_REF, MAX_U64),
  );
  const extent = items.find((each) => each.type === EXTENT_ITEM);
  if (extent === undefined) throw new Error(`the extent tree has nothing at ${diskBytenr}`);
  const record = new ExtentItem(viewOf(extent.data));
  const keyed = items.filter((each) => each !== extent);
  return {
    ...head,
    extent: {
      bytes: Number(extent.offset),
      refs: record.refs,
      flags: record.flags,
      isSameAge: record.generation === generation,
      references: [
        ...decodeInlineRefs(viewOf(extent.data), EXTENT_ITEM),
        ...keyed.flatMap((each) => decodeKeyedRefs(viewOf(each.data), each.type, each.offset)),
      ].map(own),
    },
    sums: await sumsOf(read, Number(diskBytenr), Number(diskNumBytes)),
  };
}

async function sumsOf(read: ReadItems, logical: number, bytes: number): Promise<string> {
  const sums = Array.from({ length: bytes / SECTOR }, () => "-");
  const key = (offset: number): Key => keyOf(EXTENT_CSUM_OBJECTID, EXTENT_CSUM, BigInt(offset));
  for (const { offset, data } of await read(CSUM_TREE_OBJECTID, key(0), key(logical + bytes - SECTOR))) {
    for (let index = 0; index < data.byteLength / SUM_BYTES; index++) {
      const sector = (Number(offset) - logical) / SECTOR + index;
      const sum = data.subarray(index * SUM_BYTES, (index + 1) * SUM_BYTES);
      if (sector >= 0 && sector < sums.length) sums[sector] = Buffer.from(sum).toString("hex");
    }
  }
  return sums.join(" ");
}
