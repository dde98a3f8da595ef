import { toSafe } from "../bytes/u64.ts";
import { CorruptError } from "../errors.ts";
import type { ExtentRef } from "../format/extent-item.ts";
import { COMPRESS_NONE, FILE_EXTENT_INLINE, FileExtentItem } from "../format/file-extent.ts";
import { comparePackedKeys, KEY_BYTES, keyOf, writeKey } from "../format/key.ts";
import { EXTENT_DATA, EXTENT_DATA_REF, EXTENT_ITEM, METADATA_ITEM, SHARED_DATA_REF } from "../format/key-type.ts";
import { itemSize, itemStart, itemWhere, keyAt, type NodeBlock, slotKey, slotType } from "../format/node.ts";
import type { BlockTree, Tree } from "../tree/source.ts";
import { descending, type ExtentFacts, MAX_REFS, readExtent, readExtentNow, readReferenced } from "./extent-refs.ts";
import { type FileItem, matchingOffset, readFileItem } from "./file-item.ts";
import { isFileItem } from "./file-items.ts";
import { LeafRoots } from "./leaf-roots.ts";
import type { BlockSource } from "./source.ts";

/** Takes a place that refers to an extent. Returns true when no other is wanted. */
export type Offer = (root: bigint, ino: number, offset: number, length: number) => boolean;

/** Finds who refers to data extents. */
export interface ExtentRefs {
  /** Offers the places that refer to the extent of `item`, which belongs to inode `ino`. A promise only where it has to wait. */
  walk(item: FileItem, ino: number, offer: Offer): void | Promise<void>;
}

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

interface Refs {
  readonly keyed: readonly DataRef[];
  /** Addresses of leaves. */
  readonly shared: readonly number[];
}

interface Wanted {
  readonly bytenr: number;
  /** In the extent. */
  readonly offset: number;
}

/** Leaves, and trees, that are kept. */
const MAX_LEAVES = 64;
const MAX_GENERATIONS = 1024;

/** Walks the back references of data extents in the kernel's order, which decides among places that are equally good. */
export class BackRefs implements ExtentRefs {
  readonly #blocks: BlockSource;
  readonly #roots: LeafRoots;
  readonly #sectorSize: number;
  readonly #onlyLeft: boolean;
  #extentTree: Tree | undefined;
  readonly #trees = new Map<bigint, BlockTree | undefined>();
  /** By address. */
  readonly #leaves = new Map<number, NodeBlock>();
  readonly #generations = new Map<number, number>();
  readonly #key = new DataView(new ArrayBuffer(KEY_BYTES));

  /** @param cloneRoots The snapshots that may be cloned from. */
  constructor(blocks: BlockSource, cloneRoots: ReadonlySet<bigint>, sectorSize: number) {
    this.#blocks = blocks;
    this.#roots = new LeafRoots(blocks, cloneRoots);
    this.#sectorSize = sectorSize;
    this.#onlyLeft = cloneRoots.size === 1;
  }

  /** Offers the places that refer to the extent of `item`, which belongs to inode `ino`. A promise only where it has to wait. */
  walk(item: FileItem, ino: number, offer: Offer): void | Promise<void> {
    const tree = this.#extentTree;
    const extent = tree && readExtentNow(tree, item.diskBytenr, EXTENT_ITEM);
    if (tree === undefined || extent === null) return this.#readAndWalk(item, ino, offer);
    return this.#walkRefs(this.#refsOf(extent, item, ino), item, offer);
  }

  async #readAndWalk(item: FileItem, ino: number, offer: Offer): Promise<void> {
    this.#extentTree ??= await this.#blocks.extentTree();
    const extent = await readExtent(this.#extentTree, item.diskBytenr, EXTENT_ITEM);
    await this.#walkRefs(this.#refsOf(extent, item, ino), item, offer);
  }

