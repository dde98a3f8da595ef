import { viewOf } from "../bytes/bytes.ts";
import { CorruptError } from "../errors.ts";
import { decodeInlineRefs, decodeKeyedRefs, ExtentItem, type ExtentRef } from "../format/extent-item.ts";
import { keyOf, MAX_U64 } from "../format/key.ts";
import {
  EXTENT_DATA_REF,
  EXTENT_ITEM,
  EXTENT_OWNER_REF,
  METADATA_ITEM,
  SHARED_BLOCK_REF,
  SHARED_DATA_REF,
  TREE_BLOCK_REF,
} from "../format/key-type.ts";
import { itemBytes, itemWhere, type NodeBlock, slotKey } from "../format/node.ts";
import type { Tree } from "../tree/source.ts";
import type { BlockSource } from "./source.ts";

/** Extents with more references are not looked at: that takes too long. */
export const MAX_REFS = 1024;

/** An extent item, read. */
export interface ExtentFacts {
  readonly refs: bigint;
  readonly generation: number;
  readonly all: readonly ExtentRef[];
}

export function descending(a: bigint, b: bigint): number {
  return a === b ? 0 : a < b ? 1 : -1;
}

/** An extent item with all its references; `undefined` when there is none. */
export async function readExtent(
  tree: Tree,
  logical: number,
  type: typeof EXTENT_ITEM | typeof METADATA_ITEM,
): Promise<ExtentFacts | undefined> {
  const objectid = BigInt(logical);
  const span = await tree.find(keyOf(objectid, type, MAX_U64), "atOrBefore");
  if (span === undefined) return undefined;
  const { leaf, first } = span;
  const key = slotKey(leaf, first);
  if (key.objectid !== objectid || (key.type !== EXTENT_ITEM && key.type !== METADATA_ITEM)) return undefined;
  const data = viewOf(itemBytes(leaf, first));
  const all = decodeInlineRefs(data, key.type, leaf.where);
  const { refs, generation } = new ExtentItem(data);
  const counted = all.reduce((sum, ref) => sum + countOf(ref), 0n);
  if (counted < refs && refs <= BigInt(MAX_REFS)) {
    const range = { first: keyOf(objectid, TREE_BLOCK_REF, 0n), last: keyOf(objectid, SHARED_DATA_REF + 1, 0n) };
    for await (const { leaf, first, last } of tree.leaves(range)) {
      for (let slot = first; slot < last; slot++) {
        const { type, offset } = slotKey(leaf, slot);
        if (!KEYED.has(type)) continue;
        all.push(...decodeKeyedRefs(viewOf(itemBytes(leaf, slot)), type, offset, itemWhere(leaf, slot)));
      }
    }
  }
  return { refs, generation: Number(generation), all };
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
function countOf(ref: ExtentRef): bigint {
  if (ref.type === EXTENT_OWNER_REF) return 0n;
  return "count" in ref ? BigInt(ref.count) : 1n;
}
