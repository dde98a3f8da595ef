import { BtrfsError, CorruptError, type Where } from "../errors.ts";
import { decodeFileExtent } from "../format/file-extent.ts";
import { InodeItem, S_IFMT, S_IFREG } from "../format/inode.ts";
import { keyOf } from "../format/key.ts";
import { EXTENT_DATA, INODE_ITEM } from "../format/key-type.ts";
import { itemBytes, itemStart, itemWhere, keyAt, type Leaf, slotKey, slotType } from "../format/node.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import type { LeafSpan } from "../tree/source.ts";
import { type Piece, PieceCutter } from "./extents.ts";
import { decodeStat, Inode } from "./inode.ts";
import { located } from "./located.ts";
import type { Subvolume } from "./subvolume.ts";

/** A piece of the file that `inode` is; it has no path. */
export interface FilePiece {
  readonly inode: Inode;
  readonly piece: Piece;
}

export interface FilePiecesOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Takes what can't be read of the tree, in place of ending the walk: files that it has are left out, or have a piece
   * that is lost.
   */
  readonly onDamage?: ((error: BtrfsError) => void) | undefined;
}

/**
 * What all regular files of a subvolume consist of, without gaps, in the order of their inode numbers: one walk over its
 * tree, leaf by leaf. Deleted files that wait for their removal are left out.
 *
 * @throws {BtrfsError} where the tree can't be read, unless `onDamage` takes it; where extents of a file overlap.
 */
export async function* filePieces(
  subvolume: Subvolume,
  { signal, onDamage }: FilePiecesOptions = {},
): AsyncGenerator<FilePiece[]> {
  const walk = subvolume.tree.walk(
    { first: keyOf(FIRST_FREE_OBJECTID, 0, 0n) },
    signal === undefined ? {} : { signal },
  );
  const fail = (error: unknown, where: Where): BtrfsError => {
    const found = located(error, where);
    if (!(found instanceof BtrfsError) || onDamage === undefined) throw found;
    onDamage(found);
    return found;
  };
  const cutting = new Cutting(subvolume, fail);
  for (;;) {
    let span: LeafSpan | undefined;
    try {
      const next = walk.next();
      span = next instanceof Promise ? await next : next;
    } catch (error) {
      // The walk has passed the bad node: what follows it can be had.
      cutting.lose(fail(error, { tree: subvolume.id }));
      continue;
    }
    const found = cutting.pieces(span);
    if (found.length > 0) yield found;
    if (span === undefined) return;
  }
}

/** The file whose items are met, from one leaf to the next. */
class Cutting {
  readonly #subvolume: Subvolume;
  readonly #fail: (error: unknown, where: Where) => void;
  #inode: Inode | undefined;
  #number = 0n;
  #cutter: PieceCutter | undefined;
  #found: FilePiece[] = [];
  readonly #pieces: Piece[] = [];

  constructor(subvolume: Subvolume, fail: (error: unknown, where: Where) => void) {
    this.#subvolume = subvolume;
    this.#fail = fail;
  }

  lose(error: BtrfsError): void {
    this.#cutter?.lose(error);
  }

  /** Pieces that the items of a leaf complete; `undefined` is the end of the tree. */
  pieces(span: LeafSpan | undefined): FilePiece[] {
    this.#found = [];
    if (span === undefined) this.#finish();
    else for (let slot = span.first; slot < span.last; slot++) this.#tryTake(span.leaf, slot);
    return this.#found;
  }

  /** What is wrong with one file is no reason to leave out others. */
  #tryTake(leaf: Leaf, slot: number): void {
    try {
      this.#take(leaf, slot);
    } catch (error) {
      this.#cutter = undefined;
      this.#fail(error, { tree: this.#subvolume.id, inode: slotKey(leaf, slot).objectid });
    }
  }

  #take(leaf: Leaf, slot: number): void {
    const type = slotType(leaf, slot);
    if (type === INODE_ITEM) {
      this.#finish();
      this.#begin(leaf, slot);
    } else if (type === EXTENT_DATA && this.#cutter !== undefined) {
      if (leaf.view.getBigUint64(keyAt(leaf, slot), true) !== this.#number) return;
      this.#cutter.take(decodeFileExtent(leaf, slot), this.#pieces);
      this.#hand();
    }
  }

  #begin(leaf: Leaf, slot: number): void {
    const start = itemStart(leaf, slot);
    const isFile = (leaf.view.getUint32(start + InodeItem.offsets.mode, true) & S_IFMT) === S_IFREG;
    if (!isFile || leaf.view.getUint32(start + InodeItem.offsets.nlink, true) === 0) return;
    const stat = decodeStat(itemBytes(leaf, slot), leaf.where);
    if (stat.size >= 1n << 63n) {
      throw new CorruptError(`Cannot trust file size: it is ${stat.size}, the most is 2^63 - 1`, itemWhere(leaf, slot));
    }
    this.#number = leaf.view.getBigUint64(keyAt(leaf, slot), true);
    this.#inode = new Inode(this.#subvolume, this.#number, stat);
    this.#cutter = new PieceCutter(this.#inode, 0n, stat.size);
  }

  #finish(): void {
    this.#cutter?.finish(this.#pieces);
    this.#hand();
    this.#cutter = undefined;
  }

  #hand(): void {
    for (const piece of this.#pieces) this.#found.push({ inode: this.#inode!, piece });
    this.#pieces.length = 0;
  }
}
