import { comparePackedKeys, encodeKey, type Key } from "../format/key.ts";
import { HEADER_BYTES, KEY_POINTER_BYTES, KeyPointer, keyAt, type NodeBlock } from "../format/node.ts";
import { setCount } from "./leaf.ts";

// Pointers of an inner node as bytes.

/** Pointers that fit into a node. */
export function innerCapacity(nodeSize: number): number {
  return Math.floor((nodeSize - HEADER_BYTES) / KEY_POINTER_BYTES);
}

function pointerAt(slot: number): number {
  return HEADER_BYTES + slot * KEY_POINTER_BYTES;
}

/** Puts a pointer to a child under `key` into `slot`; the caller has seen that it fits. */
export function insertPointer(node: NodeBlock, slot: number, key: Key, logical: number, generation: number): void {
  const { view, bytes, count } = node;
  const at = pointerAt(slot);
  if (count >= innerCapacity(bytes.byteLength)) throw new RangeError(`Cannot insert pointer: ${count} fill the node`);
  bytes.copyWithin(at + KEY_POINTER_BYTES, at, pointerAt(count));
  encodeKey(key, view, at);
  setPointer(node, slot, logical, generation);
  setCount(node, count + 1);
}

/** Lets the pointer in `slot` lead elsewhere, under the same key. */
export function setPointer(node: NodeBlock, slot: number, logical: number, generation: number): void {
  const at = pointerAt(slot);
  node.view.setBigUint64(at + KeyPointer.offsets.blockptr, BigInt(logical), true);
  node.view.setBigUint64(at + KeyPointer.offsets.generation, BigInt(generation), true);
}

/** Gives the pointer in `slot` the first key of its child. @returns Whether that was another. */
export function copyFirstKey(node: NodeBlock, slot: number, child: NodeBlock): boolean {
  const from = keyAt(child, 0);
  const at = pointerAt(slot);
  if (comparePackedKeys(node.view, at, child.view, from) === 0) return false;
  node.bytes.set(child.bytes.subarray(from, from + KeyPointer.offsets.blockptr), at);
  return true;
}

export function removePointer(node: NodeBlock, slot: number): void {
  const { bytes, count } = node;
  bytes.copyWithin(pointerAt(slot), pointerAt(slot + 1), pointerAt(count));
  bytes.fill(0, pointerAt(count - 1), pointerAt(count));
  setCount(node, count - 1);
}

/** Moves pointers `first` to `last` (exclusive) of `from` to slot `to` of another node, which has the room. */
export function movePointers(from: NodeBlock, first: number, last: number, into: NodeBlock, to: number): void {
  if (first >= last) return;
  const moved = last - first;
  const count = into.count;
  if (count + moved > innerCapacity(into.bytes.byteLength)) {
    throw new RangeError(`Cannot move ${moved} pointers: the node has ${count}`);
  }
  into.bytes.copyWithin(pointerAt(to + moved), pointerAt(to), pointerAt(count));
  into.bytes.set(from.bytes.subarray(pointerAt(first), pointerAt(last)), pointerAt(to));
  setCount(into, count + moved);
  from.bytes.copyWithin(pointerAt(first), pointerAt(last), pointerAt(from.count));
  from.bytes.fill(0, pointerAt(from.count - moved), pointerAt(from.count));
  setCount(from, from.count - moved);
}
