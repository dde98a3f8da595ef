import { loadChecksum } from "#checksum";
import { toBytes } from "../bytes/bytes.ts";
import { newStruct } from "../bytes/struct.ts";
import { CHECKSUM_TYPES, type ChecksumName } from "../checksum/checksum.ts";
import type { ByteStore } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import { BLOCK_GROUP_SYSTEM, DevItem } from "../format/chunk.ts";
import {
  CHECKSUM_FIELD_BYTES,
  COMPAT_RO_BLOCK_GROUP_TREE,
  COMPAT_RO_FREE_SPACE_TREE,
  COMPAT_RO_FREE_SPACE_TREE_VALID,
  INCOMPAT_BIG_METADATA,
  INCOMPAT_EXTENDED_IREF,
  INCOMPAT_MIXED_BACKREF,
  INCOMPAT_NO_HOLES,
  INCOMPAT_SKINNY_METADATA,
  MAX_NODE_BYTES,
  MIN_SECTOR_BYTES,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_MAGIC,
  SUPERBLOCK_OFFSETS,
  Superblock,
} from "../format/superblock.ts";
import { addSystemChunk } from "../transaction/chunk-items.ts";
import { randomUuid } from "../transaction/random-uuid.ts";
import { noteBackupRoots, writeSuperblocks } from "../transaction/superblock.ts";
import { checkNode } from "../tree/check.ts";

import { type BuiltFilesystem, buildTrees, type Recipe } from "./build.ts";
import { planChunks, type SingleDeviceProfile } from "./layout.ts";

export interface MakeOptions {
  /** Bytes of the filesystem; all that the store has by default. */
  readonly size?: number | undefined;
  /** Bytes of a tree block: 4096 to 65536. 16384 by default. */
  readonly nodeSize?: number | undefined;
  readonly checksum?: ChecksumName | undefined;
  /** At most 255 bytes. */
  readonly label?: string | Uint8Array | undefined;
  /** 16 bytes; random by default, as all the others. */
  readonly uuid?: Uint8Array | undefined;
  readonly deviceUuid?: Uint8Array | undefined;
  readonly chunkTreeUuid?: Uint8Array | undefined;
  /** Of the top-level subvolume. */
  readonly subvolumeUuid?: Uint8Array | undefined;
  readonly metadata?: SingleDeviceProfile | undefined;
  readonly data?: SingleDeviceProfile | undefined;
  /** Holes need no item. On by default. */
  readonly noHoles?: boolean | undefined;
  /** On by default. */
  readonly freeSpaceTree?: boolean | undefined;
  /** Needs the two above. Off by default: kernels before 6.1 don't know it. */
  readonly blockGroupTree?: boolean | undefined;
  /** Time of all that is made, in nanoseconds since 1970. */
  readonly now?: bigint | undefined;
}

const SECTOR_SIZE = 4096;
const GENERATION = 1;
const WIPED_BYTES = 1_048_576;

/**
 * Makes an empty filesystem on `store`, as `mkfs.btrfs` on one device does. Until it is complete there is no superblock.
 *
 * @throws {BtrfsError} `space` when there is too little; RangeError and TypeError for options that can't be.
 */
export async function makeFilesystem(store: ByteStore, options: MakeOptions = {}): Promise<void> {
  const totalBytes = Math.floor((options.size ?? store.size) / SECTOR_SIZE) * SECTOR_SIZE;
  if (totalBytes > store.size) {
    throw new BtrfsError("space", `Cannot make filesystem of ${totalBytes} bytes: there are ${store.size}`, {
      where: { file: store.name },
    });
  }
  const recipe = recipeOf(options, totalBytes);
  const built = buildTrees(recipe);
  const checksum = await loadChecksum(CHECKSUM_TYPES.findIndex(({ name }) => name === (options.checksum ?? "crc32c")));
  await wipe(store, totalBytes);
  const limits = {
    nodeSize: recipe.nodeSize,
    sectorSize: SECTOR_SIZE,
    checksumSize: checksum.byteLength,
    fsid: recipe.fsid,
    generation: GENERATION,
  };
  for (const { chunk, node } of built.blocks) {
    checkNode(node, node.logical, { level: node.level, generation: GENERATION, owner: node.owner }, limits);
    checksum.compute(node.bytes.subarray(CHECKSUM_FIELD_BYTES), node.bytes);
    for (const { physical } of chunk.stripes) await store.write(physical + node.logical - chunk.start, node.bytes);
  }
  await store.flush();
  const superblock = superblockOf(recipe, built, options, checksum.type);
  await writeSuperblocks([{ store, totalBytes, devItem: superblock.devItem }], superblock, checksum);
}

