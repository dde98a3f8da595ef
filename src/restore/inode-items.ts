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
import type { LeafSpan } from "../tree/source.ts";
import type { LeafWalk } from "../tree/walk.ts";

/** All items of one inode, from one leaf. */
export interface InodeItems {
  readonly inode: Inode;
  readonly xattrs: readonly Xattr[];
  /** Of a file, as `OpenFile.pieces` gives them. */
  readonly pieces: readonly Piece[];
}

/** What a walk came to: items, the end of the tree, or a node that can't be read. */
type Step = LeafSpan | "end" | "failed";

/**
 * Finds inodes whose items lie in one leaf: of a directory's files most are neighbours. For the others, and for what is
 * damaged, there is the long way by `Subvolume.inode`.
 */
export class InodeItemReader {
  /** The items that `locate` has found: slots `first` to `last` (exclusive). */
  leaf: Leaf | undefined;
  first = 0;
  last = 0;
  readonly #subvolume: Subvolume;
  readonly #key = new DataView(new ArrayBuffer(DiskKey.byteLength));
  /** Stands behind `leaf`, or behind `#next` where that is known. */
  #walk: LeafWalk | undefined;
  /** Of the leaf behind `leaf`: the walk has been there. */
  #next: Step | undefined;

  constructor(subvolume: Subvolume) {
    this.#subvolume = subvolume;
    this.#key.setUint8(DiskKey.offsets.type, INODE_ITEM);
  }

  /** Whether the first items of the inode are there: `leaf` has them, and `more` goes on. A promise as with `locate`. */
  find(number: bigint): boolean | Promise<boolean> {
    this.#key.setBigUint64(0, number, true);
    const { leaf } = this;
    if (leaf !== undefined && this.#find(leaf)) return true;
    if (typeof this.#next === "object" && this.#find(this.#next.leaf)) {
      this.leaf = this.#next.leaf;
      this.#next = undefined;
      return true;
    }
    const step = this.#seek(number);
    return step instanceof Promise ? step.then((found) => this.#start(found)) : this.#start(step);
  }

  /** Goes on to the next leaf, when it has more of the inode; `undefined` when it can't be read. */
  more(): boolean | undefined | Promise<boolean | undefined> {
    if (this.last < this.leaf!.count) return false;
    const step = this.#next ?? this.#step();
    return step instanceof Promise ? step.then((found) => this.#goOn(found)) : this.#goOn(step);
  }

  #start(step: Step): boolean {
    if (typeof step === "string") return false;
    this.leaf = step.leaf;
    return this.#find(step.leaf);
  }

  #goOn(next: Step): boolean | undefined {
    if (this.#isOther(next)) return false;
    if (typeof next === "string") return undefined;
    this.leaf = next.leaf;
    this.#next = undefined;
    this.first = next.first;
    this.last = next.first;
    while (this.last < next.leaf.count && this.#isOf(next.leaf, this.last)) this.last++;
    return true;
  }

  /** Whether all items of the inode lie in one leaf, that can be read. A promise only where nodes have to be read. */
  locate(number: bigint): boolean | Promise<boolean> {
    this.#key.setBigUint64(0, number, true);
    const { leaf } = this;
    if (leaf !== undefined && this.#find(leaf)) return this.last < leaf.count || this.#isEnd();
    if (typeof this.#next === "object" && this.#find(this.#next.leaf)) {
      this.leaf = this.#next.leaf;
      this.#next = undefined;
      return this.last < this.leaf.count || this.#isEnd();
    }
    return this.#search(number);
  }

  /** `undefined` when it is to be read the long way. */
  read(number: bigint, path: Uint8Array): InodeItems | undefined | Promise<InodeItems | undefined> {
    const isThere = this.locate(number);
    if (typeof isThere === "boolean") return isThere ? this.#decode(number, path) : undefined;
    return isThere.then((found) => (found ? this.#decode(number, path) : undefined));
  }

  #seek(number: bigint): Step | Promise<Step> {
    this.leaf = undefined;
    this.#next = undefined;
    this.#walk = this.#subvolume.tree.walk({ first: keyOf(number, INODE_ITEM, 0n) });
    return this.#step();
  }

  #search(number: bigint): boolean | Promise<boolean> {
    const step = this.#seek(number);
    return step instanceof Promise ? step.then((found) => this.#enter(found)) : this.#enter(step);
  }

  #enter(step: Step): boolean | Promise<boolean> {
    if (typeof step === "string") return false;
    this.leaf = step.leaf;
    return this.#find(step.leaf) && (this.last < step.leaf.count || this.#isEnd());
  }

  /** Whether the next leaf has nothing more of the inode, whose items go on to the end of this one. */
  #isEnd(): boolean | Promise<boolean> {
    const step = this.#next ?? this.#step();
    return step instanceof Promise ? step.then((found) => this.#isOther(found)) : this.#isOther(step);
  }

  #isOther(next: Step): boolean {
    this.#next = next;
    return typeof next === "string" ? next === "end" : !this.#isOf(next.leaf, next.first);
  }

  #step(): Step | Promise<Step> {
    try {
      const span = this.#walk!.next();
      return span instanceof Promise ? span.then((found) => found ?? "end", failed) : (span ?? "end");
    } catch (error) {
      return failed(error);
    }
  }

  /** Takes the slots that the leaf has of the inode that is looked for; false when it does not have its first item. */
  #find(leaf: Leaf): boolean {
    const first = lowerBound(leaf, this.#key);
    let last = first;
    while (last < leaf.count && this.#isOf(leaf, last)) last++;
    this.first = first;
    this.last = last;
    return last > first && slotType(leaf, first) === INODE_ITEM;
  }

  #isOf(leaf: Leaf, slot: number): boolean {
    const at = keyAt(leaf, slot);
    const { view } = leaf;
    return (
      view.getUint32(at, true) === this.#key.getUint32(0, true) &&
      view.getUint32(at + 4, true) === this.#key.getUint32(4, true)
    );
  }

  #decode(number: bigint, path: Uint8Array): InodeItems | undefined {
    const { first, last } = this;
    const leaf = this.leaf!;
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

/** The long way says what is wrong. */
function failed(error: unknown): "failed" {
  if (error instanceof BtrfsError) return "failed";
  throw error;
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