  /** References in the kernel's order; `undefined` when they are not looked at. */
  #refsOf(extent: ExtentFacts | undefined, item: FileItem, ino: number): Refs | undefined {
    if (extent === undefined) {
      throw new CorruptError(`Cannot find extent: nothing in the extent tree has its address`, {
        ...itemWhere(item.leaf, item.slot),
        logical: item.diskBytenr,
      });
    }
    if (extent.refs > MAX_REFS || (extent.refs === 1 && this.#onlyLeft)) return undefined;
    const keyed: DataRef[] = [];
    const shared: number[] = [];
    for (const ref of extent.all) {
      if (ref.type === EXTENT_DATA_REF) {
        if (!this.#isOwn(ref, item, ino)) keyed.push(ref);
      } else if (ref.type === SHARED_DATA_REF) shared.push(toSafe(ref.parent, "address of a leaf"));
    }
    if (keyed.length > 1) {
      keyed.sort(
        (a, b) => descending(a.root, b.root) || descending(a.objectid, b.objectid) || descending(a.offset, b.offset),
      );
    }
    if (shared.length > 1) shared.sort((a, b) => b - a);
    return { keyed, shared };
  }

  #walkRefs(refs: Refs | undefined, item: FileItem, offer: Offer): void | Promise<void> {
    if (refs === undefined || (refs.keyed.length === 0 && this.#roots.leadNowhere(refs.shared))) return;
    const wanted = { bytenr: item.diskBytenr, offset: item.compression === COMPRESS_NONE ? item.offset : 0 };
    const leaves: LeafPlaces[] = [];
    // Looking again does no harm: offers that were made are made once more.
    const found = this.#gatherNow(refs, wanted, leaves, offer);
    if (found === null) return this.#gatherAndOffer(refs, wanted, offer);
    return found ? this.#offerCollected(leaves, offer) : undefined;
  }

  async #gatherAndOffer(refs: Refs, wanted: Wanted, offer: Offer): Promise<void> {
    const leaves: LeafPlaces[] = [];
    for (const ref of refs.keyed) {
      const found = await this.#resolve(ref, wanted, refs.shared, offer);
      if (found === undefined) return;
      leaves.push(...found);
    }
    for (const logical of refs.shared) {
      const leaf = this.#leafNow(logical) ?? (await this.#readLeaf(logical));
      const found = this.#scanShared(leaf, logical, wanted, offer);
      if (found === undefined) return;
      leaves.push(found);
    }
    await this.#offerCollected(leaves, offer);
  }

  /** @returns False when the walk is over, `null` when it has to wait. */
  #gatherNow(refs: Refs, wanted: Wanted, leaves: LeafPlaces[], offer: Offer): boolean | null {
    for (const ref of refs.keyed) {
      const found = this.#resolveNow(ref, wanted, refs.shared, offer);
      if (found === null) return null;
      if (found === undefined) return false;
      for (const places of found) leaves.push(places);
    }
    for (const logical of refs.shared) {
      const leaf = this.#leafNow(logical);
      if (leaf === undefined) return null;
      const found = this.#scanShared(leaf, logical, wanted, offer);
      if (found === undefined) return false;
      leaves.push(found);
    }
    return true;
  }

  /** A leaf that references name, to be looked at now. */
  #leafNow(logical: number): NodeBlock | undefined {
    const kept = this.#leaves.get(logical);
    if (kept !== undefined || this.#extentTree === undefined) return kept;
    const generation = this.#generationOf(this.#extentTree, logical);
    if (generation === undefined) return undefined;
    const lent = this.#blocks.lentNow(logical, generation);
    if (lent !== undefined) return lent;
    const leaf = this.#blocks.blockNow(logical, 0, generation);
    return leaf && this.#keepLeaf(logical, leaf);
  }

  /** What the extent tree says of a leaf. */
  #generationOf(extentTree: Tree, logical: number): number | undefined {
    const known = this.#generations.get(logical);
    if (known !== undefined) return known;
    const generation = readExtentNow(extentTree, logical, METADATA_ITEM)?.generation;
    if (generation === undefined) return undefined;
    if (this.#generations.size >= MAX_GENERATIONS) this.#generations.clear();
    this.#generations.set(logical, generation);
    return generation;
  }

  async #readLeaf(logical: number): Promise<NodeBlock> {
    return this.#keepLeaf(logical, await readReferenced(this.#blocks, logical, 0));
  }

