import { struct, u8, u64 } from "../bytes/struct.ts";
import { writeSafe } from "../bytes/u64.ts";
import { keyTypeName } from "./key-type.ts";
import { objectidName } from "./objectid.ts";

/** Where an item stands in its tree. Keys order by object id, then type, then offset, all unsigned. */
export interface Key {
  readonly objectid: bigint;
  /** 0 to 255: see `key-type.ts`. */
  readonly type: number;
  readonly offset: bigint;
}

/** `struct btrfs_disk_key`: a packed key. */
export const DiskKey = struct("btrfs_disk_key", 17, { objectid: u64, type: u8, offset: u64 });

export const KEY_BYTES = DiskKey.byteLength;
export const MAX_U64 = 0xffff_ffff_ffff_ffffn;

const TYPE_AT = DiskKey.offsets.type;
const OFFSET_AT = DiskKey.offsets.offset;

/** Orders two packed keys in place: negative, zero or positive. u64s compare as two u32 words. */
export function comparePackedKeys(a: DataView, aAt: number, b: DataView, bAt: number): number {
  return (
    a.getUint32(aAt + 4, true) - b.getUint32(bAt + 4, true) ||
    a.getUint32(aAt, true) - b.getUint32(bAt, true) ||
    a.getUint8(aAt + TYPE_AT) - b.getUint8(bAt + TYPE_AT) ||
    a.getUint32(aAt + OFFSET_AT + 4, true) - b.getUint32(bAt + OFFSET_AT + 4, true) ||
    a.getUint32(aAt + OFFSET_AT, true) - b.getUint32(bAt + OFFSET_AT, true)
  );
}

/** Orders two keys: negative, zero or positive. */
export function compareKeys(a: Key, b: Key): number {
  if (a.objectid !== b.objectid) return a.objectid < b.objectid ? -1 : 1;
  if (a.type !== b.type) return a.type - b.type;
  if (a.offset !== b.offset) return a.offset < b.offset ? -1 : 1;
  return 0;
}

/** The packed key at byte `at`. */
export function decodeKey(view: DataView, at: number): Key {
  return {
    objectid: view.getBigUint64(at, true),
    type: view.getUint8(at + TYPE_AT),
    offset: view.getBigUint64(at + OFFSET_AT, true),
  };
}

/** Writes `key` packed at byte `at`. */
export function encodeKey(key: Key, view: DataView, at: number): void {
  view.setBigUint64(at, key.objectid, true);
  view.setUint8(at + TYPE_AT, key.type);
  view.setBigUint64(at + OFFSET_AT, key.offset, true);
}

/** The same for numbers of at most 2^53 - 1, without bigints. */
export function writeKey(view: DataView, objectid: number, type: number, offset: number): void {
  writeSafe(view, 0, objectid);
  view.setUint8(TYPE_AT, type);
  writeSafe(view, OFFSET_AT, offset);
}

/** Keys share buffers: a search packs one, and an `ArrayBuffer` for each would cost more than the search. */
const SLAB_BYTES = 240 * KEY_BYTES;
let slab = new ArrayBuffer(SLAB_BYTES);
let slabUsed = 0;

/** `key` packed, in bytes of its own. */
export function packKey(key: Key): DataView {
  const view = nextPacked();
  encodeKey(key, view, 0);
  return view;
}

function nextPacked(): DataView {
  if (slabUsed === SLAB_BYTES) {
    slab = new ArrayBuffer(SLAB_BYTES);
    slabUsed = 0;
  }
  const view = new DataView(slab, slabUsed, KEY_BYTES);
  slabUsed += KEY_BYTES;
  return view;
}

/** As `packKey`, of numbers of at most 2^53 - 1. */
export function packNumbers(objectid: number, type: number, offset: number): DataView {
  const view = nextPacked();
  writeKey(view, objectid, type, offset);
  return view;
}

export function keyOf(objectid: bigint, type: number, offset: bigint): Key {
  return { objectid, type, offset };
}

/** Keys from `first` up to `last`, which is exclusive; without `last`, to the end of the tree. */
export interface KeyRange {
  readonly first: Key;
  readonly last?: Key;
}

/** Every key. */
export const ALL_KEYS: KeyRange = { first: keyOf(0n, 0, 0n) };

/** The smallest key above `key`, or `undefined` above the greatest. */
export function keyAfter(key: Key): Key | undefined {
  if (key.offset < MAX_U64) return keyOf(key.objectid, key.type, key.offset + 1n);
  if (key.type < 255) return keyOf(key.objectid, key.type + 1, 0n);
  return key.objectid < MAX_U64 ? keyOf(key.objectid + 1n, 0, 0n) : undefined;
}

/** Keys from `first` to `last`, both included. */
export function keysThrough(first: Key, last: Key): KeyRange {
  const end = keyAfter(last);
  return end === undefined ? { first } : { first, last: end };
}

/**
 * All items of one object, or those of one type.
 *
 * @param fromOffset Key offset to start at.
 */
export function itemsOf(objectid: bigint, type?: number, fromOffset = 0n): KeyRange {
  return keysThrough(keyOf(objectid, type ?? 0, fromOffset), keyOf(objectid, type ?? 255, MAX_U64));
}

/** As `(256 INODE_ITEM 0)`. */
export function formatKey({ objectid, type, offset }: Key): string {
  return `(${objectidName(objectid)} ${keyTypeName(type)} ${offset})`;
}
