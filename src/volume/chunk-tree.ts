import { viewOf } from "../bytes/bytes.ts";
import { asStruct } from "../bytes/struct.ts";
import { toSafe } from "../bytes/u64.ts";
import { CorruptError } from "../errors.ts";
import { BLOCK_GROUP_SYSTEM, ChunkItem, DevItem } from "../format/chunk.ts";
import { DiskKey } from "../format/key.ts";
import { CHUNK_ITEM, DEV_ITEM } from "../format/key-type.ts";
import { itemBytes, itemSize, itemStart, itemWhere, type Leaf, slotKey, slotType } from "../format/node.ts";
import { DEV_ITEMS_OBJECTID, FIRST_CHUNK_TREE_OBJECTID } from "../format/objectid.ts";
import { INCOMPAT_MIXED_GROUPS } from "../format/superblock.ts";
import type { Tree } from "../tree/source.ts";
import { type Chunk, type ChunkLimits, checkChunkCount, chunkItemBytes, decodeChunk } from "./chunk-map.ts";
import type { SuperblockView } from "./superblock.ts";

/** A device as the chunk tree lists it. */
export interface ListedDevice {
  readonly devid: number;
  readonly uuid: Uint8Array;
  /** Bytes. */
  readonly totalBytes: number;
  /** Bytes in chunks. */
  readonly usedBytes: number;
  /** Metadata UUID of the filesystem that it belongs to: this one, or its seed. */
  readonly fsid: Uint8Array;
}

export interface ChunkTreeContent {
  readonly chunks: readonly Chunk[];
  readonly devices: readonly ListedDevice[];
}

export function chunkLimits(superblock: SuperblockView): ChunkLimits {
  return {
    sectorSize: superblock.sectorSize,
    mixedGroups: (superblock.incompatFlags & INCOMPAT_MIXED_GROUPS) !== 0n,
  };
}

/**
 * The chunks of the superblock's own array: those that hold the chunk tree.
 *
 * @throws {CorruptError}
 */
export function decodeSystemChunks(superblock: SuperblockView, file: string): Chunk[] {
  const limits = chunkLimits(superblock);
  const array = superblock.sysChunkArray.subarray(0, superblock.sysChunkArraySize);
  const chunks: Chunk[] = [];
  for (let at = 0; at < array.byteLength; ) {
    const where = { file, physical: Number(superblock.bytenr) };
    const key = asStruct(DiskKey, array.subarray(at), where);
    const item = array.subarray(at + DiskKey.byteLength);
    const length = chunkItemBytes(asStruct(ChunkItem, item, where).numStripes);
    if (key.type !== CHUNK_ITEM || key.objectid !== FIRST_CHUNK_TREE_OBJECTID || length > item.byteLength) {
      throw new CorruptError(
        `Cannot trust superblock: entry ${chunks.length} of its chunk array has type ${key.type} and ${length} bytes, expected ${CHUNK_ITEM} and at most ${item.byteLength}`,
        where,
      );
    }
    const chunk = decodeChunk(key.offset, viewOf(item), 0, length, limits, () => where);
    if ((chunk.type & BLOCK_GROUP_SYSTEM) === 0) {
      throw new CorruptError(`Cannot trust superblock: the chunk at ${chunk.start} in its array is not SYSTEM`, where);
    }
    chunks.push(chunk);
    at += DiskKey.byteLength + length;
  }
  return chunks;
}

/** Reads the chunk tree: one walk over its leaves. */
export async function readChunkTree(tree: Tree, superblock: SuperblockView): Promise<ChunkTreeContent> {
  const limits = chunkLimits(superblock);
  const chunks: Chunk[] = [];
  const devices: ListedDevice[] = [];
  for await (const { leaf, first, last } of tree.leaves()) {
    for (let slot = first; slot < last; slot++) {
      const type = slotType(leaf, slot);
      if (type === CHUNK_ITEM) chunks.push(decodeChunkItem(leaf, slot, limits, chunks.at(-1)));
      else if (type === DEV_ITEM) devices.push(decodeDevItem(leaf, slot));
    }
    checkChunkCount(chunks.length);
  }
  return { chunks, devices };
}

function decodeChunkItem(leaf: Leaf, slot: number, limits: ChunkLimits, like: Chunk | undefined): Chunk {
  const { objectid, offset } = slotKey(leaf, slot);
  if (objectid !== FIRST_CHUNK_TREE_OBJECTID) {
    throw new CorruptError(`Cannot trust chunk: its object id is ${objectid}, expected 256`, itemWhere(leaf, slot));
  }
  const [start, size] = [itemStart(leaf, slot), itemSize(leaf, slot)];
  return decodeChunk(offset, leaf.view, start, size, limits, () => itemWhere(leaf, slot), like);
}

function decodeDevItem(leaf: Leaf, slot: number): ListedDevice {
  const { objectid, offset } = slotKey(leaf, slot);
  const where = itemWhere(leaf, slot);
  const item = asStruct(DevItem, itemBytes(leaf, slot), where);
  if (objectid !== DEV_ITEMS_OBJECTID || offset !== item.devid) {
    throw new CorruptError(`Cannot trust device item: it is of device ${item.devid}, its key of ${offset}`, where);
  }
  if (item.bytesUsed > item.totalBytes) {
    throw new CorruptError(
      `Cannot trust device item: ${item.bytesUsed} bytes are in chunks, the device has ${item.totalBytes}`,
      where,
    );
  }
  return {
    devid: toSafe(item.devid, "device id"),
    uuid: item.uuid.slice(),
    totalBytes: toSafe(item.totalBytes, "device size"),
    usedBytes: Number(item.bytesUsed),
    fsid: item.fsid.slice(),
  };
}
