import { viewOf } from "../bytes/bytes.ts";
import { newStruct } from "../bytes/struct.ts";
import { BlockGroupItem } from "../format/block-group.ts";
import { CHUNK_TREE_OWNER, ChunkItem, PROFILES, STRIPE_BYTES, Stripe } from "../format/chunk.ts";
import { DevExtent } from "../format/device-items.ts";
import { DiskKey, encodeKey, type Key, keyOf } from "../format/key.ts";
import { CHUNK_ITEM } from "../format/key-type.ts";
import { CHUNK_TREE_OBJECTID, FIRST_CHUNK_TREE_OBJECTID } from "../format/objectid.ts";
import { SYSTEM_CHUNK_ARRAY_BYTES } from "../format/superblock.ts";
import { type Chunk, chunkItemBytes } from "../volume/chunk-map.ts";
import type { SuperblockStruct } from "./superblock.ts";

/** Type and profile of a chunk, as in its item and its block group's. */
export function chunkFlags(chunk: Chunk): bigint {
  return BigInt(chunk.type | PROFILES[chunk.profile].bit);
}

export function chunkKey(chunk: Chunk): Key {
  return keyOf(FIRST_CHUNK_TREE_OBJECTID, CHUNK_ITEM, BigInt(chunk.start));
}

/** The CHUNK_ITEM of a chunk. */
export function encodeChunk(chunk: Chunk, sectorSize: number): Uint8Array {
  const data = new Uint8Array(chunkItemBytes(chunk.stripes.length));
  const item = new ChunkItem(viewOf(data));
  item.length = BigInt(chunk.length);
  item.owner = CHUNK_TREE_OWNER;
  item.stripeLen = BigInt(STRIPE_BYTES);
  item.type = chunkFlags(chunk);
  item.ioAlign = STRIPE_BYTES;
  item.ioWidth = STRIPE_BYTES;
  item.sectorSize = sectorSize;
  item.numStripes = chunk.stripes.length;
  item.subStripes = chunk.profile === "raid10" ? 2 : 1;
  chunk.stripes.forEach(({ devid, physical, deviceUuid }, index) => {
    const stripe = new Stripe(item.view, chunkItemBytes(index));
    stripe.devid = BigInt(devid);
    stripe.offset = BigInt(physical);
    stripe.devUuid = deviceUuid;
  });
  return data;
}

/** Bytes that a SYSTEM chunk of so many stripes takes in the superblock. */
export function systemEntryBytes(stripes: number): number {
  return DiskKey.byteLength + chunkItemBytes(stripes);
}

/** Adds a SYSTEM chunk to the superblock's own array. @throws {RangeError} when it is full. */
export function addSystemChunk(superblock: SuperblockStruct, chunk: Chunk): void {
  const at = superblock.sysChunkArraySize;
  const item = encodeChunk(chunk, superblock.sectorSize);
  if (at + systemEntryBytes(chunk.stripes.length) > SYSTEM_CHUNK_ARRAY_BYTES) {
    throw new RangeError(`Cannot add system chunk: ${at} of ${SYSTEM_CHUNK_ARRAY_BYTES} bytes are taken`);
  }
  const array = superblock.sysChunkArray;
  encodeKey(chunkKey(chunk), viewOf(array), at);
  array.set(item, at + DiskKey.byteLength);
  superblock.sysChunkArraySize = at + DiskKey.byteLength + item.byteLength;
}

/** The DEV_EXTENT of one stripe. */
export function encodeDevExtent(chunk: Chunk, chunkTreeUuid: Uint8Array): Uint8Array {
  const item = newStruct(DevExtent);
  item.chunkTree = CHUNK_TREE_OBJECTID;
  item.chunkObjectid = FIRST_CHUNK_TREE_OBJECTID;
  item.chunkOffset = BigInt(chunk.start);
  item.length = BigInt(chunk.stripeLength);
  item.chunkTreeUuid = chunkTreeUuid;
  return bytesOf(item);
}

export function encodeBlockGroup(chunk: Chunk, used: number): Uint8Array {
  const item = newStruct(BlockGroupItem);
  item.used = BigInt(used);
  item.chunkObjectid = FIRST_CHUNK_TREE_OBJECTID;
  item.flags = chunkFlags(chunk);
  return bytesOf(item);
}

/** The bytes of a struct that stands alone. */
export function bytesOf({ view, at }: { view: DataView; at: number }): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at);
}