function recipeOf(options: MakeOptions, totalBytes: number): Recipe {
  const nodeSize = options.nodeSize ?? 16384;
  if (!(nodeSize >= MIN_SECTOR_BYTES && nodeSize <= MAX_NODE_BYTES && Number.isInteger(Math.log2(nodeSize)))) {
    throw new RangeError(
      `Cannot make filesystem: node size is ${nodeSize}, expected a power of two from 4096 to 65536`,
    );
  }
  const noHoles = options.noHoles ?? true;
  const freeSpaceTree = options.freeSpaceTree ?? true;
  const blockGroupTree = options.blockGroupTree ?? false;
  if (blockGroupTree && !(noHoles && freeSpaceTree)) {
    throw new TypeError("Cannot make filesystem: a block group tree needs no-holes and a free space tree");
  }
  const deviceUuid = options.deviceUuid ?? randomUuid();
  const fsid = options.uuid ?? randomUuid();
  const metadata = options.metadata ?? "dup";
  const data = options.data ?? "single";
  const chunks = planChunks({ totalBytes, nodeSize, metadata, data, deviceUuid });
  const device = newStruct(DevItem);
  device.devid = 1n;
  device.totalBytes = BigInt(totalBytes);
  device.bytesUsed = BigInt(chunks.reduce((sum, { stripes, stripeLength }) => sum + stripes.length * stripeLength, 0));
  device.ioAlign = SECTOR_SIZE;
  device.ioWidth = SECTOR_SIZE;
  device.sectorSize = SECTOR_SIZE;
  device.uuid = deviceUuid;
  device.fsid = fsid;
  return {
    nodeSize,
    sectorSize: SECTOR_SIZE,
    fsid,
    chunkTreeUuid: options.chunkTreeUuid ?? randomUuid(),
    generation: GENERATION,
    subvolumeUuid: options.subvolumeUuid ?? randomUuid(),
    chunks,
    device,
    freeSpaceTree,
    blockGroupTree,
    noHoles,
    now: options.now ?? BigInt(Date.now()) * 1_000_000n,
  };
}

function superblockOf(
  recipe: Recipe,
  { roots, bytesUsed }: BuiltFilesystem,
  options: MakeOptions,
  csumType: number,
): InstanceType<typeof Superblock> {
  const superblock = newStruct(Superblock);
  const generation = BigInt(GENERATION);
  superblock.fsid = recipe.fsid;
  superblock.magic = SUPERBLOCK_MAGIC;
  superblock.generation = generation;
  superblock.root = BigInt(roots.root.logical);
  superblock.rootLevel = roots.root.level;
  superblock.chunkRoot = BigInt(roots.chunk.logical);
  superblock.chunkRootLevel = roots.chunk.level;
  superblock.chunkRootGeneration = generation;
  superblock.totalBytes = recipe.device.totalBytes;
  superblock.bytesUsed = BigInt(bytesUsed);
  superblock.rootDirObjectid = 6n;
  superblock.numDevices = 1n;
  superblock.sectorSize = SECTOR_SIZE;
  superblock.nodeSize = recipe.nodeSize;
  superblock.leafSize = recipe.nodeSize;
  superblock.stripeSize = SECTOR_SIZE;
  superblock.incompatFlags =
    INCOMPAT_MIXED_BACKREF |
    INCOMPAT_EXTENDED_IREF |
    INCOMPAT_SKINNY_METADATA |
    (recipe.nodeSize > SECTOR_SIZE ? INCOMPAT_BIG_METADATA : 0n) |
    (recipe.noHoles ? INCOMPAT_NO_HOLES : 0n);
  superblock.compatRoFlags =
    (recipe.freeSpaceTree ? COMPAT_RO_FREE_SPACE_TREE | COMPAT_RO_FREE_SPACE_TREE_VALID : 0n) |
    (recipe.blockGroupTree ? COMPAT_RO_BLOCK_GROUP_TREE : 0n);
  superblock.csumType = csumType;
  superblock.devItem = recipe.device;
  superblock.label = labelBytes(options.label ?? "");
  superblock.cacheGeneration = recipe.freeSpaceTree ? 0n : 0xffff_ffff_ffff_ffffn;
  superblock.uuidTreeGeneration = generation;
  for (const chunk of recipe.chunks) if (chunk.type === BLOCK_GROUP_SYSTEM) addSystemChunk(superblock, chunk);
  noteBackupRoots(superblock, roots);
  return superblock;
}

function labelBytes(label: string | Uint8Array): Uint8Array {
  const bytes = toBytes(label);
  if (bytes.byteLength > 255 || bytes.includes(0)) {
    throw new RangeError(`Cannot make filesystem: its label has ${bytes.byteLength} bytes, 255 without NUL may be`);
  }
  return bytes;
}

/** Takes away what could be mistaken for this filesystem or another: every superblock first. */
async function wipe(store: ByteStore, totalBytes: number): Promise<void> {
  const zeros = new Uint8Array(WIPED_BYTES);
  for (const offset of SUPERBLOCK_OFFSETS) {
    if (offset + SUPERBLOCK_BYTES <= store.size) await store.write(offset, zeros.subarray(0, SUPERBLOCK_BYTES));
  }
  await store.flush();
  await store.write(0, zeros.subarray(0, Math.min(WIPED_BYTES, totalBytes)));
}
