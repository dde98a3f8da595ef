import { DirItem, FT_XATTR, NAME_LEN } from "../format/dir-item.ts";
import { INODE_FLAG_MASK, InodeItem, S_IFBLK, S_IFDIR, S_IFLNK, S_IFMT, S_IFSOCK } from "../format/inode.ts";
import { InodeExtref, InodeRef } from "../format/inode-ref.ts";
import { DIR_INDEX, INODE_ITEM, ROOT_ITEM, XATTR_ITEM } from "../format/key-type.ts";
import { nameHashRange } from "./hash.ts";
import {
  checkGenerationAt,
  type ItemCheck,
  type ItemContext,
  isZeroU64,
  keyOffsetStart,
  keyStart,
  roundedU64,
  sameU64,
  sayU64,
  typeAt,
} from "./item-context.ts";
import { failItem } from "./problem.ts";

const { offsets: INODE } = InodeItem;
const { offsets: DIR } = DirItem;

/** `S_IFMT`, set-id bits, sticky bit and permissions. */
const MODE_MASK = S_IFMT | 0o7777;

export const checkInodeItem: ItemCheck = (context, slot, start, size) => {
  const { view, leaf } = context;
  if (size !== InodeItem.byteLength) {
    failItem(leaf, slot, `inode item has ${size} bytes, expected ${InodeItem.byteLength}`);
  }
  checkInodeKey(context, slot, keyStart(slot), "key");
  checkGenerationAt(context, slot, start + INODE.generation, "generation of the inode");
  checkGenerationAt(context, slot, start + INODE.transid, "transid of the inode");
  const mode = view.getUint32(start + INODE.mode, true);
  if ((mode & ~MODE_MASK) !== 0 || !isFileType(mode & S_IFMT)) {
    failItem(leaf, slot, `mode is 0${mode.toString(8)}, expected one type of file and permissions`);
  }
  const nlink = view.getUint32(start + INODE.nlink, true);
  if ((mode & S_IFMT) === S_IFDIR && nlink > 1)
    failItem(leaf, slot, `directory has ${nlink} links, expected at most 1`);
  const flags = view.getUint32(start + INODE.flags, true);
  if ((flags & ~INODE_FLAG_MASK) !== 0)
    failItem(leaf, slot, `inode flags are 0x${flags.toString(16)}, some are unknown`);
};

/** Types with one bit are fifo, character device, directory and file; three have two bits. */
function isFileType(type: number): boolean {
  return (type !== 0 && (type & (type - 1)) === 0) || type === S_IFLNK || type === S_IFBLK || type === S_IFSOCK;
}

/** The key of an inode, as an item's own or as a location: a free object id, or one of two that are reserved. */
function checkInodeKey(context: ItemContext, slot: number, at: number, what: string): void {
  const { view, leaf } = context;
  const low = view.getUint32(at, true);
  const high = view.getUint32(at + 4, true);
  const isFree = high === 0xffff_ffff ? low <= 0xffff_ff00 : high > 0 || low >= 256;
  const isReserved = (high === 0 && low === 6) || (high === 0xffff_ffff && low === 0xffff_fff4);
  if (!isFree && !isReserved) failItem(leaf, slot, `object id of ${what} is ${sayU64(view, at)}, expected an inode's`);
  if (!isZeroU64(view, at + 9)) failItem(leaf, slot, `offset of ${what} is ${sayU64(view, at + 9)}, expected 0`);
}

/** A subvolume has nothing of an inode without its INODE_ITEM before it; log trees do. */
export function checkFollowsInode(context: ItemContext, slot: number): void {
  if (slot === 0 || !context.inSubvolume) return;
  const { view, leaf } = context;
  if (!sameU64(view, keyStart(slot - 1), keyStart(slot))) {
    failItem(leaf, slot, `item before it is of inode ${sayU64(view, keyStart(slot - 1))}, expected its own`);
  }
}

export const checkInodeRef: ItemCheck = (context, slot, start, size) =>
  checkNames(context, slot, start, size, InodeRef.byteLength, InodeRef.offsets.nameLen);

export const checkInodeExtref: ItemCheck = (context, slot, start, size) =>
  checkNames(context, slot, start, size, InodeExtref.byteLength, InodeExtref.offsets.nameLen);

