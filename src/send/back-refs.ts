import { CorruptError } from "../errors.ts";
import type { ExtentRef } from "../format/extent-item.ts";
import { COMPRESS_NONE, FILE_EXTENT_INLINE } from "../format/file-extent.ts";
import { keyOf } from "../format/key.ts";
import { EXTENT_DATA, EXTENT_DATA_REF, EXTENT_ITEM, SHARED_DATA_REF } from "../format/key-type.ts";
import { itemWhere, slotKey, slotType } from "../format/node.ts";
import { descending, MAX_REFS, readExtent, readReferenced } from "./extent-refs.ts";
import { type FileItem, matchingOffset, readFileItem } from "./file-item.ts";
import { LeafRoots } from "./leaf-roots.ts";
import type { BlockSource } from "./source.ts";

/** Takes a place that refers to an extent. Returns true when no other is wanted. */
export type Offer = (root: bigint, ino: number, offset: number, length: number) => boolean;

/** A file item that refers to the extent: where the wanted bytes are in its file, and how long it is. */
interface Place {
  readonly ino: number;
  readonly offset: number;
  readonly length: number;
}

type DataRef = Extract<ExtentRef, { readonly type: typeof EXTENT_DATA_REF }>;

/** Places of one leaf, in the order in which they are offered. */
interface LeafPlaces {
  readonly leaf: number;
  readonly places: Place[];
}

/** Walks the back references of data extents in the kernel's order, which decides among places that are equally good. */
export class BackRefs {
  readonly #blocks: BlockSource;
  readonly #roots: LeafRoots;
  readonly #sectorSize: number;
  readonly #onlyLeft: boolean;

  /** @param cloneRoots The snapshots that may be cloned from. */
  constructor(blocks: BlockSource, cloneRoots: ReadonlySet<bigint>, sectorSize: number) {
    this.#blocks = blocks;
    this.#roots = new LeafRoots(blocks, cloneRoots);
    this.#sectorSize = sectorSize;
    this.#onlyLeft = cloneRoots.size === 1;
  }

