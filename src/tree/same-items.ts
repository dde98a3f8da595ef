import { KEY_BYTES } from "../format/key.ts";
import { HEADER_BYTES, ITEM_HEADER_BYTES, ItemHeader, itemSize, itemStart, type Leaf } from "../format/node.ts";

const { offset: OFFSET_AT, size: SIZE_AT } = ItemHeader.offsets;

/**
 * How many items, from these slots on, two leaves have in common: keys, lengths and bytes. Of leaves whose geometry has been
 * checked: data of consecutive items lies side by side, that of the first one highest.
 */
export function countSame(a: Leaf, aSlot: number, b: Leaf, bSlot: number): number {
  const left = a.view;
  const right = b.view;
  const most = Math.min(a.count - aSlot, b.count - bSlot);
  const first = HEADER_BYTES + aSlot * ITEM_HEADER_BYTES;
  const moved = (bSlot - aSlot) * ITEM_HEADER_BYTES;
  let alike = 0;
  for (let i = first; alike < most && hasSameHeader(left, i, right, i + moved); i += ITEM_HEADER_BYTES) alike++;
  if (alike === 0) return 0;
  const end = itemStart(a, aSlot) + itemSize(a, aSlot);
  const shift = itemStart(b, bSlot) + itemSize(b, bSlot) - end;
  const stop = itemStart(a, aSlot + alike - 1);
  const reached = compareDown(left, right, shift, end, stop);
  if (reached === stop) return alike;
  let same = 0;
  while (HEADER_BYTES + left.getUint32(first + same * ITEM_HEADER_BYTES + OFFSET_AT, true) >= reached) same++;
  return same;
}

/** Whether two items have the same key and length. */
function hasSameHeader(left: DataView, i: number, right: DataView, j: number): boolean {
  return (
    left.getInt32(i, true) === right.getInt32(j, true) &&
    left.getInt32(i + 4, true) === right.getInt32(j + 4, true) &&
    left.getInt32(i + 8, true) === right.getInt32(j + 8, true) &&
    left.getInt32(i + 12, true) === right.getInt32(j + 12, true) &&
    left.getUint8(i + KEY_BYTES - 1) === right.getUint8(j + KEY_BYTES - 1) &&
    left.getInt32(i + SIZE_AT, true) === right.getInt32(j + SIZE_AT, true)
  );
}

/** How far down from `end` to `stop` bytes of `left` are those of `right`, `shift` further on: the last that is the same. */
function compareDown(left: DataView, right: DataView, shift: number, end: number, stop: number): number {
  let at = end;
  while (at - 16 >= stop) {
    at -= 16;
    const other = at + shift;
    const difference =
      (left.getInt32(at, true) ^ right.getInt32(other, true)) |
      (left.getInt32(at + 4, true) ^ right.getInt32(other + 4, true)) |
      (left.getInt32(at + 8, true) ^ right.getInt32(other + 8, true)) |
      (left.getInt32(at + 12, true) ^ right.getInt32(other + 12, true));
    if (difference !== 0) {
      at += 16;
      break;
    }
  }
  while (at > stop && left.getUint8(at - 1) === right.getUint8(at - 1 + shift)) at--;
  return at;
}

/** A leaf that has passed its check; and, once another one was checked against it, which items both have. */
export class KnownLeaf {
  readonly leaf: Leaf;
  /** The one that was checked against it item by item, if one was. */
  compared: Leaf | undefined;
  /** Slot there, slot in `leaf`, and a count of items from there on, in ascending order. */
  readonly #runs: number[] = [];
  #at = 0;

  constructor(leaf: Leaf) {
    this.leaf = leaf;
  }

  add(slot: number, own: number, count: number): void {
    this.#runs.push(slot, own, count);
  }

  /** As `countSame` of `compared` and `leaf`, of slots that are not below those of the call before. */
  countSame(slot: number, own: number): number {
    const runs = this.#runs;
    while (this.#at < runs.length && runs[this.#at]! + runs[this.#at + 2]! <= slot) this.#at += 3;
    const passed = slot - (runs[this.#at] ?? slot + 1);
    return passed >= 0 && own - runs[this.#at + 1]! === passed ? runs[this.#at + 2]! - passed : 0;
  }
}
