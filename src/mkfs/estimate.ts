import { DirItem } from "../format/dir-item.ts";
import { ExtentItem } from "../format/extent-item.ts";
import { DEFAULT_MAX_INLINE, FileExtentItem, INLINE_DATA_AT } from "../format/file-extent.ts";
import { InodeItem, S_IFDIR, S_IFLNK, S_IFREG } from "../format/inode.ts";
import { InodeRef } from "../format/inode-ref.ts";
import { ITEM_HEADER_BYTES } from "../format/node.ts";
import { leafCapacity } from "../transaction/leaf.ts";
import type { NameTable } from "./name-table.ts";

const MOST_COMPRESSED = 131_072;
const MOST_PLAIN = 128 << 20;
/** What links lead to, and attributes, in bytes. */
const LINK_BYTES = 64;
const XATTR_BYTES = 32;
const DATA_REF_BYTES = 29;
/** Of the trees of an empty filesystem, and to spare. */
const FIXED_NODES = 40;

export interface EstimateOptions {
  readonly nodeSize: number;
  readonly sectorSize: number;
  readonly checksumSize: number;
  readonly isCompressed: boolean;
}

/** Bytes that trees and data may take: more than they will, as a rule. */
export function estimateContent(
  tables: readonly NameTable[],
  { nodeSize, sectorSize, checksumSize, isCompressed }: EstimateOptions,
): { metadata: number; data: number } {
  let items = 0;
  let bytes = 0;
  let data = 0;
  const add = (count: number, size: number): void => {
    items += count;
    bytes += count * size;
  };
  for (const names of tables) {
    for (let entry = 0; entry < names.count; entry++) {
      const name = names.nameBytes(entry);
      add(1, InodeRef.byteLength + name);
      add(2, DirItem.byteLength + name);
      if (names.isLink(entry) || names.isSubvolume(entry)) continue;
      add(1, InodeItem.byteLength + XATTR_BYTES);
      const type = names.type(entry);
      const size = names.size(entry);
      if (type === S_IFLNK) add(1, INLINE_DATA_AT + LINK_BYTES);
      if (type === S_IFDIR || type !== S_IFREG || size === 0) continue;
      if (size <= DEFAULT_MAX_INLINE) {
        add(1, INLINE_DATA_AT + size);
        continue;
      }
      const sectors = Math.ceil(size / sectorSize);
      const extents = Math.ceil(size / (isCompressed ? MOST_COMPRESSED : MOST_PLAIN));
      add(extents, FileExtentItem.byteLength);
      add(extents, ExtentItem.byteLength + DATA_REF_BYTES);
      bytes += sectors * checksumSize;
      data += sectors * sectorSize;
    }
  }
  const total = items * ITEM_HEADER_BYTES + bytes;
  // An item that does not fit leaves the end of a leaf empty: half of a large one on average.
  const fill = 1 - (DEFAULT_MAX_INLINE / 2 + 100) / leafCapacity(Math.max(nodeSize, 8192)) / 2;
  return { metadata: Math.ceil(total / fill / leafCapacity(nodeSize)) * nodeSize + FIXED_NODES * nodeSize, data };
}
