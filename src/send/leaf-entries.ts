import { readSafe } from "../bytes/u64.ts";
import { DirItem, dirEntryEnd } from "../format/dir-item.ts";
import { ROOT_ITEM } from "../format/key-type.ts";
import { itemData, itemSize, itemStart, itemWhere, type Leaf } from "../format/node.ts";

/** Where a directory entry leads. */
export interface EntryTarget {
  /** Inode, or id of a subvolume. */
  readonly id: number;
  readonly isSubvolume: boolean;
}

const { nameLen: NAME_LENGTH_AT, dataLen: DATA_LENGTH_AT } = DirItem.offsets;

/** Where the `btrfs_dir_item` at byte `at` leads. */
export function targetAt(view: DataView, at: number): EntryTarget {
  return {
    id: readSafe(view, at, "target of a directory entry"),
    isSubvolume: view.getUint8(at + 8) === ROOT_ITEM,
  };
}

/** Byte of the leaf at which the first entry of an item stands, the whole of it inside of the item. */
export function entryStart(leaf: Leaf, slot: number): number {
  dirEntryEnd(itemData(leaf, slot), 0, {});
  return itemStart(leaf, slot);
}

/** Byte of the leaf at which the entry of an item that has `name` stands; -1 when there is none. */
export function findNamed(leaf: Leaf, slot: number, name: Uint8Array): number {
  const { view, bytes } = leaf;
  const stop = itemStart(leaf, slot) + itemSize(leaf, slot);
  for (let at = itemStart(leaf, slot); at < stop; ) {
    const nameAt = at + DirItem.byteLength;
    if (nameAt > stop) dirEntryEnd(itemData(leaf, slot), at - itemStart(leaf, slot), itemWhere(leaf, slot));
    const length = view.getUint16(at + NAME_LENGTH_AT, true);
    const end = nameAt + length + view.getUint16(at + DATA_LENGTH_AT, true);
    if (end > stop) dirEntryEnd(itemData(leaf, slot), at - itemStart(leaf, slot), itemWhere(leaf, slot));
    if (length === name.byteLength) {
      let same = 0;
      while (same < length && bytes[nameAt + same] === name[same]) same++;
      if (same === length) return at;
    }
    at = end;
  }
  return -1;
}

/** Value of the extended attribute whose entry stands at byte `at`, as bytes of the leaf. */
export function valueAt({ view, bytes }: Leaf, at: number): Uint8Array {
  const start = at + DirItem.byteLength + view.getUint16(at + NAME_LENGTH_AT, true);
  return bytes.subarray(start, start + view.getUint16(at + DATA_LENGTH_AT, true));
}
