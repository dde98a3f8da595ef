import { asStruct } from "../bytes/struct.ts";
import { CorruptError } from "../errors.ts";
import { FREE_SPACE_USING_BITMAPS, FreeSpaceInfo } from "../format/free-space.ts";
import { keyOf, MAX_U64, packKey, packNumbers } from "../format/key.ts";
import { FREE_SPACE_BITMAP, FREE_SPACE_EXTENT, FREE_SPACE_INFO } from "../format/key-type.ts";
import { itemBytes, slotKey } from "../format/node.ts";
import type { Tree } from "../tree/source.ts";
import type { Chunk } from "../volume/chunk-map.ts";
import { bytesOf } from "./chunk-items.ts";
import type { Editor } from "./editor.ts";
import type { OpenTree } from "./open-tree.ts";
import { RangeSet } from "./range-set.ts";

/** The free ranges of one block group, from a committed free space tree. */
export async function readFreeSpace(tree: Tree, chunk: Chunk, sectorSize: number): Promise<RangeSet> {
  const free = new RangeSet();
  const range = { first: keyOf(BigInt(chunk.start), 0, 0n), last: keyOf(BigInt(chunk.start + chunk.length), 0, 0n) };
  for await (const { leaf, first, last } of tree.leaves(range)) {
    for (let slot = first; slot < last; slot++) {
      const key = slotKey(leaf, slot);
      const start = Number(key.objectid);
      const end = start + Number(key.offset);
      if (end > chunk.start + chunk.length) {
        throw new CorruptError(`Cannot trust free space: it ends at ${end}, its block group before`, {
          logical: start,
        });
      }
      if (key.type === FREE_SPACE_EXTENT) free.add(start, end);
      else if (key.type === FREE_SPACE_BITMAP) addBits(free, itemBytes(leaf, slot), start, sectorSize);
    }
  }
  return free;
}

function addBits(free: RangeSet, bits: Uint8Array, start: number, sectorSize: number): void {
  let from: number | undefined;
  const count = bits.byteLength * 8;
  for (let bit = 0; bit <= count; bit++) {
    const isFree = bit < count && ((bits[bit >> 3]! >> (bit & 7)) & 1) === 1;
    if (isFree && from === undefined) from = bit;
    if (!isFree && from !== undefined) {
      free.add(start + from * sectorSize, start + bit * sectorSize);
      from = undefined;
    }
  }
}

/** Keeps the free space tree what the extent tree leaves free, in the form that each block group has it in. */
export class FreeSpaceTree {
  readonly #editor: Editor;
  readonly #tree: OpenTree;
  readonly #sectorSize: number;

  constructor(editor: Editor, tree: OpenTree, sectorSize: number) {
    this.#editor = editor;
    this.#tree = tree;
    this.#sectorSize = sectorSize;
  }

  /** A new block group, all of it free. */
  async addGroup({ start, length }: Chunk): Promise<void> {
    const info = new FreeSpaceInfo(new DataView(new ArrayBuffer(FreeSpaceInfo.byteLength)));
    info.extentCount = 1;
    await this.#editor.insert(this.#tree, packNumbers(start, FREE_SPACE_INFO, length), bytesOf(info));
    await this.#editor.insert(this.#tree, extentKey(start, start + length), new Uint8Array(0));
  }

