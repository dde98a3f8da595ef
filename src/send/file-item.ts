import { readSafe } from "../bytes/u64.ts";
import { CorruptError } from "../errors.ts";
import {
  COMPRESS_NONE,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
  FILE_EXTENT_REG,
  FileExtentItem,
  INLINE_DATA_AT,
} from "../format/file-extent.ts";
import { itemSize, itemStart, itemWhere, keyAt, type Leaf } from "../format/node.ts";

/** An EXTENT_DATA item in numbers. All in bytes; what an inline item lacks is 0. */
export interface FileItem {
  readonly leaf: Leaf;
  readonly slot: number;
  readonly type: number;
  /** Offset in the file. */
  readonly start: number;
  /** File offset behind it, that of an inline item rounded up to a sector. */
  readonly end: number;
  readonly compression: number;
  readonly generation: number;
  /** Decoded length of the whole extent. */
  readonly ramBytes: number;
  /** Logical address; 0 is a hole. */
  readonly diskBytenr: number;
  readonly diskNumBytes: number;
  /** Where the item begins inside of the decoded extent. */
  readonly offset: number;
  /** Stored bytes of an inline item. */
  readonly inline: Uint8Array | undefined;
}

const AT = FileExtentItem.offsets;

/** @throws {CorruptError} for an unknown type, or another size than the type has. */
export function readFileItem(leaf: Leaf, slot: number, sectorSize: number): FileItem {
  const { view } = leaf;
  const at = itemStart(leaf, slot);
  const size = itemSize(leaf, slot);
  const type = size < INLINE_DATA_AT ? -1 : view.getUint8(at + AT.type);
  const isStored = type === FILE_EXTENT_REG || type === FILE_EXTENT_PREALLOC;
  if (!(type === FILE_EXTENT_INLINE || (isStored && size === FileExtentItem.byteLength))) {
    throw new CorruptError(`Cannot read file extent: its type is ${type}, its size ${size}`, itemWhere(leaf, slot));
  }
  const start = readSafe(view, keyAt(leaf, slot) + 9, "file offset");
  const ramBytes = readSafe(view, at + AT.ramBytes, "length of an extent");
  const length = isStored ? readSafe(view, at + AT.numBytes, "length of a file extent") : ramBytes;
  return {
    leaf,
    slot,
    type,
    start,
    end: isStored ? start + length : Math.ceil((start + length) / sectorSize) * sectorSize,
    compression: view.getUint8(at + AT.compression),
    generation: readSafe(view, at + AT.generation, "generation of an extent"),
    ramBytes,
    diskBytenr: isStored ? readSafe(view, at + AT.diskBytenr, "extent address") : 0,
    diskNumBytes: isStored ? readSafe(view, at + AT.diskNumBytes, "extent length") : 0,
    offset: isStored ? readSafe(view, at + AT.offset, "offset in an extent") : 0,
    inline: isStored ? undefined : leaf.bytes.subarray(at + INLINE_DATA_AT, at + size),
  };
}

/** Where in its file an item has the byte of the extent that `wanted` begins with; `undefined` when it has not. */
export function matchingOffset(item: FileItem, wantedOffset: number): number | undefined {
  if (item.compression !== COMPRESS_NONE) return item.start;
  const at = wantedOffset - item.offset;
  return at < 0 || at >= item.end - item.start ? undefined : item.start + at;
}