  #keepLeaf(logical: number, leaf: NodeBlock): NodeBlock {
    if (this.#leaves.size >= MAX_LEAVES) this.#leaves.clear();
    this.#leaves.set(logical, leaf);
    return leaf;
  }

  async #treeOf(root: bigint): Promise<BlockTree | undefined> {
    const known = this.#trees.get(root);
    if (known !== undefined || this.#trees.has(root)) return known;
    const tree = await this.#blocks.findTree(root);
    if (this.#trees.size >= MAX_LEAVES) this.#trees.clear();
    this.#trees.set(root, tree);
    return tree;
  }

  /** With the sent snapshot alone, what it says itself leads nowhere. */
  #isOwn(ref: DataRef, item: FileItem, ino: number): boolean {
    if (!this.#onlyLeft || ref.root !== item.leaf.owner || ref.objectid !== BigInt(ino)) return false;
    return ref.offset === BigInt.asUintN(64, BigInt(item.start - item.offset));
  }

  /**
   * As `#resolve`, for references of one leaf that is at hand; `null` for others, before anything was offered that would
   * not be offered again.
   */
  #resolveNow(
    ref: DataRef,
    wanted: Wanted,
    sharedLeaves: readonly number[],
    offer: Offer,
  ): LeafPlaces[] | undefined | null {
    const tree = this.#trees.get(ref.root);
    if (tree === undefined) return this.#trees.has(ref.root) ? [] : null;
    const ino = toSafe(ref.objectid, "inode number");
    const start = ref.offset >= 1n << 63n ? 0 : toSafe(ref.offset, "file offset");
    writeKey(this.#key, ino, EXTENT_DATA, start);
    const span = tree.findNow(this.#key, "atOrBefore");
    if (span === null || span === undefined) return null;
    const { leaf } = span;
    const isExact = comparePackedKeys(leaf.view, keyAt(leaf, span.first), this.#key, 0) === 0;
    const progress = { left: ref.count };
    const first = isExact ? span.first : span.first + 1;
    let last = first;
    while (last < leaf.count && isFileItem(leaf, last, ino)) last++;
    const found = this.#takeLeaf(leaf, first, last, ref, wanted, sharedLeaves, progress, offer);
    if (found === undefined) return undefined;
    // What is not in this leaf may be in the next one.
    if (progress.left > 0 && last === leaf.count) return null;
    return found.places.length > 0 ? [found] : [];
  }

  /** Leaves with the items that a keyed reference counts, by descending address; `undefined` when the walk is over. */
  async #resolve(
    ref: DataRef,
    wanted: Wanted,
    sharedLeaves: readonly number[],
    offer: Offer,
  ): Promise<LeafPlaces[] | undefined> {
    const tree = await this.#treeOf(ref.root);
    if (tree === undefined) return [];
    const leaves: LeafPlaces[] = [];
    const start = ref.offset >= 1n << 63n ? 0n : ref.offset;
    const range = {
      first: keyOf(ref.objectid, EXTENT_DATA, start),
      last: keyOf(ref.objectid, EXTENT_DATA + 1, 0n),
    };
    const progress = { left: ref.count };
    for await (const { leaf, first, last } of tree.leaves(range)) {
      const found = this.#takeLeaf(leaf, first, last, ref, wanted, sharedLeaves, progress, offer);
      if (found === undefined) return undefined;
      if (found.places.length > 0) leaves.push(found);
      if (progress.left === 0) break;
    }
    return leaves.sort((a, b) => b.leaf - a.leaf);
  }

  /** Items `first` to `last` of a leaf, as far as a keyed reference counts them; `undefined` when the walk is over. */
  #takeLeaf(
    leaf: NodeBlock,
    first: number,
    last: number,
    ref: DataRef,
    wanted: Wanted,
    sharedLeaves: readonly number[],
    progress: { left: number },
    offer: Offer,
  ): LeafPlaces | undefined {
    const { logical } = leaf;
    const places: Place[] = [];
    if (leaf.owner !== ref.root || sharedLeaves.includes(logical)) return { leaf: logical, places };
    for (let slot = first; slot < last && progress.left > 0; slot++) {
      if (!mayReferTo(leaf, slot, wanted.bytenr)) continue;
      const item = readFileItem(leaf, slot, this.#sectorSize);
      if (item.type === FILE_EXTENT_INLINE || item.diskBytenr !== wanted.bytenr) continue;
      if (BigInt.asUintN(64, BigInt(item.start - item.offset)) !== ref.offset) continue;
      progress.left--;
      const place = placeOf(item, Number(ref.objectid), wanted.offset);
      if (place === undefined) continue;
      if (this.#offerCached(logical, place, offer)) return undefined;
      places.push(place);
    }
    return { leaf: logical, places };
  }

  /** Places of a leaf that a reference names by its address, the last slot first; `undefined` when the walk is over. */
  #scanShared(leaf: NodeBlock, logical: number, wanted: Wanted, offer: Offer): LeafPlaces | undefined {
    const places: Place[] = [];
    for (let slot = 0; slot < leaf.count; slot++) {
      if (slotType(leaf, slot) !== EXTENT_DATA || !mayReferTo(leaf, slot, wanted.bytenr)) continue;
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

  #offerCollected(leaves: readonly LeafPlaces[], offer: Offer): void | Promise<void> {
    return this.#offerFrom(0, leaves.length < 2 ? leaves : inOne(leaves), offer);
  }

  #offerFrom(first: number, leaves: readonly LeafPlaces[], offer: Offer): void | Promise<void> {
    for (let index = first; index < leaves.length; index++) {
      const { leaf, places } = leaves[index]!;
      const roots = this.#roots.kept(leaf) ?? this.#roots.find(leaf);
      if (roots instanceof Promise) {
        return roots.then((found) =>
          offerAll(found, places, offer) ? undefined : this.#offerFrom(index + 1, leaves, offer),
        );
      }
      if (offerAll(roots, places, offer)) return;
    }
  }
}

/** Each leaf once, in the order of the first. */
function inOne(leaves: readonly LeafPlaces[]): LeafPlaces[] {
  const merged = new Map<number, Place[]>();
  for (const { leaf, places } of leaves) {
    const known = merged.get(leaf);
    if (known === undefined) merged.set(leaf, [...places]);
    else known.push(...places);
  }
  return [...merged].map(([leaf, places]) => ({ leaf, places }));
}

function offerAll(roots: readonly bigint[], places: readonly Place[], offer: Offer): boolean {
  for (const root of roots) {
    for (const { ino, offset, length } of places) if (offer(root, ino, offset, length)) return true;
  }
  return false;
}

const DISK_BYTENR_AT = FileExtentItem.offsets.diskBytenr;

/** A quick look, without making an object of the item: whether the low half of its address is right. */
function mayReferTo(leaf: NodeBlock, slot: number, bytenr: number): boolean {
  if (itemSize(leaf, slot) < FileExtentItem.byteLength) return false;
  return leaf.view.getUint32(itemStart(leaf, slot) + DISK_BYTENR_AT, true) === bytenr >>> 0;
}

function placeOf(item: FileItem, ino: number, wantedOffset: number): Place | undefined {
  const offset = matchingOffset(item, wantedOffset);
  return offset === undefined ? undefined : { ino, offset, length: item.end - item.start };
}
