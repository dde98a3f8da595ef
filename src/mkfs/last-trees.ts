import { newStruct } from "../bytes/struct.ts";
import { BLOCK_GROUP_DATA, BLOCK_GROUP_SYSTEM } from "../format/chunk.ts";
import { DevStatsItem } from "../format/device-items.ts";
import {
  EXTENT_FLAG_DATA,
  EXTENT_FLAG_TREE_BLOCK,
  ExtentDataRef,
  ExtentItem,
  type ExtentRef,
} from "../format/extent-item.ts";
import { FreeSpaceInfo } from "../format/free-space.ts";
import * as types from "../format/key-type.ts";
import { ITEM_HEADER_BYTES } from "../format/node.ts";
import * as ids from "../format/objectid.ts";
import { bytesOf, chunkKey, encodeBlockGroup, encodeChunk, encodeDevExtent } from "../transaction/chunk-items.ts";
import { encodeInlineRefs, encodeKeyedRef, refSequence } from "../transaction/extent-refs.ts";
import { leafCapacity } from "../transaction/leaf.ts";
import type { Blocks } from "./blocks.ts";
import type { DataRef, ExtentTable } from "./extent-table.ts";
import { type Item, item } from "./item.ts";
import type { Recipe } from "./recipe.ts";
import { chunkOf, type FillingChunk, type Space } from "./space.ts";
import { type BlockTarget, LeafCount, placeOrder, putU64, type TreeRoot, TreeWriter } from "./tree-writer.ts";

/** With one reference. */
const METADATA_ITEM_BYTES = ExtentItem.byteLength + 9;
const DATA_ITEM_BYTES = ExtentItem.byteLength + 29;

export interface LastTrees {
  readonly roots: ReadonlyMap<bigint, TreeRoot>;
  readonly root: TreeRoot;
  readonly chunk: TreeRoot;
}

/**
 * Writes the trees that say where everything is. They are about themselves too: what each of them takes is known from the
 * number and size of its items before any of them is written.
 *
 * @param roots Trees that are complete.
 * @param rootItems Makes the items of the root tree.
 */
export function writeLastTrees(
  recipe: Recipe,
  space: Space,
  blocks: Blocks,
  extents: ExtentTable,
  roots: Map<bigint, TreeRoot>,
  rootItems: (roots: ReadonlyMap<bigint, TreeRoot>) => readonly Item[],
): LastTrees {
  const system = space.chunks.find(({ type }) => type === BLOCK_GROUP_SYSTEM)!;
  const last: readonly bigint[] = [
    ids.DEV_TREE_OBJECTID,
    ...(recipe.freeSpaceTree ? [ids.FREE_SPACE_TREE_OBJECTID] : []),
    ...(recipe.blockGroupTree ? [ids.BLOCK_GROUP_TREE_OBJECTID] : []),
    ids.EXTENT_TREE_OBJECTID,
  ];
  const nowhere: TreeRoot = { logical: 0, level: 0, blocks: 1 };
  const rootSizes = sizesOf(rootItems(new Map([...roots, ...last.map((id) => [id, nowhere] as const)])));

  // No chunk may come from here on: the room for all is made before.
  blocks.ensure(roomForLast(recipe, space, blocks, extents, rootSizes));
  if (recipe.isTight) for (const chunk of space.chunks.filter(isData).reverse()) space.trim(chunk);

  const chunkItems = chunkTreeItems(recipe, space);
  const chunkTree = blocks.reserve(ids.CHUNK_TREE_OBJECTID, orderOf(recipe, sizesOf(chunkItems)), system);
  roots.set(
    ids.DEV_TREE_OBJECTID,
    write(recipe, ids.DEV_TREE_OBJECTID, blocks.target(ids.DEV_TREE_OBJECTID), devTreeItems(recipe, space)),
  );
  const reserve = (id: bigint, sizes: readonly number[]) => blocks.reserve(id, orderOf(recipe, sizes));
  const free = recipe.freeSpaceTree ? reserve(ids.FREE_SPACE_TREE_OBJECTID, sizesOf(freeSpaceItems(space))) : undefined;
  const groups = recipe.blockGroupTree
    ? reserve(ids.BLOCK_GROUP_TREE_OBJECTID, sizesOf(blockGroupItems(recipe, space)))
    : undefined;
  const rootTree = reserve(ids.ROOT_TREE_OBJECTID, rootSizes);
  const extentTree = blocks.reserve(ids.EXTENT_TREE_OBJECTID, extentTreeOrder(recipe, space, blocks, extents));

  if (free !== undefined) {
    roots.set(ids.FREE_SPACE_TREE_OBJECTID, write(recipe, ids.FREE_SPACE_TREE_OBJECTID, free, freeSpaceItems(space)));
  }
  if (groups !== undefined) {
    roots.set(
      ids.BLOCK_GROUP_TREE_OBJECTID,
      write(recipe, ids.BLOCK_GROUP_TREE_OBJECTID, groups, blockGroupItems(recipe, space)),
    );
  }
  const tree = new TreeWriter(recipe, ids.EXTENT_TREE_OBJECTID, extentTree);
  eachExtentItem(recipe, space, blocks, extents, new ItemSink(tree));
  roots.set(ids.EXTENT_TREE_OBJECTID, tree.finish());
  const root = write(recipe, ids.ROOT_TREE_OBJECTID, rootTree, rootItems(roots));
  const chunk = write(recipe, ids.CHUNK_TREE_OBJECTID, chunkTree, chunkItems);
  return { roots, root, chunk };
}

