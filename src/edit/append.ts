import { writeSafe } from "../bytes/u64.ts";
import { FILE_EXTENT_INLINE, FILE_EXTENT_REG, FileExtentItem, INLINE_DATA_AT } from "../format/file-extent.ts";
import { INODE_RO_VERITY, S_IFMT, S_IFREG } from "../format/inode.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import type { StoredData } from "../transaction/data-store.ts";
import type { DelayedItem } from "../transaction/delayed-items.ts";
import { setTime } from "../transaction/new-items.ts";
import { hasNoHoles, needCompression } from "./extents.ts";
import { changeInode, type InodeView, inodeItem, inodeView } from "./inode.ts";
import { demandWritableNow, type Place } from "./place.ts";
import { isPlain } from "./sectors.ts";

// Files mostly come from front to back, soon after they were made: all that there is of them is in memory then, and
// nothing lies where the next extent goes. These are the same changes as those of `writeFile` and `writeEncoded`, with
// nothing to look for, and nothing to wait for.

/** A file whose end is in memory. */
export interface OpenEnd {
  readonly inode: number;
  readonly item: DelayedItem;
}

/** Bytes that go behind all that a file has. */
export interface Appended {
  /** File offset, of a whole sector. */
  readonly at: number;
  /** What the extent decodes to, and where in that it begins to show; whole sectors. */
  readonly ramBytes: number;
  readonly offset: number;
  /** File bytes, in whole sectors. */
  readonly numBytes: number;
  readonly compression: number;
  /** Length that the file has then at least. */
  readonly end: number;
}

/** The end of a regular file, if nothing that it has reaches beyond `offset`; `undefined` where one has to look. */
export function openEnd(at: Place, inode: bigint, offset: bigint): OpenEnd | undefined {
  const { tx, tree } = at;
  const number = Number(inode);
  const from = Number(offset);
  const { sectorSize } = tx.volume;
  if (number > Number.MAX_SAFE_INTEGER || from > MAX_OFFSET || from % sectorSize !== 0) return undefined;
  const items = tx.items(tree);
  if (!items.isWhole(number)) return undefined;
  demandWritableNow(at);
  const item = inodeItem(at, number);
  const view = inodeView(at, item);
  if ((view.mode & S_IFMT) !== S_IFREG || ((view.flags >> 32n) & BigInt(INODE_RO_VERITY)) !== 0n) return undefined;
  if (isPlain(view)) return undefined;
  const size = Number(view.size);
  if (from > size && (size % sectorSize !== 0 || !hasNoHoles(at))) return undefined;
  const last = items.itemsOf(number).at(-1);
  if (last?.type === EXTENT_DATA) {
    const type = last.view.getUint8(FileExtentItem.offsets.type);
    if (type === FILE_EXTENT_INLINE) return undefined;
    if (last.offset + Number(last.view.getBigUint64(FileExtentItem.offsets.numBytes, true)) > from) return undefined;
  } else if (items.hasAny(number, EXTENT_DATA)) {
    return undefined;
  }
  return { inode: number, item };
}

/** Offsets from which a write stays far below 2^53. */
const MAX_OFFSET = 2 ** 52;

/** Puts a stored extent at the end of a file. */
export function appendExtent(at: Place, { inode, item }: OpenEnd, stored: StoredData, extent: Appended): void {
  const { tx, tree } = at;
  const { view } = tx.items(tree).insert(inode, EXTENT_DATA, extent.at, FileExtentItem.byteLength);
  const { offsets } = FileExtentItem;
  writeSafe(view, offsets.generation, tx.generation);
  writeSafe(view, offsets.ramBytes, extent.ramBytes);
  view.setUint8(offsets.compression, extent.compression);
  view.setUint8(offsets.type, FILE_EXTENT_REG);
  writeSafe(view, offsets.diskBytenr, stored.logical);
  writeSafe(view, offsets.diskNumBytes, stored.length);
  writeSafe(view, offsets.offset, extent.offset);
  writeSafe(view, offsets.numBytes, extent.numBytes);
  needCompression(at, extent.compression);
  tx.changeDataRef(
    {
      logical: stored.logical,
      length: stored.length,
      tree,
      inode: BigInt(inode),
      offset: BigInt(extent.at) - BigInt(extent.offset),
    },
    1,
  );
  noteAppended(at, item, extent.end, extent.numBytes);
}

/** Puts all that a file has into its item. @param data As it is stored. @param ramBytes What it decodes to. */
export function appendInline(
  at: Place,
  { inode, item }: OpenEnd,
  data: Uint8Array,
  ramBytes: number,
  compression: number,
): void {
  const { tx, tree } = at;
  tx.adds = true;
  const added = tx.items(tree).insert(inode, EXTENT_DATA, 0, INLINE_DATA_AT + data.byteLength);
  const { view } = added;
  writeSafe(view, FileExtentItem.offsets.generation, tx.generation);
  writeSafe(view, FileExtentItem.offsets.ramBytes, ramBytes);
  view.setUint8(FileExtentItem.offsets.compression, compression);
  view.setUint8(FileExtentItem.offsets.type, FILE_EXTENT_INLINE);
  added.data!.set(data, INLINE_DATA_AT);
  needCompression(at, compression);
  noteAppended(at, item, ramBytes, ramBytes);
}

/** Whether a file has no content yet. */
export function isEmptyFile(at: Place, { inode, item }: OpenEnd): boolean {
  return inodeView(at, item).size === 0n && !at.tx.items(at.tree).hasAny(inode, EXTENT_DATA);
}

function noteAppended(at: Place, item: DelayedItem, end: number, added: number): void {
  const inode: InodeView = changeInode(at, item);
  if (end > Number(inode.size)) inode.size = BigInt(end);
  inode.nbytes += BigInt(added);
  setTime(inode.mtime, at.now);
  setTime(inode.ctime, at.now);
}
