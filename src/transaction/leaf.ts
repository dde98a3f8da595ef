import { encodeKey, type Key } from "../format/key.ts";
import { HEADER_BYTES, ITEM_HEADER_BYTES, ItemHeader, itemSize, type Leaf, NodeHeader } from "../format/node.ts";

// Items of a leaf as bytes: headers grow up from the front, data grows down from the end, without a gap. Nothing here
// knows what an item means, or where the leaf lies.

const OFFSET_AT = ItemHeader.offsets.offset;
const SIZE_AT = ItemHeader.offsets.size;

/** Bytes that headers and data of items can take in a leaf. */
export function leafCapacity(nodeSize: number): number {
  return nodeSize - HEADER_BYTES;
}

/** Bytes between the headers and the data. */
export function leafFree(leaf: Leaf): number {
  return dataStart(leaf, leaf.count) - leaf.count * ITEM_HEADER_BYTES;
}

/** Bytes that headers and data of items take. */
export function leafUsed(leaf: Leaf): number {
  return leafCapacity(leaf.bytes.byteLength) - leafFree(leaf);
}

/** Bytes that item `slot` takes, with its header. */
export function itemFootprint(leaf: Leaf, slot: number): number {
  return ITEM_HEADER_BYTES + itemSize(leaf, slot);
}

/** Where the data of the items before `slot` begins, from the end of the header: the data of `slot` ends there. */
function dataStart(leaf: Leaf, slot: number): number {
  if (slot === 0) return leafCapacity(leaf.bytes.byteLength);
  return leaf.view.getUint32(HEADER_BYTES + (slot - 1) * ITEM_HEADER_BYTES + OFFSET_AT, true);
}

export function setCount(node: Leaf, count: number): void {
  node.view.setUint32(NodeHeader.offsets.nritems, count, true);
}

/** Moves the data of items `slot` and after by `by` bytes towards the end, negative towards the front. */
function shiftData(leaf: Leaf, slot: number, by: number): void {
  const { view, bytes, count } = leaf;
  if (by === 0 || slot >= count) return;
  const from = HEADER_BYTES + dataStart(leaf, count);
  const to = HEADER_BYTES + dataStart(leaf, slot);
  bytes.copyWithin(from + by, from, to);
  for (let index = slot; index < count; index++) {
    const at = HEADER_BYTES + index * ITEM_HEADER_BYTES + OFFSET_AT;
    view.setUint32(at, view.getUint32(at, true) + by, true);
  }
}

/**
 * Makes room for an item of `size` bytes in `slot`; the caller has seen that it fits.
 *
 * @returns Its data, zeroed, as bytes of the leaf.
 */
export function insertItem(leaf: Leaf, slot: number, key: Key, size: number): Uint8Array {
  const { view, bytes, count } = leaf;
  if (leafFree(leaf) < ITEM_HEADER_BYTES + size) {
    throw new RangeError(`Cannot insert item: it has ${size} bytes, the leaf has ${leafFree(leaf)} left`);
  }
  const end = dataStart(leaf, slot);
  shiftData(leaf, slot, -size);
  const at = HEADER_BYTES + slot * ITEM_HEADER_BYTES;
  bytes.copyWithin(at + ITEM_HEADER_BYTES, at, HEADER_BYTES + count * ITEM_HEADER_BYTES);
  encodeKey(key, view, at);
  view.setUint32(at + OFFSET_AT, end - size, true);
  view.setUint32(at + SIZE_AT, size, true);
  setCount(leaf, count + 1);
  return bytes.subarray(HEADER_BYTES + end - size, HEADER_BYTES + end).fill(0);
}

/** As `insertItem`, with a packed key and the data; the caller has seen that it fits. */
export function insertPacked(leaf: Leaf, slot: number, key: DataView, data: Uint8Array): void {
  const { view, bytes, count } = leaf;
  const size = data.byteLength;
  const end = dataStart(leaf, slot);
  const at = HEADER_BYTES + slot * ITEM_HEADER_BYTES;
  if (slot < count) {
    shiftData(leaf, slot, -size);
    bytes.copyWithin(at + ITEM_HEADER_BYTES, at, HEADER_BYTES + count * ITEM_HEADER_BYTES);
  }
  copyKey(key, view, at);
  view.setUint32(at + OFFSET_AT, end - size, true);
  view.setUint32(at + SIZE_AT, size, true);
  setCount(leaf, count + 1);
  if (size > 0) bytes.set(data, HEADER_BYTES + end - size);
}