export function write(recipe: Recipe, id: bigint, target: BlockTarget, items: readonly Item[]): TreeRoot {
  const tree = new TreeWriter(recipe, id, target);
  for (const each of items) tree.addItem(each);
  return tree.finish();
}

function sizesOf(items: readonly Item[]): number[] {
  return items.map(({ data }) => data.byteLength);
}

function leavesOf({ nodeSize }: Recipe, sizes: readonly number[]): number {
  const leaves = new LeafCount(nodeSize);
  for (const size of sizes) leaves.add(size);
  return Math.max(leaves.count, 1);
}

/** Levels of the blocks of a tree whose items have these sizes. */
function orderOf(recipe: Recipe, sizes: readonly number[]): number[] {
  return placeOrder(leavesOf(recipe, sizes), recipe.nodeSize);
}

/** Bytes that the last trees take in a metadata chunk at most, one more chunk included. */
function roomForLast(
  recipe: Recipe,
  space: Space,
  blocks: Blocks,
  extents: ExtentTable,
  rootSizes: readonly number[],
): number {
  const { nodeSize } = recipe;
  const leaves = new CountingSink(nodeSize);
  eachExtentItem(recipe, space, blocks, extents, leaves);
  const others = leavesOf(recipe, rootSizes) + Math.ceil((space.chunks.length + 2) / 20) * 4;
  const total = leaves.count + others;
  // An item for each of these blocks, inner ones too, takes some two hundredths of a leaf at most, but for the smallest nodes.
  return nodeSize * (Math.ceil(total * 1.1) + 24);
}

function chunkTreeItems(recipe: Recipe, space: Space): Item[] {
  const device = recipe.device;
  device.bytesUsed = BigInt(space.chunks.reduce((sum, { physical, length }) => sum + physical.length * length, 0));
  device.totalBytes = BigInt(recipe.totalBytes(space.end));
  return [
    item(ids.DEV_ITEMS_OBJECTID, types.DEV_ITEM, device.devid, bytesOf(device)),
    ...space.chunks.map((filling) => {
      const chunk = chunkOf(filling, device.uuid);
      return { key: chunkKey(chunk), data: encodeChunk(chunk, recipe.sectorSize) };
    }),
  ];
}

