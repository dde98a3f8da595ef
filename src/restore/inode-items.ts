import { BtrfsError } from "../errors.ts";
import { decodeDirEntries } from "../format/dir-item.ts";
import { decodeFileExtent, FILE_EXTENT_INLINE, FILE_EXTENT_PREALLOC } from "../format/file-extent.ts";
import { DiskKey, keyOf } from "../format/key.ts";
import { EXTENT_DATA, INODE_ITEM, XATTR_ITEM } from "../format/key-type.ts";
import { itemBytes, itemWhere, keyAt, type Leaf, lowerBound, slotType } from "../format/node.ts";
import { extentEnd, type Piece } from "../fs/extents.ts";
import { decodeStat, Inode } from "../fs/inode.ts";
import type { Subvolume } from "../fs/subvolume.ts";
import type { Xattr } from "../fs/xattr.ts";

/** All items of one inode, from one leaf. */
export interface InodeItems {
  readonly inode: Inode;
  readonly xattrs: readonly Xattr[];
  /** Of a file, as `OpenFile.pieces` gives them. */
  readonly pieces: readonly Piece[];
}

/**
 * Reads inodes whose items lie in one leaf, in one go: of a directory's files most are neighbours. For the others, and
 * for what is damaged, there is the long way by `Subvolume.inode`.
 */
export class InodeItemReader {
  readonly #subvolume: Subvolume;
  readonly #key = new DataView(new ArrayBuffer(DiskKey.byteLength));
  #leaf: Leaf | undefined;

  constructor(subvolume: Subvolume) {
    this.#subvolume = subvolume;
    this.#key.setUint8(DiskKey.offsets.type, INODE_ITEM);
  }

  /** `undefined` when it is to be read the long way. */
  read(number: bigint, path: Uint8Array): InodeItems | undefined | Promise<InodeItems | undefined> {
    const span = this.#leaf === undefined ? undefined : this.#find(this.#leaf, number);
    if (span !== undefined) return this.#decode(this.#leaf!, span, number, path);
    return this.#search(number, path);
  }

  async #search(number: bigint, path: Uint8Array): Promise<InodeItems | undefined> {
    try {
      const found = await this.#subvolume.tree.find(keyOf(number, INODE_ITEM, 0n), "exact");
      if (found === undefined) return undefined;
      this.#leaf = found.leaf;
      const span = this.#find(found.leaf, number);
      return span && this.#decode(found.leaf, span, number, path);
    } catch (error) {
      if (error instanceof BtrfsError) return undefined;
      throw error;
    }
  }

  /** First and last slot (exclusive), when the leaf has something behind them. */
  #find(leaf: Leaf, number: bigint): readonly [number, number] | undefined {
    this.#key.setBigUint64(0, number, true);
    const first = lowerBound(leaf, this.#key);
    let last = first;
    const [low, high] = [this.#key.getUint32(0, true), this.#key.getUint32(4, true)];
    for (; last < leaf.count; last++) {
      const at = keyAt(leaf, last);
      if (leaf.view.getUint32(at, true) !== low || leaf.view.getUint32(at + 4, true) !== high) break;
    }
    const isWhole = last < leaf.count && last > first && slotType(leaf, first) === INODE_ITEM;
    return isWhole ? [first, last] : undefined;
  }

  #decode(
    leaf: Leaf,
    [first, last]: readonly [number, number],
    number: bigint,
    path: Uint8Array,
  ): InodeItems | undefined {
    try {
      const stat = decodeStat(itemBytes(leaf, first), leaf.where);
      const inode = new Inode(this.#subvolume, number, stat, path);
      const xattrs: Xattr[] = [];
      let extents = last;
      for (let slot = first + 1; slot < last; slot++) {
        const type = slotType(leaf, slot);
        if (type === XATTR_ITEM) {
          for (const { name, data } of decodeDirEntries(itemBytes(leaf, slot), itemWhere(leaf, slot))) {
            xattrs.push({ name, value: data });
          }
        } else if (type === EXTENT_DATA) {
          extents = Math.min(extents, slot);
        }
      }
      const pieces = stat.kind === "file" ? piecesOf(leaf, extents, last, stat.size) : [];
      return pieces && { inode, xattrs, pieces };
    } catch (error) {
      if (error instanceof BtrfsError) return undefined;
      throw error;
    }
  }
}

/** `undefined` where extents overlap. */
function piecesOf(leaf: Leaf, first: number, last: number, size: bigint): Piece[] | undefined {
  const pieces: Piece[] = [];
  let cursor = 0n;
  for (let slot = first; slot < last; slot++) {
    if (slotType(leaf, slot) !== EXTENT_DATA) return undefined;
    const extent = decodeFileExtent(leaf, slot);
    const start = extent.fileOffset;
    if (start < cursor) return undefined;
    if (start >= size) break;
    if (start > cursor) pieces.push({ kind: "zeros", start: cursor, end: start });
    cursor = extentEnd(extent);
    const end = cursor < size ? cursor : size;
    if (extent.type === FILE_EXTENT_INLINE) pieces.push({ kind: "inline", start, end, extent });
    else if (extent.type === FILE_EXTENT_PREALLOC || extent.diskBytenr === 0)
      pieces.push({ kind: "zeros", start, end });
    else pieces.push({ kind: "stored", start, end, extent });
  }
  if (cursor < size) pieces.push({ kind: "zeros", start: cursor, end: size });
  return pieces;
}
