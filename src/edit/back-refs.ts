import { concatBytes, viewOf } from "../bytes/bytes.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { InodeExtref, InodeRef } from "../format/inode-ref.ts";
import { INODE_EXTREF, INODE_REF } from "../format/key-type.ts";
import { INCOMPAT_EXTENDED_IREF } from "../format/superblock.ts";
import type { DelayedItem } from "../transaction/delayed-items.ts";
import { extrefHash } from "../tree/hash.ts";
import { isAt, type Located, maxItemBytes, nameWhere, safeAt } from "./names.ts";
import type { Place } from "./place.ts";

// What an inode notes of its names. Nothing here waits: `Wait` is thrown before anything is changed.

/** Where the note of a new name goes: the item of this key, which there may be already. */
export interface RefPlace {
  readonly type: typeof INODE_REF | typeof INODE_EXTREF;
  readonly offset: number;
  readonly item: DelayedItem | undefined;
}

/** @throws {BtrfsError} `limit`; {Wait}. */
export function refPlaceNow({ tx, tree, now }: Place, inode: number, directory: number, name: Uint8Array): RefPlace {
  const items = tx.items(tree);
  const at = { tx, tree, now };
  const ref = items.find(inode, INODE_REF, directory);
  if (ref === undefined || ref.data!.byteLength + InodeRef.byteLength + name.byteLength <= maxItemBytes(at)) {
    return { type: INODE_REF, offset: directory, item: ref };
  }
  if ((tx.superblock.incompatFlags & INCOMPAT_EXTENDED_IREF) === 0n) {
    const sentence = "Cannot make name: the inode has too many in the directory";
    throw new BtrfsError("limit", sentence, nameWhere(at, directory, name));
  }
  const offset = extrefHash(BigInt(directory), name);
  return { type: INODE_EXTREF, offset, item: items.find(inode, INODE_EXTREF, offset) };
}

/** Notes in an inode that a directory has a name for it. */
export function addRefNow(
  { tx, tree }: Place,
  inode: number,
  { type, offset, item }: RefPlace,
  directory: number,
  name: Uint8Array,
  index: number,
): void {
  const items = tx.items(tree);
  if (item === undefined && type === INODE_REF) {
    const { data, view } = items.add(inode, type, offset, InodeRef.byteLength + name.byteLength);
    fillRef(data!, view, name, index);
    return;
  }
  const record = type === INODE_REF ? newRef(name, index) : newExtref(directory, name, index);
  if (item === undefined) items.add(inode, type, offset, record.byteLength).data!.set(record);
  else items.replace(inode, item, concatBytes([item.data!, record]));
}

/** Where an inode notes a name. @throws {BtrfsError} `missing`; {Wait}. */
export function refNow(at: Place, inode: number, directory: number, name: Uint8Array): Located & { index: number } {
  const items = at.tx.items(at.tree);
  const ref = items.find(inode, INODE_REF, directory);
  const found = ref === undefined ? undefined : recordIn(ref, InodeRef.byteLength, InodeRef.offsets, name);
  if (found !== undefined) return found;
  const extref = items.find(inode, INODE_EXTREF, extrefHash(BigInt(directory), name));
  const other =
    extref === undefined
      ? undefined
      : recordIn(extref, InodeExtref.byteLength, InodeExtref.offsets, name, (start) => isOf(extref, start, directory));
  if (other !== undefined) return other;
  throw new BtrfsError("missing", "Cannot remove name: the inode does not know it", nameWhere(at, directory, name));
}

/** @param size Bytes before the name. */
function recordIn(
  item: DelayedItem,
  size: number,
  offsets: { readonly index: number; readonly nameLen: number },
  name: Uint8Array,
  fits: (start: number) => boolean = () => true,
): (Located & { index: number }) | undefined {
  const { view } = item;
  const data = item.data!;
  for (let start = 0; start < data.byteLength; ) {
    const nameAt = start + size;
    const end = nameAt <= data.byteLength ? nameAt + view.getUint16(start + offsets.nameLen, true) : nameAt;
    if (end > data.byteLength) {
      throw new CorruptError(`Cannot read reference: it ends at byte ${end}, the item has ${data.byteLength}`, {});
    }
    if (isAt(data, nameAt, end - nameAt, name) && fits(start)) {
      return { item, start, end, index: safeAt(view, start + offsets.index) };
    }
    start = end;
  }
  return undefined;
}

function isOf({ view }: DelayedItem, start: number, directory: number): boolean {
  return view.getBigUint64(start + InodeExtref.offsets.parentObjectid, true) === BigInt(directory);
}

function fillRef(data: Uint8Array, view: DataView, name: Uint8Array, index: number): void {
  view.setBigUint64(InodeRef.offsets.index, BigInt(index), true);
  view.setUint16(InodeRef.offsets.nameLen, name.byteLength, true);
  data.set(name, InodeRef.byteLength);
}

function newRef(name: Uint8Array, index: number): Uint8Array {
  const data = new Uint8Array(InodeRef.byteLength + name.byteLength);
  fillRef(data, viewOf(data), name, index);
  return data;
}

function newExtref(directory: number, name: Uint8Array, index: number): Uint8Array {
  const data = new Uint8Array(InodeExtref.byteLength + name.byteLength);
  const ref = new InodeExtref(viewOf(data));
  ref.parentObjectid = BigInt(directory);
  ref.index = BigInt(index);
  ref.nameLen = name.byteLength;
  data.set(name, InodeExtref.byteLength);
  return data;
}