function devTreeItems(recipe: Recipe, space: Space): Item[] {
  const extents = space.chunks.flatMap((filling) => {
    const data = encodeDevExtent(chunkOf(filling, recipe.device.uuid), recipe.chunkTreeUuid);
    return filling.physical.map((physical) => ({ physical, data }));
  });
  return [
    item(ids.DEV_STATS_OBJECTID, types.PERSISTENT_ITEM, recipe.device.devid, bytesOf(newStruct(DevStatsItem))),
    ...extents
      .sort((a, b) => a.physical - b.physical)
      .map(({ physical, data }) => item(recipe.device.devid, types.DEV_EXTENT, BigInt(physical), data)),
  ];
}

function freeSpaceItems(space: Space): Item[] {
  return space.chunks.flatMap(({ start, length, used }) => {
    const info = newStruct(FreeSpaceInfo);
    info.extentCount = used < length ? 1 : 0;
    const items = [item(BigInt(start), types.FREE_SPACE_INFO, BigInt(length), bytesOf(info))];
    if (used < length) items.push(item(BigInt(start + used), types.FREE_SPACE_EXTENT, BigInt(length - used)));
    return items;
  });
}

function blockGroupItems(recipe: Recipe, space: Space): Item[] {
  return space.chunks.map((chunk) => blockGroup(recipe, chunk));
}

function blockGroup(recipe: Recipe, chunk: FillingChunk): Item {
  const data = encodeBlockGroup(chunkOf(chunk, recipe.device.uuid), chunk.used);
  return item(BigInt(chunk.start), types.BLOCK_GROUP_ITEM, BigInt(chunk.length), data);
}

function isData({ type }: FillingChunk): boolean {
  return type === BLOCK_GROUP_DATA;
}

/** What the extent tree has, told one by one. */
interface ExtentItems {
  block(logical: number, level: number, tree: bigint, generation: number): void;
  data(logical: number, bytes: number, ref: DataRef, generation: number): void;
  item(item: Item): void;
}

class CountingSink extends LeafCount implements ExtentItems {
  block(): void {
    this.add(METADATA_ITEM_BYTES);
  }

  data(): void {
    this.add(DATA_ITEM_BYTES);
  }

  item({ data }: Item): void {
    this.add(data.byteLength);
  }
}

class ItemSink implements ExtentItems {
  readonly #tree: TreeWriter;

  constructor(tree: TreeWriter) {
    this.#tree = tree;
  }

  block(logical: number, level: number, owner: bigint, generation: number): void {
    const tree = this.#tree;
    tree.add(logical, types.METADATA_ITEM, level, METADATA_ITEM_BYTES);
    this.#head(generation, Number(EXTENT_FLAG_TREE_BLOCK));
    tree.view.setUint8(tree.at + ExtentItem.byteLength, types.TREE_BLOCK_REF);
    tree.view.setBigUint64(tree.at + ExtentItem.byteLength + 1, owner, true);
  }

  data(logical: number, bytes: number, { root, inode, offset }: DataRef, generation: number): void {
    const tree = this.#tree;
    tree.add(logical, types.EXTENT_ITEM, bytes, DATA_ITEM_BYTES);
    this.#head(generation, Number(EXTENT_FLAG_DATA));
    tree.view.setUint8(tree.at + ExtentItem.byteLength, types.EXTENT_DATA_REF);
    const ref = tree.at + ExtentItem.byteLength + 1;
    tree.view.setBigUint64(ref + ExtentDataRef.offsets.root, root, true);
    putU64(tree.view, ref + ExtentDataRef.offsets.objectid, inode);
    putU64(tree.view, ref + ExtentDataRef.offsets.offset, offset);
    tree.view.setUint32(ref + ExtentDataRef.offsets.count, 1, true);
  }

  item(item: Item): void {
    this.#tree.addItem(item);
  }

  #head(generation: number, flags: number): void {
    const { view, at } = this.#tree;
    putU64(view, at + ExtentItem.offsets.refs, 1);
    putU64(view, at + ExtentItem.offsets.generation, generation);
    putU64(view, at + ExtentItem.offsets.flags, flags);
  }
}

