import { struct, u16, u64 } from "../bytes/struct.ts";
import { CorruptError, type Where } from "../errors.ts";

/** `struct btrfs_inode_ref`: one name of an inode in the directory that the key's offset gives; the name follows. */
export const InodeRef = struct("btrfs_inode_ref", 10, {
  /** The same as the offset of the DIR_INDEX key. */
  index: u64,
  nameLen: u16,
});

/** `struct btrfs_inode_extref`: as `InodeRef`, with the directory inside; the key's offset is a hash. */
export const InodeExtref = struct("btrfs_inode_extref", 18, {
  parentObjectid: u64,
  index: u64,
  nameLen: u16,
});

/** A name of an inode. */
export interface InodeName {
  /** Inode of the directory. */
  readonly parent: bigint;
  readonly index: bigint;
  /** Bytes of the item, not a copy. */
  readonly name: Uint8Array;
}

/**
 * The names in one INODE_REF item.
 *
 * @param parent Offset of the item's key.
 * @throws {CorruptError} when a record does not end inside the item.
 */
export function decodeInodeRefs(data: Uint8Array, parent: bigint, where: Where = {}): InodeName[] {
  return decodeNames(data, InodeRef, (at, view) => ({ parent, index: new InodeRef(view, at).index }), where);
}

/**
 * The names in one INODE_EXTREF item.
 *
 * @throws {CorruptError} when a record does not end inside the item.
 */
export function decodeInodeExtrefs(data: Uint8Array, where: Where = {}): InodeName[] {
  const fixed = (at: number, view: DataView) => {
    const ref = new InodeExtref(view, at);
    return { parent: ref.parentObjectid, index: ref.index };
  };
  return decodeNames(data, InodeExtref, fixed, where);
}

function decodeNames(
  data: Uint8Array,
  record: typeof InodeRef | typeof InodeExtref,
  fixed: (at: number, view: DataView) => Omit<InodeName, "name">,
  where: Where,
): InodeName[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const names: InodeName[] = [];
  for (let at = 0; at < data.byteLength; ) {
    const start = at + record.byteLength;
    const end = start <= data.byteLength ? start + view.getUint16(at + record.offsets.nameLen, true) : start;
    if (end > data.byteLength) {
      throw new CorruptError(
        `Cannot read ${record.structName}: record ends at byte ${end}, the item has ${data.byteLength}`,
        where,
      );
    }
    names.push({ ...fixed(at, view), name: data.subarray(start, end) });
    at = end;
  }
  return names;
}
