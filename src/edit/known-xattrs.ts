import { toBytes } from "../bytes/bytes.ts";
import { DirItem } from "../format/dir-item.ts";
import { XATTR_ITEM } from "../format/key-type.ts";
import type { DelayedItem } from "../transaction/delayed-items.ts";
import { nameHash } from "../tree/hash.ts";
import { locateNow } from "./names.ts";
import type { Place } from "./place.ts";

// Attributes that mean something to the filesystem itself, and are looked for again and again.

export const ACCESS_ACL = toBytes("system.posix_acl_access");
export const DEFAULT_ACL = toBytes("system.posix_acl_default");
export const COMPRESSION_PROPERTY = toBytes("btrfs.compression");

const HASHES = new Map([ACCESS_ACL, DEFAULT_ACL, COMPRESSION_PROPERTY].map((name) => [name, nameHash(name)]));

/** An attribute of an inode. */
export interface KnownXattr {
  readonly item: DelayedItem;
  /** Where it lies: it may be changed after `mark`. */
  readonly value: Uint8Array;
}

/** @param name One of those above. @throws {Wait} */
export function knownXattrNow(at: Place, inode: number, name: Uint8Array): KnownXattr | undefined {
  const found = locateNow(at, inode, name, XATTR_ITEM, HASHES.get(name));
  if (found === undefined) return undefined;
  const { item, start, end } = found;
  return { item, value: item.data!.subarray(start + DirItem.byteLength + name.byteLength, end) };
}