/** Records of `fixed` bytes and a name fill the item. */
function checkNames(
  context: ItemContext,
  slot: number,
  start: number,
  size: number,
  fixed: number,
  lengthAt: number,
): void {
  const { view, leaf } = context;
  checkFollowsInode(context, slot);
  if (size === 0) failItem(leaf, slot, `item has 0 bytes, expected at least ${fixed + 1}`);
  const end = start + size;
  for (let at = start; at < end; ) {
    if (at + fixed > end) failItem(leaf, slot, `name record has ${end - at} bytes, expected at least ${fixed}`);
    const length = view.getUint16(at + lengthAt, true);
    at += fixed + length;
    checkNameLength(context, slot, length);
    if (at > end) failItem(leaf, slot, `name ends ${at - end} bytes after the item`);
  }
}

export function checkNameLength(context: ItemContext, slot: number, length: number): void {
  if (length === 0 || length > NAME_LEN) {
    failItem(context.leaf, slot, `name has ${length} bytes, expected 1 to ${NAME_LEN}`);
  }
}

/** DIR_ITEM, DIR_INDEX and XATTR_ITEM. */
export const checkDirItem: ItemCheck = (context, slot, start, size) => {
  const { view, leaf } = context;
  checkFollowsInode(context, slot);
  const keyType = typeAt(context, slot);
  const end = start + size;
  if (size === 0) failItem(leaf, slot, `item has 0 bytes, expected at least ${DirItem.byteLength + 1}`);
  for (let at = start; at < end; ) {
    if (at + DirItem.byteLength > end) {
      failItem(leaf, slot, `entry has ${end - at} bytes, expected at least ${DirItem.byteLength}`);
    }
    const nameLength = view.getUint16(at + DIR.nameLen, true);
    const dataLength = view.getUint16(at + DIR.dataLen, true);
    const nameAt = at + DirItem.byteLength;
    checkLocation(context, slot, at, keyType);
    checkEntryType(context, slot, view.getUint8(at + DIR.type), keyType, dataLength);
    checkNameLength(context, slot, nameLength);
    at = nameAt + nameLength + dataLength;
    if (at > end) failItem(leaf, slot, `entry ends ${at - end} bytes after the item`);
    if (keyType !== DIR_INDEX) checkHash(context, slot, nameAt, nameLength);
    else if (at !== end) failItem(leaf, slot, `item goes on for ${end - at} bytes, expected one entry`);
  }
};

function checkLocation(context: ItemContext, slot: number, at: number, keyType: number): void {
  const { view, leaf } = context;
  const type = view.getUint8(at + 8);
  if (keyType === XATTR_ITEM) {
    if (type !== 0 || !isZeroU64(view, at) || !isZeroU64(view, at + 9)) {
      failItem(leaf, slot, "location of an extended attribute is set, expected 0");
    }
  } else if (type === INODE_ITEM) {
    checkInodeKey(context, slot, at, "location");
  } else if (type !== ROOT_ITEM) {
    failItem(leaf, slot, `location is of type ${type}, expected ${INODE_ITEM} or ${ROOT_ITEM}`);
  } else if (!isSubvolumeIdAt(view, at)) {
    failItem(leaf, slot, `location is tree ${sayU64(view, at)}, expected a subvolume`);
  }
}

/** 5, or from 256 up to 2^48. */
function isSubvolumeIdAt(view: DataView, at: number): boolean {
  const id = roundedU64(view, at);
  return id === 5 || (id >= 256 && id < 2 ** 48);
}

function checkEntryType(context: ItemContext, slot: number, type: number, keyType: number, dataLength: number): void {
  const { leaf } = context;
  if (keyType === XATTR_ITEM ? type !== FT_XATTR : type >= FT_XATTR) {
    failItem(leaf, slot, `entry is of type ${type}, expected ${keyType === XATTR_ITEM ? FT_XATTR : "0 to 7"}`);
  }
  if (dataLength !== 0 && keyType !== XATTR_ITEM)
    failItem(leaf, slot, `entry has ${dataLength} bytes of data, expected 0`);
}

/** The key's offset is the hash of each name in the item. */
function checkHash(context: ItemContext, slot: number, nameAt: number, nameLength: number): void {
  const { view, leaf } = context;
  const hash = nameHashRange(leaf.bytes, nameAt, nameAt + nameLength);
  const at = keyOffsetStart(slot);
  if (view.getUint32(at, true) !== hash || view.getUint32(at + 4, true) !== 0) {
    failItem(leaf, slot, `hash of the name is ${hash}, the key says ${sayU64(view, at)}`);
  }
}