/**
 * Tells all items of the extent tree in their order: extents by address, and the item of each block group behind its first.
 *
 * @param own Levels of blocks to come, at the end of the metadata.
 */
function eachExtentItem(
  recipe: Recipe,
  space: Space,
  blocks: Blocks,
  extents: ExtentTable,
  sink: ExtentItems,
  own: readonly number[] = [],
): void {
  const { generation, nodeSize } = recipe;
  for (const chunk of [...space.chunks].sort((a, b) => a.start - b.start)) {
    let isFirst = true;
    const group = (): void => {
      if (isFirst && !recipe.blockGroupTree) sink.item(blockGroup(recipe, chunk));
      isFirst = false;
    };
    if (isData(chunk)) {
      for (let row = extents.rowAt(chunk.start); row < extents.count; row++) {
        const logical = extents.logical(row);
        if (logical >= chunk.start + chunk.length) break;
        const more = extents.more(row);
        if (more === undefined) {
          sink.data(logical, extents.bytes(row), extents.first(row), generation);
        } else {
          const shown = [extents.first(row), ...more];
          for (const each of sharedItems(recipe, logical, extents.bytes(row), shown)) sink.item(each);
        }
        group();
      }
    } else {
      let logical = chunk.start;
      for (const { tree, level } of blocks.blocksOf(chunk)) {
        sink.block(logical, level, tree, generation);
        logical += nodeSize;
        group();
      }
      if (chunk === blocks.chunk) for (const level of own) sink.block(0, level, ids.EXTENT_TREE_OBJECTID, generation);
    }
    group();
  }
}

/**
 * Levels of the extent tree's own blocks. It has an item for each of them: more of them never need fewer, so counting up
 * from few ends.
 */
function extentTreeOrder(recipe: Recipe, space: Space, blocks: Blocks, extents: ExtentTable): number[] {
  for (let own: number[] = [0]; ; ) {
    const leaves = new CountingSink(recipe.nodeSize);
    eachExtentItem(recipe, space, blocks, extents, leaves, own);
    const next = placeOrder(leaves.count, recipe.nodeSize);
    if (next.length === own.length) return next;
    own = next;
  }
}

/** The items of an extent that several files show: inline references as long as they fit, as the kernel keeps them. */
function sharedItems(
  { nodeSize, generation }: Recipe,
  logical: number,
  bytes: number,
  shown: readonly DataRef[],
): Item[] {
  const refs: (ExtentRef & { type: typeof types.EXTENT_DATA_REF })[] = shown.map(({ root, inode, offset }) => {
    return { type: types.EXTENT_DATA_REF, root, objectid: BigInt(inode), offset: BigInt(offset), count: 1 };
  });
  const most = Math.floor(leafCapacity(nodeSize) / 16) - ITEM_HEADER_BYTES;
  const inline = Math.max(1, Math.floor((most - 1 - ExtentItem.byteLength) / 29));
  const head = newStruct(ExtentItem);
  head.refs = BigInt(refs.length);
  head.generation = BigInt(generation);
  head.flags = EXTENT_FLAG_DATA;
  const encoded = encodeInlineRefs(refs.slice(0, inline));
  const data = new Uint8Array(ExtentItem.byteLength + encoded.byteLength);
  data.set(bytesOf(head));
  data.set(encoded, ExtentItem.byteLength);
  const start = BigInt(logical);
  const taken = new Set<bigint>();
  const keyed = refs.slice(inline).map((ref) => {
    let offset = refSequence(ref);
    while (taken.has(offset)) offset = BigInt.asUintN(64, offset + 1n);
    taken.add(offset);
    return item(start, types.EXTENT_DATA_REF, offset, encodeKeyedRef(ref));
  });
  keyed.sort((a, b) => (a.key.offset < b.key.offset ? -1 : 1));
  return [item(start, types.EXTENT_ITEM, BigInt(bytes), data), ...keyed];
}
