import { crc32cRaw, crc32cRawRange } from "#checksum";
import { viewOf } from "../bytes/bytes.ts";

/** What the kernel starts name hashes from: `~1`. */
const NAME_SEED = 0xffff_fffe;
const REF_SEED = 0xffff_ffff;

/** Key offset of the DIR_ITEM or XATTR_ITEM that holds `name`. */
export function nameHash(name: Uint8Array): number {
  return crc32cRaw(NAME_SEED, name);
}

/** `nameHash` of `bytes[start, end)`. */
export function nameHashRange(bytes: Uint8Array, start: number, end: number): number {
  return crc32cRawRange(NAME_SEED, bytes, start, end);
}

/** Key offset of the INODE_EXTREF that holds `name` in directory `parent`. */
export function extrefHash(parent: bigint, name: Uint8Array): number {
  return crc32cRaw(Number(parent & 0xffff_ffffn), name);
}

/**
 * Key offset of the EXTENT_DATA_REF for these file extents, unless another one has it already.
 *
 * @param offset File offset at which the extent would start, modulo 2^64.
 */
export function extentDataRefHash(root: bigint, objectid: bigint, offset: bigint): bigint {
  const packed = new Uint8Array(24);
  const view = viewOf(packed);
  view.setBigUint64(0, root, true);
  view.setBigUint64(8, objectid, true);
  view.setBigUint64(16, offset, true);
  return packedDataRefHash(packed, 0);
}

/** `extentDataRefHash` of the `btrfs_extent_data_ref` at byte `at`: inline references are in the order of it. */
export function packedDataRefHash(bytes: Uint8Array, at: number): bigint {
  const high = BigInt(crc32cRawRange(REF_SEED, bytes, at, at + 8));
  return (high << 31n) ^ BigInt(crc32cRawRange(REF_SEED, bytes, at + 8, at + 24));
}
