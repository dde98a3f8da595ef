import { toBytes, viewOf } from "../bytes/bytes.ts";
import { newStruct } from "../bytes/struct.ts";
import { BlockGroupItem } from "../format/block-group.ts";
import { BLOCK_GROUP_METADATA, BLOCK_GROUP_SYSTEM, type DevItem } from "../format/chunk.ts";
import { DevStatsItem } from "../format/device-items.ts";
import { FT_DIR } from "../format/dir-item.ts";
import { EXTENT_FLAG_TREE_BLOCK, ExtentItem } from "../format/extent-item.ts";
import { FreeSpaceInfo } from "../format/free-space.ts";
import { compareKeys, keyOf, MAX_U64 } from "../format/key.ts";
import * as types from "../format/key-type.ts";
import type { NodeBlock } from "../format/node.ts";
import * as ids from "../format/objectid.ts";
import { uuidKey } from "../format/uuid-tree.ts";
import { bytesOf, chunkKey, encodeBlockGroup, encodeChunk, encodeDevExtent } from "../transaction/chunk-items.ts";
import {
  encodeDirEntry,
  encodeInodeRef,
  initSubvolumeRoot,
  newDirectoryInode,
  newRootItem,
} from "../transaction/new-items.ts";
import type { NodeStamp } from "../transaction/new-node.ts";
import type { BackupTrees } from "../transaction/superblock.ts";
import { nameHash } from "../tree/hash.ts";
import type { Chunk } from "../volume/chunk-map.ts";
import { type Item, item, levelsOf, packTree, shapeOf } from "./pack.ts";

/** All that an empty filesystem follows from. */
export interface Recipe extends NodeStamp {
  readonly sectorSize: number;
  readonly subvolumeUuid: Uint8Array;
  readonly chunks: readonly Chunk[];
  readonly device: InstanceType<typeof DevItem>;
  readonly freeSpaceTree: boolean;
  readonly blockGroupTree: boolean;
  readonly noHoles: boolean;
  /** Nanoseconds since 1970. */
  readonly now: bigint;
}

interface Place {
  readonly logical: number;
  readonly level: number;
  readonly generation: number;
}

export interface BuiltFilesystem {
  readonly blocks: readonly { readonly node: NodeBlock; readonly chunk: Chunk }[];
  readonly roots: BackupTrees & { readonly root: Place; readonly chunk: Place };
  /** Logical bytes in extents. */
  readonly bytesUsed: number;
}

const DEFAULT = toBytes("default");
const PARENT = toBytes("..");
/** With one reference. */
const METADATA_ITEM_BYTES = ExtentItem.byteLength + 9;

/** Builds every tree of an empty filesystem, once. */
export function buildTrees(recipe: Recipe): BuiltFilesystem {
  const { nodeSize, chunks, generation } = recipe;
  const system = chunks.find(({ type }) => type === BLOCK_GROUP_SYSTEM)!;
  const meta = chunks.find(({ type }) => type === BLOCK_GROUP_METADATA)!;
  const content = contentOf(recipe);

  // What items say has no bearing on their sizes, so the shape of every tree is known before where its blocks lie.
  const levels = levelsOfTrees(recipe, content);
  const places = new Map<bigint, number[]>();
  const used = new Map(chunks.map((chunk) => [chunk, 0]));
  for (const [id, list] of levels) {
    const chunk = id === ids.CHUNK_TREE_OBJECTID ? system : meta;
    const at = chunk.start + used.get(chunk)!;
    places.set(
      id,
      list.map((_, index) => at + index * nodeSize),
    );
    used.set(chunk, used.get(chunk)! + list.length * nodeSize);
  }
  for (const [id, items] of spaceTrees(recipe, used)) content.set(id, items);
  content.set(ids.EXTENT_TREE_OBJECTID, extentTreeItems(recipe, levels, places, used));
  const rootOf = (id: bigint): Place => {
    return { logical: places.get(id)!.at(-1)!, level: levels.get(id)!.at(-1)!, generation };
  };
  content.set(ids.ROOT_TREE_OBJECTID, rootTreeItems(recipe, [...content.keys()], rootOf));

  return {
    blocks: [...content].flatMap(([id, items]) =>
      packTree(recipe, id, items, places.get(id)!).map((node) => ({
        node,
        chunk: id === ids.CHUNK_TREE_OBJECTID ? system : meta,
      })),
    ),
    roots: {
      root: rootOf(ids.ROOT_TREE_OBJECTID),
      chunk: rootOf(ids.CHUNK_TREE_OBJECTID),
      extent: rootOf(ids.EXTENT_TREE_OBJECTID),
      fs: rootOf(ids.FS_TREE_OBJECTID),
      dev: rootOf(ids.DEV_TREE_OBJECTID),
      csum: rootOf(ids.CSUM_TREE_OBJECTID),
    },
    bytesUsed: [...used.values()].reduce((sum, bytes) => sum + bytes, 0),
  };
}

