import { readSafe } from "../bytes/u64.ts";
import { FILE_EXTENT_INLINE, FileExtentItem } from "../format/file-extent.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { childLogical, itemStart, keyAt, type NodeBlock, slotType } from "../format/node.ts";

/** A reference of a file extent to an extent of data, as it is counted. */
export interface DataChild {
  readonly logical: number;
  /** Stored bytes. */
  readonly length: number;
  /** Inode. */
  readonly objectid: bigint;
  /** File offset at which the extent would start, modulo 2^64. */
  readonly offset: bigint;
}

/** Everything that the references of a block count: the children of an inner node, the extents of a leaf's files. */
export function eachChild(
  node: NodeBlock,
  block: (logical: number, level: number) => void,
  data: (child: DataChild) => void,
): void {
  if (node.level > 0) {
    for (let slot = 0; slot < node.count; slot++) block(childLogical(node, slot), node.level - 1);
    return;
  }
  for (let slot = 0; slot < node.count; slot++) {
    if (slotType(node, slot) !== EXTENT_DATA) continue;
    const child = dataChild(node, slot);
    if (child !== undefined) data(child);
  }
}

const { offsets: AT } = FileExtentItem;

/** What the file extent in `slot` of a leaf refers to; `undefined` for inline data and holes. */
export function dataChild(leaf: NodeBlock, slot: number): DataChild | undefined {
  const { view } = leaf;
  const start = itemStart(leaf, slot);
  if (view.getUint8(start + AT.type) === FILE_EXTENT_INLINE) return undefined;
  const logical = readSafe(view, start + AT.diskBytenr, "extent address");
  if (logical === 0) return undefined;
  const key = keyAt(leaf, slot);
  const fileOffset = view.getBigUint64(key + 9, true);
  return {
    logical,
    length: readSafe(view, start + AT.diskNumBytes, "extent length"),
    objectid: view.getBigUint64(key, true),
    offset: BigInt.asUintN(64, fileOffset - view.getBigUint64(start + AT.offset, true)),
  };
}
