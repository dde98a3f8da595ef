import { viewOf } from "../bytes/bytes.ts";
import { readSafe } from "../bytes/u64.ts";
import { CorruptError } from "../errors.ts";
import { decodeInlineRefs, decodeKeyedRefs, ExtentItem, type ExtentRef } from "../format/extent-item.ts";
import { DiskKey, KEY_BYTES, keyOf, MAX_U64, writeKey } from "../format/key.ts";
import {
  EXTENT_DATA_REF,
  EXTENT_ITEM,
  EXTENT_OWNER_REF,
  METADATA_ITEM,
  SHARED_BLOCK_REF,
  SHARED_DATA_REF,
  TREE_BLOCK_REF,
} from "../format/key-type.ts";
import { itemBytes, itemData, itemWhere, keyAt, type NodeBlock, slotKey, slotType } from "../format/node.ts";
import type { LeafSpan, Tree } from "../tree/source.ts";
import type { BlockSource } from "./source.ts";

/** Extents with more references are not looked at: that takes too long. */
export const MAX_REFS = 1024;

/** An extent item, read. */
export interface ExtentFacts {
  readonly refs: number;
  readonly generation: number;
  readonly all: readonly ExtentRef[];
}

export function descending(a: bigint, b: bigint): number {
  return a === b ? 0 : a < b ? 1 : -1;
}

type ExtentType = typeof EXTENT_ITEM | typeof METADATA_ITEM;

const searchKey = new DataView(new ArrayBuffer(KEY_BYTES));

/** As `readExtent`; `null` when it has to be waited for. */
export function readExtentNow(tree: Tree, logical: number, type: ExtentType): ExtentFacts | undefined | null {
  writeKey(searchKey, logical, type, 0);
  searchKey.setBigUint64(DiskKey.offsets.offset, MAX_U64, true);
  const span = tree.findNow(searchKey, "atOrBefore");
  if (span === null) return null;
  const extent = span && inlineRefs(span, logical);
  return extent !== undefined && lacksRefs(extent) ? null : extent;
}

/** An extent item with all its references; `undefined` when there is none. */
export async function readExtent(tree: Tree, logical: number, type: ExtentType): Promise<ExtentFacts | undefined> {
  const objectid = BigInt(logical);
  const span = await tree.find(keyOf(objectid, type, MAX_U64), "atOrBefore");
  const extent = span && inlineRefs(span, logical);
  if (extent === undefined || !lacksRefs(extent)) return extent;
  const all = [...extent.all];
  const range = { first: keyOf(objectid, TREE_BLOCK_REF, 0n), last: keyOf(objectid, SHARED_DATA_REF + 1, 0n) };
  for await (const { leaf, first, last } of tree.leaves(range)) {
    for (let slot = first; slot < last; slot++) {
      const { type, offset } = slotKey(leaf, slot);
      if (!KEYED.has(type)) continue;
      all.push(...decodeKeyedRefs(viewOf(itemBytes(leaf, slot)), type, offset, itemWhere(leaf, slot)));
    }
  }
  return { ...extent, all };
}

/** What the item itself has. */
function inlineRefs({ leaf, first }: LeafSpan, logical: number): ExtentFacts | undefined {
  const at = keyAt(leaf, first);
  const type = slotType(leaf, first);
  if (type !== EXTENT_ITEM && type !== METADATA_ITEM) return undefined;
  const { view } = leaf;
  const isLogical = view.getUint32(at, true) === logical >>> 0 && readSafe(view, at, "extent address") === logical;
  if (!isLogical) return undefined;
  const data = itemData(leaf, first);
  const all = decodeInlineRefs(data, type, leaf.where);
  const refs = data.getUint32(4, true) === 0 ? data.getUint32(0, true) : Number.MAX_SAFE_INTEGER;
  return { refs, generation: readSafe(data, ExtentItem.offsets.generation, "generation of an extent"), all };
}

/** Whether more references have items of their own, and are wanted. */
function lacksRefs({ refs, all }: ExtentFacts): boolean {
  let counted = 0;
  for (const ref of all) counted += countOf(ref);
  return counted < refs && refs <= MAX_REFS;
}

const KEYED: ReadonlySet<number> = new Set([TREE_BLOCK_REF, EXTENT_DATA_REF, SHARED_BLOCK_REF, SHARED_DATA_REF]);

/** The block at an address that a reference names. @throws {CorruptError} when the extent tree does not have it. */
export async function readReferenced(blocks: BlockSource, logical: number, level: number): Promise<NodeBlock> {
  const extent = await readExtent(await blocks.extentTree(), logical, METADATA_ITEM);
  if (extent === undefined) {
    throw new CorruptError("Cannot find tree block: nothing in the extent tree has its address", { logical });
  }
  return blocks.readBlock(logical, level, extent.generation);
}

/** An owner is no reference. */
function countOf(ref: ExtentRef): number {
  if (ref.type === EXTENT_OWNER_REF) return 0;
  return "count" in ref ? ref.count : 1;
}