/** Level of each block of each tree, in the order in which `packTree` makes them. */
function levelsOfTrees(recipe: Recipe, content: ReadonlyMap<bigint, readonly Item[]>): Map<bigint, number[]> {
  const { nodeSize } = recipe;
  const nowhere: Place = { logical: 0, level: 0, generation: 0 };
  const all = new Map([...content, ...spaceTrees(recipe, new Map())]);
  all.set(
    ids.ROOT_TREE_OBJECTID,
    rootTreeItems(recipe, [...all.keys(), ids.EXTENT_TREE_OBJECTID], () => nowhere),
  );
  const levels = new Map([...all].map(([id, items]) => [id, levelsOf(shapeOf(sizesOf(items), nodeSize))]));
  // The extent tree has an item for each block, its own too.
  const others = [...levels.values()].reduce((sum, list) => sum + list.length, 0);
  for (let own: number[] = [0]; ; ) {
    levels.set(ids.EXTENT_TREE_OBJECTID, own);
    const sizes = new Array<number>(others + own.length).fill(METADATA_ITEM_BYTES);
    if (!recipe.blockGroupTree) for (const _ of recipe.chunks) sizes.push(BlockGroupItem.byteLength);
    const next = levelsOf(shapeOf(sizes, nodeSize));
    if (next.length === own.length) return levels;
    own = next;
  }
}

function sizesOf(items: readonly Item[]): number[] {
  return items.map(({ data }) => data.byteLength);
}

/** Items of the trees that do not depend on where blocks lie. */
function contentOf(recipe: Recipe): Map<bigint, readonly Item[]> {
  const { device, chunks, generation, now } = recipe;
  const inode = bytesOf(newDirectoryInode(0o755, generation, now));
  const directory = [
    item(256n, types.INODE_ITEM, 0n, inode),
    item(256n, types.INODE_REF, 256n, encodeInodeRef(0n, PARENT)),
  ];
  const devExtents = chunks.flatMap((chunk) =>
    chunk.stripes.map(({ devid, physical }) =>
      item(BigInt(devid), types.DEV_EXTENT, BigInt(physical), encodeDevExtent(chunk, recipe.chunkTreeUuid)),
    ),
  );
  const uuid = new Uint8Array(8);
  uuid[0] = Number(ids.FS_TREE_OBJECTID);
  return new Map<bigint, readonly Item[]>([
    [
      ids.CHUNK_TREE_OBJECTID,
      [
        item(ids.DEV_ITEMS_OBJECTID, types.DEV_ITEM, device.devid, bytesOf(device)),
        ...chunks.map((chunk) => ({ key: chunkKey(chunk), data: encodeChunk(chunk, recipe.sectorSize) })),
      ],
    ],
    [
      ids.DEV_TREE_OBJECTID,
      [
        item(ids.DEV_STATS_OBJECTID, types.PERSISTENT_ITEM, device.devid, bytesOf(newStruct(DevStatsItem))),
        ...devExtents,
      ],
    ],
    [ids.FS_TREE_OBJECTID, directory],
    [ids.CSUM_TREE_OBJECTID, []],
    [ids.UUID_TREE_OBJECTID, [{ key: uuidKey(recipe.subvolumeUuid, types.UUID_SUBVOL), data: uuid }]],
    [ids.DATA_RELOC_TREE_OBJECTID, directory],
  ]);
}

