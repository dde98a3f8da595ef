import { decodeDirEntries } from "../format/dir-item.ts";
import { itemsOf } from "../format/key.ts";
import { XATTR_ITEM } from "../format/key-type.ts";
import { itemBytes } from "../format/node.ts";
import type { Inode } from "./inode.ts";
import { spansOf } from "./spans.ts";

export interface Xattr {
  /** With its prefix, as `user.note`. */
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

export async function readXattrs(inode: Inode): Promise<Xattr[]> {
  const xattrs: Xattr[] = [];
  if (inode.isPlaceholder) return xattrs;
  await spansOf(inode.subvolume.tree, itemsOf(inode.number, XATTR_ITEM), ({ leaf, first, last }) => {
    for (let slot = first; slot < last; slot++) {
      for (const { name, data } of decodeDirEntries(itemBytes(leaf, slot), leaf.where)) {
        xattrs.push({ name: name.slice(), value: data.slice() });
      }
    }
  });
  return xattrs;
}
