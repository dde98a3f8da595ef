import { BtrfsError, CorruptError } from "../errors.ts";
import {
  decodeFileExtent,
  FILE_EXTENT_INLINE,
  FILE_EXTENT_PREALLOC,
  type FileExtent,
  type InlineExtent,
  type StoredExtent,
} from "../format/file-extent.ts";
import { itemsOf, keyOf } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { slotKey } from "../format/node.ts";
import type { LeafSpan } from "../tree/source.ts";
import type { Inode } from "./inode.ts";
import { located } from "./located.ts";

export interface ExtentOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes what can't be read of the list of extents, in place of ending it. */
  readonly onDamage?: ((error: BtrfsError) => void) | undefined;
}

/**
 * The extents of a file as its items have them, leaf by leaf: first the one that has file offset `from`, or the next.
 * Holes may have an item or none.
 */
export async function* extentBatches(
  inode: Inode,
  from = 0n,
  options: ExtentOptions = {},
): AsyncGenerator<FileExtent[]> {
  const { tree } = inode.subvolume;
  const { signal, onDamage } = options;
  const fail = (error: unknown): void => {
    const found = located(error, inode.where);
    if (!(found instanceof BtrfsError) || onDamage === undefined) throw found;
    onDamage(found);
  };
  const start = from === 0n ? 0n : await firstExtent(inode, from).catch(fail);
  const walk = tree.walk(itemsOf(inode.number, EXTENT_DATA, start ?? from), signal === undefined ? {} : { signal });
  for (;;) {
    let batch: FileExtent[] | undefined;
    try {
      const next = walk.next();
      const span = next instanceof Promise ? await next : next;
      batch = span && decodeSpan(span);
    } catch (error) {
      // The walk has passed the bad node: what follows it can be had.
      fail(error);
      continue;
    }
    if (batch === undefined) return;
    yield batch;
  }
}

/** File offset of the last extent that begins at or before `offset`. */
async function firstExtent(inode: Inode, offset: bigint): Promise<bigint | undefined> {
  const span = await inode.subvolume.tree.find(keyOf(inode.number, EXTENT_DATA, offset), "atOrBefore");
  if (span === undefined) return undefined;
  const key = slotKey(span.leaf, span.first);
  return key.objectid === inode.number && key.type === EXTENT_DATA ? key.offset : undefined;
}

function decodeSpan({ leaf, first, last }: LeafSpan): FileExtent[] {
  const extents: FileExtent[] = [];
  for (let slot = first; slot < last; slot++) extents.push(decodeFileExtent(leaf, slot));
  return extents;
}

/**
 * The extent that has file offset `offset`; an inline one has the rest of its sector too. Where there is none, `next` is
 * where the following one begins, if that is before `end`.
 */
export async function findExtent(
  inode: Inode,
  offset: bigint,
  end: bigint,
): Promise<{ readonly extent?: FileExtent; readonly next?: bigint }> {
  const { tree, filesystem } = inode.subvolume;
  const sector = BigInt(filesystem.volume.sectorSize);
  const span = await tree.find(keyOf(inode.number, EXTENT_DATA, offset), "atOrBefore");
  if (span !== undefined) {
    const { objectid, type } = slotKey(span.leaf, span.first);
    if (objectid === inode.number && type === EXTENT_DATA) {
      const extent = decodeFileExtent(span.leaf, span.first);
      if (offset < roundUp(extentEnd(extent), sector)) return { extent };
    }
  }
  const first = keyOf(inode.number, EXTENT_DATA, offset + 1n);
  const following = tree.walk({ first, last: keyOf(inode.number, EXTENT_DATA, end) }).next();
  const next = following instanceof Promise ? await following : following;
  return next === undefined ? {} : { next: slotKey(next.leaf, next.first).offset };
}

export function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

export function roundUp(value: bigint, unit: bigint): bigint {
  return ((value + unit - 1n) / unit) * unit;
}

/** File offset behind the last byte that an extent has. */
export function extentEnd(extent: FileExtent): bigint {
  return extent.fileOffset + (extent.type === FILE_EXTENT_INLINE ? extent.ramBytes : extent.numBytes);
}

