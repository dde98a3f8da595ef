import { toBytes } from "../bytes/bytes.ts";
import { newStruct } from "../bytes/struct.ts";
import { BLOCK_GROUP_SYSTEM } from "../format/chunk.ts";
import { COMPRESS_LZO, COMPRESS_ZSTD } from "../format/file-extent.ts";
import * as ids from "../format/objectid.ts";
import {
  COMPAT_RO_BLOCK_GROUP_TREE,
  COMPAT_RO_FREE_SPACE_TREE,
  COMPAT_RO_FREE_SPACE_TREE_VALID,
  INCOMPAT_BIG_METADATA,
  INCOMPAT_COMPRESS_LZO,
  INCOMPAT_COMPRESS_ZSTD,
  INCOMPAT_DEFAULT_SUBVOL,
  INCOMPAT_EXTENDED_IREF,
  INCOMPAT_MIXED_BACKREF,
  INCOMPAT_NO_HOLES,
  INCOMPAT_SKINNY_METADATA,
  SUPERBLOCK_MAGIC,
  Superblock,
} from "../format/superblock.ts";
import { addSystemChunk } from "../transaction/chunk-items.ts";
import { noteBackupRoots } from "../transaction/superblock.ts";
import type { LastTrees } from "./last-trees.ts";
import type { Recipe } from "./recipe.ts";
import { chunkOf, type Space } from "./space.ts";

export interface SuperblockFacts {
  readonly checksumType: number;
  readonly label: Uint8Array;
  /** Algorithms that some data is compressed with. */
  readonly compressions: ReadonlySet<number>;
  readonly hasDefault: boolean;
}

export function superblockOf(
  recipe: Recipe,
  space: Space,
  trees: LastTrees,
  facts: SuperblockFacts,
): InstanceType<typeof Superblock> {
  const superblock = newStruct(Superblock);
  const { root, chunk } = trees;
  const generation = BigInt(recipe.generation);
  superblock.fsid = recipe.fsid;
  superblock.magic = SUPERBLOCK_MAGIC;
  superblock.generation = generation;
  superblock.root = BigInt(root.logical);
  superblock.rootLevel = root.level;
  superblock.chunkRoot = BigInt(chunk.logical);
  superblock.chunkRootLevel = chunk.level;
  superblock.chunkRootGeneration = generation;
  superblock.totalBytes = recipe.device.totalBytes;
  superblock.bytesUsed = BigInt(space.chunks.reduce((sum, { used }) => sum + used, 0));
  superblock.rootDirObjectid = 6n;
  superblock.numDevices = 1n;
  superblock.sectorSize = recipe.sectorSize;
  superblock.nodeSize = recipe.nodeSize;
  superblock.leafSize = recipe.nodeSize;
  superblock.stripeSize = recipe.sectorSize;
  superblock.incompatFlags =
    INCOMPAT_MIXED_BACKREF |
    INCOMPAT_EXTENDED_IREF |
    INCOMPAT_SKINNY_METADATA |
    (recipe.nodeSize > recipe.sectorSize ? INCOMPAT_BIG_METADATA : 0n) |
    (recipe.noHoles ? INCOMPAT_NO_HOLES : 0n) |
    (facts.compressions.has(COMPRESS_LZO) ? INCOMPAT_COMPRESS_LZO : 0n) |
    (facts.compressions.has(COMPRESS_ZSTD) ? INCOMPAT_COMPRESS_ZSTD : 0n) |
    (facts.hasDefault ? INCOMPAT_DEFAULT_SUBVOL : 0n);
  superblock.compatRoFlags =
    (recipe.freeSpaceTree ? COMPAT_RO_FREE_SPACE_TREE | COMPAT_RO_FREE_SPACE_TREE_VALID : 0n) |
    (recipe.blockGroupTree ? COMPAT_RO_BLOCK_GROUP_TREE : 0n);
  superblock.csumType = facts.checksumType;
  superblock.devItem = recipe.device;
  superblock.label = facts.label;
  superblock.cacheGeneration = recipe.freeSpaceTree ? 0n : 0xffff_ffff_ffff_ffffn;
  superblock.uuidTreeGeneration = generation;
  for (const each of space.chunks) {
    if (each.type === BLOCK_GROUP_SYSTEM) addSystemChunk(superblock, chunkOf(each, recipe.device.uuid));
  }
  const place = (id: bigint) => ({ ...trees.roots.get(id)!, generation: recipe.generation });
  noteBackupRoots(superblock, {
    extent: place(ids.EXTENT_TREE_OBJECTID),
    fs: place(ids.FS_TREE_OBJECTID),
    dev: place(ids.DEV_TREE_OBJECTID),
    csum: place(ids.CSUM_TREE_OBJECTID),
  });
  return superblock;
}

/** @throws {RangeError} */
export function labelBytes(label: string | Uint8Array): Uint8Array {
  const bytes = toBytes(label);
  if (bytes.byteLength > 255 || bytes.includes(0)) {
    throw new RangeError(`Cannot make filesystem: its label has ${bytes.byteLength} bytes, 255 without NUL may be`);
  }
  return bytes;
}
