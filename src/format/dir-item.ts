import { viewOf } from "../bytes/bytes.ts";
import { nested, struct, u8, u16, u64 } from "../bytes/struct.ts";
import { CorruptError, type Where } from "../errors.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "./inode.ts";
import { DiskKey, decodeKey, type Key } from "./key.ts";

/** `struct btrfs_dir_item`: an entry of DIR_ITEM, DIR_INDEX and XATTR_ITEM; the name and then the value follow. */
export const DirItem = struct("btrfs_dir_item", 30, {
  /** Where the entry leads: an inode's or a root's key. */
  location: nested(DiskKey),
  transid: u64,
  /** Bytes of the value; 0 but for extended attributes. */
  dataLen: u16,
  nameLen: u16,
  /** `FT_*`. */
  type: u8,
});

export const FT_UNKNOWN = 0;
export const FT_REG_FILE = 1;
export const FT_DIR = 2;
export const FT_CHRDEV = 3;
export const FT_BLKDEV = 4;
export const FT_FIFO = 5;
export const FT_SOCK = 6;
export const FT_SYMLINK = 7;
/** An extended attribute. */
export const FT_XATTR = 8;

/** `FT_*` of an entry by the file type bits of its inode's mode. */
export const ENTRY_TYPES: Readonly<Record<number, number>> = {
  [S_IFREG]: FT_REG_FILE,
  [S_IFDIR]: FT_DIR,
  [S_IFLNK]: FT_SYMLINK,
  [S_IFCHR]: FT_CHRDEV,
  [S_IFBLK]: FT_BLKDEV,
  [S_IFIFO]: FT_FIFO,
  [S_IFSOCK]: FT_SOCK,
};

/** Longest name of a file or an extended attribute, in bytes (`BTRFS_NAME_LEN`). */
export const NAME_LEN = 255;

const TYPE_NAMES = ["UNKNOWN", "FILE", "DIR", "CHRDEV", "BLKDEV", "FIFO", "SOCK", "SYMLINK", "XATTR"];

/** As `DIR`; the number of an unknown type. */
export function dirTypeName(type: number): string {
  return TYPE_NAMES[type] ?? `UNKNOWN.${type}`;
}

/** `name` and `data` are bytes of the item, not copies. */
export interface DirEntry {
  readonly location: Key;
  readonly transid: bigint;
  readonly type: number;
  readonly name: Uint8Array;
  readonly data: Uint8Array;
}

/**
 * The entries of one DIR_ITEM, DIR_INDEX or XATTR_ITEM item. DIR_ITEM and XATTR_ITEM hold several where hashes collide.
 *
 * @throws {CorruptError} when an entry does not end inside the item.
 */
export function decodeDirEntries(data: Uint8Array, where: Where = {}): DirEntry[] {
  const view = viewOf(data);
  const entries: DirEntry[] = [];
  for (let at = 0; at < data.byteLength; ) {
    const end = dirEntryEnd(view, at, where);
    const entry = new DirItem(view, at);
    const nameAt = at + DirItem.byteLength;
    const dataAt = nameAt + entry.nameLen;
    entries.push({
      location: decodeKey(view, at),
      transid: entry.transid,
      type: entry.type,
      name: data.subarray(nameAt, dataAt),
      data: data.subarray(dataAt, end),
    });
    at = end;
  }
  return entries;
}

/**
 * Byte at which the entry that starts at byte `at` ends: for loops that want no objects.
 *
 * @throws {CorruptError} when that is not inside `view`.
 */
export function dirEntryEnd(view: DataView, at: number, where: Where = {}): number {
  const nameAt = at + DirItem.byteLength;
  const end =
    nameAt > view.byteLength
      ? nameAt
      : nameAt +
        view.getUint16(at + DirItem.offsets.nameLen, true) +
        view.getUint16(at + DirItem.offsets.dataLen, true);
  if (end > view.byteLength) {
    throw new CorruptError(
      `Cannot read btrfs_dir_item: entry ends at byte ${end}, the item has ${view.byteLength}`,
      where,
    );
  }
  return end;
}
