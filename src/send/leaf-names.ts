import { readSafe } from "../bytes/u64.ts";
import { CorruptError } from "../errors.ts";
import { InodeExtref, InodeRef } from "../format/inode-ref.ts";
import { INODE_REF } from "../format/key-type.ts";
import { itemSize, itemStart, itemWhere, keyAt, type Leaf, slotType } from "../format/node.ts";

/** A name of an inode; `name` is bytes of the leaf. */
export interface LeafName {
  readonly dir: number;
  readonly name: Uint8Array;
}

const REF_BYTES = InodeRef.byteLength;
const REF_LENGTH_AT = InodeRef.offsets.nameLen;
const EXTREF_BYTES = InodeExtref.byteLength;
const EXTREF_LENGTH_AT = InodeExtref.offsets.nameLen;

/** Names in an INODE_REF or INODE_EXTREF item. @throws {CorruptError} when one does not end inside the item. */
export function namesIn(leaf: Leaf, slot: number): LeafName[] {
  const { view, bytes } = leaf;
  const isRef = slotType(leaf, slot) === INODE_REF;
  const fixed = isRef ? REF_BYTES : EXTREF_BYTES;
  const names: LeafName[] = [];
  let at = itemStart(leaf, slot);
  for (const end = at + itemSize(leaf, slot); at < end; ) {
    const nameAt = at + fixed;
    const next =
      nameAt < end ? nameAt + view.getUint16(at + (isRef ? REF_LENGTH_AT : EXTREF_LENGTH_AT), true) : end + 1;
    if (next > end)
      throw new CorruptError("Cannot read names: one does not end inside its item", itemWhere(leaf, slot));
    const dir = readSafe(view, isRef ? keyAt(leaf, slot) + 9 : at, "inode number");
    names.push({ dir, name: bytes.subarray(nameAt, next) });
    at = next;
  }
  return names;
}