  /** Takes ranges that are free out, and puts others in. */
  async update(chunk: Chunk, taken: RangeSet, given: RangeSet): Promise<void> {
    const key = packNumbers(chunk.start, FREE_SPACE_INFO, chunk.length);
    const data = await this.#editor.get(this.#tree, key);
    if (data === undefined) {
      throw new CorruptError("Cannot change free space: the block group has none", { logical: chunk.start });
    }
    const info = asStruct(FreeSpaceInfo, data);
    const usesBitmaps = (info.flags & FREE_SPACE_USING_BITMAPS) !== 0;
    let count = info.extentCount;
    for (const { start, end } of taken) {
      count += usesBitmaps ? await this.#flip(chunk, start, end, false) : await this.#takeExtent(start, end);
    }
    for (const { start, end } of given) {
      count += usesBitmaps ? await this.#flip(chunk, start, end, true) : await this.#giveExtent(chunk, start, end);
    }
    await this.#editor.edit(this.#tree, key, (bytes) => {
      asStruct(FreeSpaceInfo, bytes).extentCount = count;
    });
  }

  /** @returns Extents more. */
  async #takeExtent(start: number, end: number): Promise<number> {
    const found = await this.#extentAtOrBefore(start);
    if (found === undefined || found.end < end) {
      throw new CorruptError(`Cannot take ${end - start} bytes: the free space tree does not have them`, {
        logical: start,
      });
    }
    const before = extentKey(found.start, found.end);
    if (found.start < start) {
      await this.#editor.rekey(this.#tree, before, extentKey(found.start, start));
      if (end === found.end) return 0;
      await this.#editor.insert(this.#tree, extentKey(end, found.end), new Uint8Array(0));
      return 1;
    }
    if (end < found.end) {
      await this.#editor.rekey(this.#tree, before, extentKey(end, found.end));
      return 0;
    }
    await this.#editor.remove(this.#tree, before);
    return -1;
  }

  /** @returns Extents more. */
  async #giveExtent(chunk: Chunk, start: number, end: number): Promise<number> {
    const left = start > chunk.start ? await this.#extentAtOrBefore(start - 1) : undefined;
    const right = end < chunk.start + chunk.length ? await this.#extentAtOrBefore(end) : undefined;
    const joinsLeft = left?.end === start;
    const joinsRight = right?.start === end;
    if ((left !== undefined && left.end > start) || (right !== undefined && right.start > start && right.start < end)) {
      throw new CorruptError(`Cannot free ${end - start} bytes: the free space tree has some of them`, {
        logical: start,
      });
    }
    const last = joinsRight ? right!.end : end;
    if (joinsLeft) {
      if (joinsRight) await this.#editor.remove(this.#tree, extentKey(right!.start, right!.end));
      await this.#editor.rekey(this.#tree, extentKey(left!.start, left!.end), extentKey(left!.start, last));
      return joinsRight ? -1 : 0;
    }
    if (joinsRight) {
      await this.#editor.rekey(this.#tree, extentKey(right!.start, right!.end), extentKey(start, last));
      return 0;
    }
    await this.#editor.insert(this.#tree, extentKey(start, end), new Uint8Array(0));
    return 1;
  }

  async #extentAtOrBefore(logical: number): Promise<{ start: number; end: number } | undefined> {
    const span = await this.#editor.find(
      this.#tree,
      packKey(keyOf(BigInt(logical), FREE_SPACE_EXTENT, MAX_U64)),
      "atOrBefore",
    );
    if (span === undefined) return undefined;
    const { objectid, type, offset } = slotKey(span.leaf, span.first);
    return type === FREE_SPACE_EXTENT ? { start: Number(objectid), end: Number(objectid + offset) } : undefined;
  }

  /** Sets or clears bits. @returns Runs of set bits more: one that crosses into the next bitmap counts once. */
  async #flip(chunk: Chunk, start: number, end: number, isFree: boolean): Promise<number> {
    const leftFree = start > chunk.start && (await this.#isFree(start - this.#sectorSize));
    const rightFree = end < chunk.start + chunk.length && (await this.#isFree(end));
    for (let at = start; at < end; ) {
      const bitmap = await this.#bitmapOf(at);
      const to = Math.min(end, bitmap.start + bitmap.length);
      const first = (at - bitmap.start) / this.#sectorSize;
      const last = (to - bitmap.start) / this.#sectorSize;
      await this.#editor.edit(this.#tree, packNumbers(bitmap.start, FREE_SPACE_BITMAP, bitmap.length), (bits) => {
        for (let bit = first; bit < last; bit++) flipBit(bits, bit, isFree, bitmap.start);
      });
      at = to;
    }
    const neighbours = (leftFree ? 1 : 0) + (rightFree ? 1 : 0);
    return isFree ? 1 - neighbours : neighbours - 1;
  }

  async #isFree(logical: number): Promise<boolean> {
    const { start, bits } = await this.#bitmapOf(logical);
    const bit = (logical - start) / this.#sectorSize;
    return ((bits[bit >> 3]! >> (bit & 7)) & 1) === 1;
  }

  async #bitmapOf(logical: number): Promise<{ start: number; length: number; bits: Uint8Array }> {
    const key = packKey(keyOf(BigInt(logical), FREE_SPACE_BITMAP, MAX_U64));
    const span = await this.#editor.find(this.#tree, key, "atOrBefore");
    const found = span === undefined ? undefined : slotKey(span.leaf, span.first);
    if (found?.type !== FREE_SPACE_BITMAP || Number(found.objectid + found.offset) <= logical) {
      throw new CorruptError("Cannot find free space bitmap: the tree has none for the address", { logical });
    }
    return { start: Number(found.objectid), length: Number(found.offset), bits: itemBytes(span!.leaf, span!.first) };
  }
}

function flipBit(bits: Uint8Array, bit: number, isFree: boolean, logical: number): void {
  const mask = 1 << (bit & 7);
  if (((bits[bit >> 3]! & mask) !== 0) === isFree) {
    throw new CorruptError(
      `Cannot change free space: sector ${bit} of the bitmap is ${isFree ? "free" : "taken"} already`,
      {
        logical,
      },
    );
  }
  bits[bit >> 3]! ^= mask;
}

function extentKey(start: number, end: number): DataView {
  return packNumbers(start, FREE_SPACE_EXTENT, end - start);
}
