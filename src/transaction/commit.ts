import { asStruct } from "../bytes/struct.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { BlockGroupItem } from "../format/block-group.ts";
import { BLOCK_GROUP_SYSTEM, DevItem } from "../format/chunk.ts";
import { keyOf } from "../format/key.ts";
import { BLOCK_GROUP_ITEM, DEV_EXTENT, DEV_ITEM, QGROUP_STATUS } from "../format/key-type.ts";
import * as ids from "../format/objectid.ts";
import { QgroupStatusItem } from "../format/quota.ts";
import { CHECKSUM_FIELD_BYTES } from "../format/superblock.ts";
import { checkNode } from "../tree/check.ts";
import type { Chunk } from "../volume/chunk-map.ts";
import { addSystemChunk, bytesOf, chunkKey, encodeBlockGroup, encodeChunk, encodeDevExtent } from "./chunk-items.ts";
import { storeOf, writeLogical } from "./data-store.ts";
import { FreeSpaceTree } from "./free-space-tree.ts";
import { setTime } from "./new-items.ts";
import type { OpenTree } from "./open-tree.ts";
import { blockGroupTreeOf, hasFreeSpaceTree } from "./records.ts";
import { type BackupTree, noteBackupRoots, type SuperblockTarget, writeSuperblocks } from "./superblock.ts";
import type { Transaction } from "./transaction.ts";

const QUOTA_INCONSISTENT = 4n;
/** Blocks that follow each other are written together, up to so many bytes. */
const MAX_WRITE_BYTES = 1_048_576;

/**
 * Brings all trees to where they agree: references, block groups, free space, new chunks and root items feed each other,
 * and since each block is copied once, nothing is left to do in the end.
 */
export async function settle(tx: Transaction): Promise<void> {
  await markQuotas(tx);
  await tx.flush();
  for (;;) {
    await tx.extents.applyAll();
    const chunks = await addChunks(tx);
    const sizes = await writeDeviceSizes(tx);
    const space = await writeFreeSpace(tx);
    const groups = await writeBlockGroups(tx);
    const roots = await writeRootItems(tx);
    if (!chunks && !sizes && !space && !groups && !roots && tx.refs.size === 0) return;
  }
}

/** Writes what a settled transaction made, and last the superblocks that lead to it. */
export class Writer {
  readonly #tx: Transaction;

  constructor(tx: Transaction) {
    this.#tx = tx;
  }