  /** Offers the places that refer to the extent of `item`, which belongs to inode `ino`. */
  async walk(item: FileItem, ino: number, offer: Offer): Promise<void> {
    const extent = await readExtent(await this.#blocks.extentTree(), item.diskBytenr, EXTENT_ITEM);
    if (extent === undefined) {
      throw new CorruptError(`Cannot find extent: nothing in the extent tree has its address`, {
        ...itemWhere(item.leaf, item.slot),
        logical: item.diskBytenr,
      });
    }
    if (extent.refs > BigInt(MAX_REFS) || (extent.refs === 1n && this.#onlyLeft)) return;
    const keyed: DataRef[] = [];
    const shared: bigint[] = [];
    for (const ref of extent.all) {
      if (ref.type === EXTENT_DATA_REF) {
        if (!this.#isOwn(ref, item, ino)) keyed.push(ref);
      } else if (ref.type === SHARED_DATA_REF) shared.push(ref.parent);
    }
    keyed.sort(
      (a, b) => descending(a.root, b.root) || descending(a.objectid, b.objectid) || descending(a.offset, b.offset),
    );
    shared.sort(descending);
    const wanted = { bytenr: item.diskBytenr, offset: item.compression === COMPRESS_NONE ? item.offset : 0 };
    const leaves: LeafPlaces[] = [];
    const sharedLeaves = new Set(shared);
    for (const ref of keyed) {
      const found = await this.#resolve(ref, wanted, sharedLeaves, offer);
      if (found === undefined) return;
      leaves.push(...found);
    }
    for (const leaf of shared) {
      const found = await this.#scanShared(Number(leaf), wanted, offer);
      if (found === undefined) return;
      leaves.push(found);
    }
    await this.#offerCollected(leaves, offer);
  }

  /** With the sent snapshot alone, what it says itself leads nowhere. */
  #isOwn(ref: DataRef, item: FileItem, ino: number): boolean {
    if (!this.#onlyLeft || ref.root !== item.leaf.owner || ref.objectid !== BigInt(ino)) return false;
    return ref.offset === BigInt.asUintN(64, BigInt(item.start - item.offset));
  }

  /** Leaves with the items that a keyed reference counts, by descending address; `undefined` when the walk is over. */
  async #resolve(
    ref: DataRef,
    wanted: { readonly bytenr: number; readonly offset: number },
    sharedLeaves: ReadonlySet<bigint>,
    offer: Offer,
  ): Promise<LeafPlaces[] | undefined> {
    const tree = await this.#blocks.findTree(ref.root);
    if (tree === undefined) return [];
    const found: LeafPlaces[] = [];
    const ino = Number(ref.objectid);
    const start = ref.offset >= 1n << 63n ? 0n : ref.offset;
    const range = {
      first: keyOf(ref.objectid, EXTENT_DATA, start),
      last: keyOf(ref.objectid, EXTENT_DATA + 1, 0n),
    };
    let left = ref.count;
    for await (const { leaf, first, last } of tree.leaves(range)) {
      const { logical } = leaf;
      if (leaf.owner !== ref.root || sharedLeaves.has(BigInt(logical))) continue;
      let places: Place[] | undefined;
      for (let slot = first; slot < last && left > 0; slot++) {
        const item = readFileItem(leaf, slot, this.#sectorSize);
        if (item.type === FILE_EXTENT_INLINE || item.diskBytenr !== wanted.bytenr) continue;
        if (BigInt.asUintN(64, BigInt(item.start - item.offset)) !== ref.offset) continue;
        left--;
        const place = placeOf(item, ino, wanted.offset);
        if (place === undefined) continue;
        if (this.#offerCached(logical, place, offer)) return undefined;
        if (places === undefined) {
          places = [];
          found.push({ leaf: logical, places });
        }
        places.push(place);
      }
      if (left === 0) break;
    }
    return found.sort((a, b) => b.leaf - a.leaf);
  }

  /** Places of a leaf that a reference names by its address, the last slot first. */
  async #scanShared(
    logical: number,
    wanted: { readonly bytenr: number; readonly offset: number },
    offer: Offer,
  ): Promise<LeafPlaces | undefined> {
    const leaf = await readReferenced(this.#blocks, logical, 0);
    const places: Place[] = [];
    for (let slot = 0; slot < leaf.count; slot++) {
      if (slotType(leaf, slot) !== EXTENT_DATA) continue;
      const item = readFileItem(leaf, slot, this.#sectorSize);
      if (item.type === FILE_EXTENT_INLINE || item.diskBytenr !== wanted.bytenr) continue;
      const place = placeOf(item, Number(slotKey(leaf, slot).objectid), wanted.offset);
      if (place === undefined) continue;
      if (this.#offerCached(logical, place, offer)) return undefined;
      places.unshift(place);
    }
    return { leaf: logical, places };
  }

  #offerCached(leaf: number, { ino, offset, length }: Place, offer: Offer): boolean {
    return this.#roots.kept(leaf)?.some((root) => offer(root, ino, offset, length)) === true;
  }

  async #offerCollected(leaves: readonly LeafPlaces[], offer: Offer): Promise<void> {
    const merged = new Map<number, Place[]>();
    for (const { leaf, places } of leaves) {
      const known = merged.get(leaf);
      if (known === undefined) merged.set(leaf, [...places]);
      else known.push(...places);
    }
    for (const [leaf, places] of merged) {
      for (const root of this.#roots.kept(leaf) ?? (await this.#roots.find(leaf))) {
        for (const { ino, offset, length } of places) if (offer(root, ino, offset, length)) return;
      }
    }
  }
}

function placeOf(item: FileItem, ino: number, wantedOffset: number): Place | undefined {
  const offset = matchingOffset(item, wantedOffset);
  return offset === undefined ? undefined : { ino, offset, length: item.end - item.start };
}