function copyKey(key: DataView, view: DataView, at: number): void {
  for (let word = 0; word < 4; word++) view.setUint32(at + word * 4, key.getUint32(word * 4, true), true);
  view.setUint8(at + 16, key.getUint8(16));
}

/** Removes items `first` to `last`, exclusive. What they took is zeroed. */
export function removeItems(leaf: Leaf, first: number, last: number): void {
  if (first >= last) return;
  const { bytes, count } = leaf;
  const freed = dataStart(leaf, first) - dataStart(leaf, last);
  const front = HEADER_BYTES + dataStart(leaf, count);
  shiftData(leaf, last, freed);
  bytes.fill(0, front, front + freed);
  const headersEnd = HEADER_BYTES + count * ITEM_HEADER_BYTES;
  bytes.copyWithin(HEADER_BYTES + first * ITEM_HEADER_BYTES, HEADER_BYTES + last * ITEM_HEADER_BYTES, headersEnd);
  bytes.fill(0, headersEnd - (last - first) * ITEM_HEADER_BYTES, headersEnd);
  setCount(leaf, count - (last - first));
}

/**
 * Changes the size of an item, at its end: what was there stays as far as it fits, what is new is zero.
 *
 * @returns The data, as bytes of the leaf.
 */
export function resizeItem(leaf: Leaf, slot: number, size: number): Uint8Array {
  const { view, bytes } = leaf;
  const at = HEADER_BYTES + slot * ITEM_HEADER_BYTES;
  const before = view.getUint32(at + SIZE_AT, true);
  const end = dataStart(leaf, slot);
  const kept = bytes.slice(HEADER_BYTES + end - before, HEADER_BYTES + end - before + Math.min(before, size));
  if (size - before > leafFree(leaf)) {
    throw new RangeError(`Cannot resize item to ${size} bytes: the leaf has ${leafFree(leaf)} left`);
  }
  const front = HEADER_BYTES + dataStart(leaf, leaf.count);
  shiftData(leaf, slot + 1, before - size);
  if (size < before) bytes.fill(0, front, front + before - size);
  view.setUint32(at + OFFSET_AT, end - size, true);
  view.setUint32(at + SIZE_AT, size, true);
  const data = bytes.subarray(HEADER_BYTES + end - size, HEADER_BYTES + end).fill(0);
  data.set(kept);
  return data;
}

/** Moves items `first` to `last` (exclusive) of `from` to slot `to` of another leaf, which has the room. */
export function moveItems(from: Leaf, first: number, last: number, into: Leaf, to: number): void {
  if (first >= last) return;
  const moved = last - first;
  const start = dataStart(from, last);
  const size = dataStart(from, first) - start;
  if (leafFree(into) < size + moved * ITEM_HEADER_BYTES) {
    throw new RangeError(`Cannot move items: they have ${size} bytes, the leaf has ${leafFree(into)} left`);
  }
  const count = into.count;
  const end = dataStart(into, to);
  shiftData(into, to, -size);
  const at = HEADER_BYTES + to * ITEM_HEADER_BYTES;
  into.bytes.copyWithin(at + moved * ITEM_HEADER_BYTES, at, HEADER_BYTES + count * ITEM_HEADER_BYTES);
  into.bytes.set(from.bytes.subarray(HEADER_BYTES + start, HEADER_BYTES + start + size), HEADER_BYTES + end - size);
  const headers = HEADER_BYTES + first * ITEM_HEADER_BYTES;
  into.bytes.set(from.bytes.subarray(headers, headers + moved * ITEM_HEADER_BYTES), at);
  for (let index = 0; index < moved; index++) {
    const header = at + index * ITEM_HEADER_BYTES + OFFSET_AT;
    into.view.setUint32(header, into.view.getUint32(header, true) - start + end - size, true);
  }
  setCount(into, count + moved);
  removeItems(from, first, last);
}