  /** Writes the tree blocks, to every copy of each. */
  async writeBlocks(): Promise<void> {
    const { nodes, volume, space } = this.#tx;
    const addresses = [...nodes.dirty.keys()].sort((a, b) => a - b);
    const { nodeSize, checksum, limits } = volume;
    for (const node of nodes.dirty.values()) {
      const { logical, level, generation, owner } = node;
      checkNode(node, logical, { level, generation, owner }, limits);
      if (generation !== this.#tx.generation)
        throw new CorruptError(`Cannot write node: its generation is ${generation}`, node.where);
      node.bytes.fill(0, 0, CHECKSUM_FIELD_BYTES);
      checksum.compute(node.bytes.subarray(CHECKSUM_FIELD_BYTES), node.bytes);
    }
    for (let first = 0; first < addresses.length; ) {
      const start = addresses[first]!;
      const end = Math.min(start + MAX_WRITE_BYTES, chunkEnd(space.chunks.get(start)));
      let last = first + 1;
      while (last < addresses.length && addresses[last] === start + (last - first) * nodeSize && addresses[last]! < end)
        last++;
      const run = new Uint8Array((last - first) * nodeSize);
      for (let index = first; index < last; index++)
        run.set(nodes.dirty.get(addresses[index]!)!.bytes, (index - first) * nodeSize);
      await writeLogical(volume, space.chunks, start, run);
      first = last;
    }
  }

  /** Every tree block must be durable before a superblock names it. */
  async flush(): Promise<void> {
    for (const devid of this.#tx.volume.devices.keys()) await storeOf(this.#tx.volume, devid).flush();
  }

  /** What the superblock will say; all but what differs from device to device. */
  async prepareSuperblock(): Promise<SuperblockTarget[]> {
    const tx = this.#tx;
    const { superblock, volume } = tx;
    const root = (await tx.tree(ids.ROOT_TREE_OBJECTID)).root;
    const chunk = (await tx.tree(ids.CHUNK_TREE_OBJECTID)).root;
    const isUuidTreeKept = superblock.uuidTreeGeneration === superblock.generation;
    superblock.generation = BigInt(tx.generation);
    superblock.root = BigInt(root.logical);
    superblock.rootLevel = root.level;
    superblock.chunkRoot = BigInt(chunk.logical);
    superblock.chunkRootLevel = chunk.level;
    superblock.chunkRootGeneration = BigInt(chunk.generation);
    superblock.bytesUsed = BigInt(tx.space.bytesUsed);
    if (isUuidTreeKept) superblock.uuidTreeGeneration = superblock.generation;
    const place = async (id: bigint): Promise<BackupTree> => (await tx.tree(id)).root;
    noteBackupRoots(superblock, {
      extent: await place(ids.EXTENT_TREE_OBJECTID),
      fs: await place(ids.FS_TREE_OBJECTID),
      dev: await place(ids.DEV_TREE_OBJECTID),
      csum: await place(ids.CSUM_TREE_OBJECTID),
    });
    const targets: SuperblockTarget[] = [];
    for (const { devid } of volume.devices.values()) {
      const data = await tx.get(ids.CHUNK_TREE_OBJECTID, deviceKey(devid));
      if (data === undefined)
        throw new CorruptError("Cannot find device: the chunk tree has no item for it", { device: devid });
      const devItem = asStruct(DevItem, data.slice());
      targets.push({ store: storeOf(volume, devid), totalBytes: Number(devItem.totalBytes), devItem });
    }
    return targets;
  }

  async writeSuperblocks(targets: readonly SuperblockTarget[]): Promise<void> {
    await writeSuperblocks(targets, this.#tx.superblock, this.#tx.volume.checksum);
  }
}

function chunkEnd({ start, length }: Chunk): number {
  return start + length;
}

function deviceKey(devid: number): ReturnType<typeof keyOf> {
  return keyOf(ids.DEV_ITEMS_OBJECTID, DEV_ITEM, BigInt(devid));
}

/** Quotas are not counted here: marking them so is what the format has for it, and the kernel asks for a rescan. */
async function markQuotas(tx: Transaction): Promise<void> {
  if ((await tx.rootItem(ids.QUOTA_TREE_OBJECTID)) === undefined) return;
  const key = keyOf(0n, QGROUP_STATUS, 0n);
  if ((await tx.get(ids.QUOTA_TREE_OBJECTID, key)) === undefined) return;
  await tx.edit(ids.QUOTA_TREE_OBJECTID, key, (view) => {
    const status = asStruct(QgroupStatusItem, view);
    status.flags |= QUOTA_INCONSISTENT;
    status.generation = BigInt(tx.generation);
  });
}

/** Items of chunks that were added. */
async function addChunks(tx: Transaction): Promise<boolean> {
  const chunks = tx.space.newChunks.splice(0);
  for (const chunk of chunks) {
    const { chunkTreeUuid } = tx.nodes.stamp;
    await tx.insert(ids.CHUNK_TREE_OBJECTID, chunkKey(chunk), encodeChunk(chunk, tx.volume.sectorSize));
    for (const { devid, physical } of chunk.stripes) {
      const extentKey = keyOf(BigInt(devid), DEV_EXTENT, BigInt(physical));
      await tx.insert(ids.DEV_TREE_OBJECTID, extentKey, encodeDevExtent(chunk, chunkTreeUuid));
      await tx.edit(ids.CHUNK_TREE_OBJECTID, deviceKey(devid), (view) => {
        asStruct(DevItem, view).bytesUsed += BigInt(chunk.stripeLength);
      });
    }
    const key = keyOf(BigInt(chunk.start), BLOCK_GROUP_ITEM, BigInt(chunk.length));
    await tx.insert(blockGroupTreeOf(tx.volume), key, encodeBlockGroup(chunk, 0));
    tx.space.groups.get(chunk)!.recordedUsed = 0;
    if (hasFreeSpaceTree(tx.volume)) await (await freeSpaceTree(tx)).addGroup(chunk);
    if ((chunk.type & BLOCK_GROUP_SYSTEM) !== 0) addToArray(tx, chunk);
  }
  return chunks.length > 0;
}

/** Sizes of devices that became longer or shorter. */
async function writeDeviceSizes(tx: Transaction): Promise<boolean> {
  let changed = false;
  for (const [devid, totalBytes] of tx.space.resized) {
    const data = (await tx.get(ids.CHUNK_TREE_OBJECTID, deviceKey(devid)))!;
    const delta = BigInt(totalBytes) - asStruct(DevItem, data.slice()).totalBytes;
    if (delta === 0n) continue;
    tx.superblock.totalBytes += delta;
    await tx.edit(ids.CHUNK_TREE_OBJECTID, deviceKey(devid), (view) => {
      asStruct(DevItem, view).totalBytes += delta;
    });
    changed = true;
  }
  return changed;
}

function addToArray(tx: Transaction, chunk: Chunk): void {
  try {
    addSystemChunk(tx.superblock, chunk);
  } catch (cause) {
    throw new BtrfsError("space", "Cannot add system chunk: the superblock has no room for another", { cause });
  }
}

async function freeSpaceTree(tx: Transaction): Promise<FreeSpaceTree> {
  return new FreeSpaceTree(tx.editor, await tx.tree(ids.FREE_SPACE_TREE_OBJECTID), tx.volume.sectorSize);
}

async function writeFreeSpace(tx: Transaction): Promise<boolean> {
  let changed = false;
  for (const { chunk, taken, given, recordedUsed } of tx.space.groups.values()) {
    // A chunk that was added just now is not in the tree yet.
    if (recordedUsed === undefined || (taken.count === 0 && given.count === 0)) continue;
    // What changes from here on is for the next round: the tree itself takes space.
    const before = { taken: taken.copy(), given: given.copy() };
    taken.clear();
    given.clear();
    if (!hasFreeSpaceTree(tx.volume)) continue;
    await (await freeSpaceTree(tx)).update(chunk, before.taken, before.given);
    changed = true;
  }
  return changed;
}

async function writeBlockGroups(tx: Transaction): Promise<boolean> {
  let changed = false;
  for (const group of tx.space.groups.values()) {
    // A chunk that was added just now has no item yet.
    if (group.recordedUsed === undefined || group.recordedUsed === group.used) continue;
    const { start, length } = group.chunk;
    await tx.edit(blockGroupTreeOf(tx.volume), keyOf(BigInt(start), BLOCK_GROUP_ITEM, BigInt(length)), (view) => {
      // To write it may have taken space: that is in `used` by now.
      group.recordedUsed = group.used;
      asStruct(BlockGroupItem, view).used = BigInt(group.used);
    });
    changed = true;
  }
  return changed;
}

async function writeRootItems(tx: Transaction): Promise<boolean> {
  let changed = false;
  for (const tree of [...tx.openTrees]) {
    if (tree.itemKey === undefined || tree.root.logical === tree.recordedRoot) continue;
    await writeRootItem(tx, tree);
    changed = true;
  }
  return changed;
}

async function writeRootItem(tx: Transaction, tree: OpenTree): Promise<void> {
  const { item } = (await tx.rootItem(tree.id))!;
  const generation = BigInt(tx.generation);
  item.bytenr = BigInt(tree.root.logical);
  item.level = tree.root.level;
  item.generation = generation;
  item.generationV2 = generation;
  item.bytesUsed = BigInt.asUintN(64, item.bytesUsed + BigInt(tree.bytesDelta));
  if (tree.lastSnapshot === tx.generation) item.lastSnapshot = generation;
  if (tree.changedAt !== undefined) {
    item.ctransid = generation;
    setTime(item.ctime, tree.changedAt);
  }
  tree.recordedRoot = tree.root.logical;
  tree.bytesDelta = 0;
  tree.changedAt = undefined;
  await tx.replace(ids.ROOT_TREE_OBJECTID, tree.itemKey!, bytesOf(item));
}
