import type { Leaf } from "../format/node.ts";
import { itemFootprint, leafCapacity } from "./leaf.ts";

/**
 * Where to split a full leaf so that an item of `need` bytes (header included) finds room in front of `slot`: the first
 * of the items that move to a new leaf on the right. `count`: a new leaf for the item alone, after this one. `before`:
 * the same, in front.
 *
 * Splits by bytes: one item may be nearly as long as a leaf. Where no split leaves room for the item, the leaf is split
 * where the item belongs; it then comes last in the left one, and gets a leaf of its own.
 */
export function chooseSplit(leaf: Leaf, slot: number, need: number): number | "before" {
  const { count } = leaf;
  // What grows at its end stays full.
  if (slot === count) return count;
  const capacity = leafCapacity(leaf.bytes.byteLength);
  let total = need;
  for (let index = 0; index < count; index++) total += itemFootprint(leaf, index);
  let best: number | undefined;
  let bestSize = Number.POSITIVE_INFINITY;
  let before = 0;
  for (let at = 1; at < count; at++) {
    before += itemFootprint(leaf, at - 1);
    // An item that belongs exactly at the split has a smaller key than the right leaf: it goes left.
    const left = before + (slot <= at ? need : 0);
    const size = Math.max(left, total - left);
    if (size <= capacity && size < bestSize) {
      best = at;
      bestSize = size;
    }
  }
  return best ?? (slot === 0 ? "before" : slot);
}