/** Free space tree and block group tree, as far as they are wanted. */
function spaceTrees(recipe: Recipe, used: ReadonlyMap<Chunk, number>): Map<bigint, readonly Item[]> {
  const trees = new Map<bigint, readonly Item[]>();
  if (recipe.freeSpaceTree) {
    const info = newStruct(FreeSpaceInfo);
    info.extentCount = 1;
    const items = recipe.chunks.flatMap((chunk) => {
      const taken = used.get(chunk) ?? 0;
      return [
        item(BigInt(chunk.start), types.FREE_SPACE_INFO, BigInt(chunk.length), bytesOf(info)),
        item(BigInt(chunk.start + taken), types.FREE_SPACE_EXTENT, BigInt(chunk.length - taken)),
      ];
    });
    trees.set(ids.FREE_SPACE_TREE_OBJECTID, items);
  }
  if (recipe.blockGroupTree) trees.set(ids.BLOCK_GROUP_TREE_OBJECTID, blockGroups(recipe, used));
  return trees;
}

function blockGroups({ chunks }: Recipe, used: ReadonlyMap<Chunk, number>): Item[] {
  return chunks.map((chunk) => {
    const data = encodeBlockGroup(chunk, used.get(chunk) ?? 0);
    return item(BigInt(chunk.start), types.BLOCK_GROUP_ITEM, BigInt(chunk.length), data);
  });
}

function extentTreeItems(
  recipe: Recipe,
  levels: ReadonlyMap<bigint, readonly number[]>,
  places: ReadonlyMap<bigint, readonly number[]>,
  used: ReadonlyMap<Chunk, number>,
): Item[] {
  const items = [...levels].flatMap(([id, list]) =>
    list.map((level, index) => {
      const data = new Uint8Array(METADATA_ITEM_BYTES);
      const extent = new ExtentItem(viewOf(data));
      extent.refs = 1n;
      extent.generation = BigInt(recipe.generation);
      extent.flags = EXTENT_FLAG_TREE_BLOCK;
      data[ExtentItem.byteLength] = types.TREE_BLOCK_REF;
      viewOf(data).setBigUint64(ExtentItem.byteLength + 1, id, true);
      return item(BigInt(places.get(id)![index]!), types.METADATA_ITEM, BigInt(level), data);
    }),
  );
  if (!recipe.blockGroupTree) items.push(...blockGroups(recipe, used));
  return items.sort((a, b) => compareKeys(a.key, b.key));
}

/** @param trees Those with a root item; root and chunk tree have theirs in the superblock. */
function rootTreeItems(recipe: Recipe, trees: readonly bigint[], rootOf: (id: bigint) => Place): Item[] {
  const { generation, nodeSize, now, subvolumeUuid } = recipe;
  const items = trees
    .filter((id) => id !== ids.CHUNK_TREE_OBJECTID && id !== ids.ROOT_TREE_OBJECTID)
    .map((id) => {
      const root = newRootItem({ ...rootOf(id), nodeSize });
      if (id === ids.FS_TREE_OBJECTID) initSubvolumeRoot(root, subvolumeUuid, generation, now);
      if (id === ids.DATA_RELOC_TREE_OBJECTID) root.rootDirid = 256n;
      return item(id, types.ROOT_ITEM, 0n, bytesOf(root));
    });
  const top = keyOf(ids.FS_TREE_OBJECTID, types.ROOT_ITEM, MAX_U64);
  const directory = newDirectoryInode(0o755, generation, now);
  items.push(
    item(ids.FS_TREE_OBJECTID, types.INODE_REF, ids.ROOT_TREE_DIR_OBJECTID, encodeInodeRef(0n, DEFAULT)),
    item(ids.ROOT_TREE_DIR_OBJECTID, types.INODE_ITEM, 0n, bytesOf(directory)),
    item(ids.ROOT_TREE_DIR_OBJECTID, types.INODE_REF, ids.ROOT_TREE_DIR_OBJECTID, encodeInodeRef(0n, PARENT)),
    item(
      ids.ROOT_TREE_DIR_OBJECTID,
      types.DIR_ITEM,
      BigInt(nameHash(DEFAULT)),
      encodeDirEntry(top, 0n, FT_DIR, DEFAULT),
    ),
  );
  return items.sort((a, b) => compareKeys(a.key, b.key));
}