/** What stands in a part of a file, from `start` up to `end`. */
export type Piece =
  /** A hole, or preallocated. */
  | { readonly kind: "zeros"; readonly start: bigint; readonly end: bigint }
  | { readonly kind: "inline"; readonly start: bigint; readonly end: bigint; readonly extent: InlineExtent }
  | { readonly kind: "stored"; readonly start: bigint; readonly end: bigint; readonly extent: StoredExtent }
  /** The list of extents can't be read here. */
  | { readonly kind: "lost"; readonly start: bigint; readonly end: bigint; readonly error: BtrfsError };

export interface PiecesOptions {
  readonly signal?: AbortSignal | undefined;
  /** Makes a piece of what can't be read of the list of extents, in place of ending it. */
  readonly keepGoing?: boolean | undefined;
}

/**
 * What stands in a file from `start` up to `end`, without gaps.
 *
 * @throws {CorruptError} where extents overlap, or can't be read, unless `keepGoing`.
 */
export async function* pieces(
  inode: Inode,
  start: bigint,
  end: bigint,
  { signal, keepGoing = false }: PiecesOptions = {},
): AsyncGenerator<Piece[]> {
  const cutter = new PieceCutter(inode, start, end);
  const onDamage = keepGoing ? (error: BtrfsError) => cutter.lose(error) : undefined;
  for await (const batch of extentBatches(inode, start, { signal, onDamage })) {
    const found: Piece[] = [];
    const goesOn = batch.every((extent) => cutter.take(extent, found));
    if (found.length > 0) yield found;
    if (!goesOn) break;
  }
  const rest: Piece[] = [];
  cutter.finish(rest);
  if (rest.length > 0) yield rest;
}

/** Cuts a part of a file into pieces, as its extents are given to it in the order of the file. */
export class PieceCutter {
  readonly #inode: Inode;
  readonly #end: bigint;
  #cursor: bigint;
  /** File offset behind the last extent. */
  #taken = 0n;
  #damage: BtrfsError | undefined;

  constructor(inode: Inode, start: bigint, end: bigint) {
    this.#inode = inode;
    this.#cursor = start;
    this.#end = end;
  }

  /** Extents may be missing here: up to the next one, nobody knows what there is. */
  lose(error: BtrfsError): void {
    this.#damage = error;
  }

  /**
   * Adds to `found` what stands up to the end of `extent`.
   *
   * @returns Whether the next extent is wanted.
   * @throws {CorruptError} when it overlaps the one before.
   */
  take(extent: FileExtent, found: Piece[]): boolean {
    const { fileOffset } = extent;
    if (fileOffset >= this.#end) return false;
    if (fileOffset < this.#taken) throw overlap(this.#inode, fileOffset, this.#taken);
    this.#taken = extentEnd(extent);
    if (this.#taken > this.#cursor) {
      if (fileOffset > this.#cursor) this.#gap(fileOffset, found);
      const to = smaller(this.#taken, this.#end);
      found.push(pieceOf(extent, this.#cursor, to));
      this.#cursor = to;
    }
    return this.#cursor < this.#end;
  }

  /** Adds what is left: no extent follows. */
  finish(found: Piece[]): void {
    if (this.#cursor < this.#end) this.#gap(this.#end, found);
  }

  #gap(end: bigint, found: Piece[]): void {
    const [start, error] = [this.#cursor, this.#damage];
    found.push(error === undefined ? { kind: "zeros", start, end } : { kind: "lost", start, end, error });
    this.#damage = undefined;
    this.#cursor = end;
  }
}

function pieceOf(extent: FileExtent, start: bigint, end: bigint): Piece {
  if (extent.type === FILE_EXTENT_INLINE) return { kind: "inline", start, end, extent };
  const isZeros = extent.type === FILE_EXTENT_PREALLOC || extent.diskBytenr === 0;
  return isZeros ? { kind: "zeros", start, end } : { kind: "stored", start, end, extent };
}

function overlap(inode: Inode, offset: bigint, end: bigint): CorruptError {
  return new CorruptError(`Cannot trust file extent at ${offset}: the one before it ends at ${end}`, inode.where);
}
