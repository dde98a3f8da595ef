import { expect, test } from "vitest";
import { limitsOf, realNodes } from "../../test/support/nodes.ts";
import { InodeItem } from "../format/inode.ts";
import { INODE_ITEM } from "../format/key-type.ts";
import {
  HEADER_BYTES,
  ITEM_HEADER_BYTES,
  itemSize,
  itemStart,
  keyAt,
  NodeBlock,
  NodeHeader,
  slotType,
} from "../format/node.ts";
import { checkItems } from "./check-items.ts";
import { countSame, KnownLeaf } from "./same-items.ts";

const nodes = realNodes();
const leaves = nodes.filter(({ level, count }) => level === 0 && count > 2);

/** The same leaf without one of its items: data of those behind it lies elsewhere. */
function without(leaf: NodeBlock, gone: number): NodeBlock {
  const bytes = leaf.bytes.slice();
  const packed = new NodeBlock(bytes);
  let end = bytes.byteLength;
  let at = HEADER_BYTES;
  for (let slot = 0; slot < leaf.count; slot++) {
    if (slot === gone) continue;
    const size = itemSize(leaf, slot);
    end -= size;
    bytes.set(leaf.bytes.subarray(itemStart(leaf, slot), itemStart(leaf, slot) + size), end);
    bytes.set(leaf.bytes.subarray(keyAt(leaf, slot), keyAt(leaf, slot) + ITEM_HEADER_BYTES), at);
    packed.view.setUint32(at + 17, end - HEADER_BYTES, true);
    at += ITEM_HEADER_BYTES;
  }
  packed.view.setUint32(NodeHeader.offsets.nritems, leaf.count - 1, true);
  return packed;
}

test("two leaves have in common what comes before the first byte that differs", () => {
  for (const leaf of leaves) {
    expect(countSame(leaf, 0, new NodeBlock(leaf.bytes.slice()), 0)).toBe(leaf.count);
    for (let slot = 0; slot < leaf.count; slot++) {
      const size = itemSize(leaf, slot);
      const places = [keyAt(leaf, slot), keyAt(leaf, slot) + 16];
      if (size > 0) places.push(itemStart(leaf, slot), itemStart(leaf, slot) + size - 1);
      for (const place of places) {
        const other = new NodeBlock(leaf.bytes.slice());
        other.bytes[place]! ^= 1;
        expect(countSame(leaf, 0, other, 0)).toBe(slot);
      }
    }
  }
});

test("items are the same wherever in their leaves they lie", () => {
  for (const leaf of leaves) {
    const gone = leaf.count >> 1;
    const other = without(leaf, gone);
    expect(countSame(leaf, 0, other, 0)).toBe(gone);
    expect(countSame(leaf, gone + 1, other, gone)).toBe(leaf.count - gone - 1);
    expect(countSame(other, gone, leaf, gone)).toBe(0);
  }
});

test("a leaf knows what another one that was checked against it has in common with it", () => {
  for (const leaf of leaves) {
    // Without the first item nothing lies before the next one, so that it may be of any inode.
    const other = without(leaf, 0);
    const changed = other.count >> 1;
    const isInode = slotType(other, changed) === INODE_ITEM;
    if (isInode) other.bytes[itemStart(other, changed) + InodeItem.offsets.atime]! ^= 1;
    for (const [first, second] of [
      [leaf, other],
      [other, leaf],
    ] as const) {
      const known = new KnownLeaf(first);
      checkItems(second, limitsOf(nodes), known);
      expect(known.compared).toBe(second);
      for (let slot = 0; slot < second.count; slot++) {
        for (let own = 0; own < first.count; own++) {
          expect(known.countSame(slot, own)).toBe(countSame(second, slot, first, own));
        }
      }
    }
  }
});
