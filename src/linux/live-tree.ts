import { comparePackedKeys, decodeKey, type Key, type KeyRange, keyOf, MAX_U64, packKey } from "../format/key.ts";
import { DIR_INDEX, EXTENT_DATA } from "../format/key-type.ts";
import {
  HEADER_BYTES,
  ITEM_HEADER_BYTES,
  ItemHeader,
  keyAt,
  lowerBound,
  NodeBlock,
  NodeHeader,
} from "../format/node.ts";
import type { LeafSpan, LeavesOptions, Tree } from "../tree/source.ts";
import type { Native } from "./native.ts";
import { type SearchBatch, searchBatches } from "./search.ts";
import { SearchHeader } from "./structs.ts";

/** Items that one search brings, in bytes: for a walk, and for a single item. */
const WALK_BYTES = 256 * 1024;
const FIND_BYTES = 8 * 1024;

/** Items of a search in the form of a leaf, whatever leaves they were in. */
class FoundLeaf extends NodeBlock {
  /** Of the leaf that each item is in. */
  readonly generations: Float64Array;

  constructor(bytes: Uint8Array, tree: bigint, generations: Float64Array) {
    super(bytes, { tree });
    this.generations = generations;
  }
}

/** A tree of a mounted filesystem, by `BTRFS_IOC_TREE_SEARCH_V2`. Needs root. */
export class LiveTree implements Tree {
  readonly id: bigint;
  readonly #native: Native;
  readonly #fd: number;
  /** What the search before brought: every item from `#from` to its last one. */
  #found: FoundLeaf | undefined;
  #from: DataView | undefined;

  /** @param fd Anything open on that filesystem. */
  constructor(native: Native, fd: number, id: bigint) {
    this.#native = native;
    this.#fd = fd;
    this.id = id;
  }

  /** Generation of the leaf that an item of `leaves` is in. */
  generationOf(leaf: NodeBlock, slot: number): number | undefined {
    return leaf instanceof FoundLeaf ? leaf.generations[slot] : undefined;
  }

  async find(key: Key, match: "exact" | "atOrBefore"): Promise<LeafSpan | undefined> {
    return this.findNow(packKey(key), match);
  }

  /** With `atOrBefore`, finds no item of a smaller object id: the kernel searches forwards only. */
  findNow(key: DataView, match: "exact" | "atOrBefore"): LeafSpan | undefined {
    const known = this.#lookIn(key, match);
    if (known !== null) return known;
    const { objectid, type } = decodeKey(key, 0);
    if (match === "exact") return this.#search(decodeKey(key, 0), key, match);
    const isLong = type === EXTENT_DATA || type === DIR_INDEX;
    const near = isLong ? this.#search(keyOf(objectid, type, 0n), key, match) : undefined;
    return near ?? this.#search(keyOf(objectid, 0, 0n), key, match);
  }

  /** @returns `null` when the search before did not bring what can tell. */
  #lookIn(key: DataView, match: "exact" | "atOrBefore"): LeafSpan | undefined | null {
    const [leaf, from] = [this.#found, this.#from];
    if (leaf === undefined || from === undefined || comparePackedKeys(from, 0, key, 0) > 0) return null;
    const slot = lowerBound(leaf, key);
    if (slot === leaf.count) return null;
    if (comparePackedKeys(leaf.view, keyAt(leaf, slot), key, 0) === 0) return { leaf, first: slot, last: slot + 1 };
    if (match === "exact") return undefined;
    return slot > 0 ? { leaf, first: slot - 1, last: slot } : null;
  }

  /** Searches from `from` on, until `key` is passed. */
  #search(from: Key, key: DataView, match: "exact" | "atOrBefore"): LeafSpan | undefined {
    const wanted = decodeKey(key, 0);
    const [min, size] = [packKey(from), match === "exact" ? FIND_BYTES : WALK_BYTES / 4];
    let last: LeafSpan | undefined;
    const max = match === "exact" ? keyOf(MAX_U64, 255, MAX_U64) : wanted;
    for (const batch of searchBatches(this.#native, this.#fd, { tree: this.id, min: from, max }, size)) {
      const leaf = this.#leafOf(batch);
      if (match === "exact") {
        [this.#found, this.#from] = [leaf, min];
        return this.#lookIn(key, match) ?? undefined;
      }
      last = { leaf, first: leaf.count - 1, last: leaf.count };
    }
    return last;
  }

  async *leaves(range?: KeyRange, options: LeavesOptions = {}): AsyncGenerator<LeafSpan> {
    const end = range?.last === undefined ? undefined : packKey(range.last);
    const search = {
      tree: this.id,
      min: range?.first,
      max: range?.last,
      minGeneration: BigInt(options.minGeneration ?? 0),
    };
    for (const batch of searchBatches(this.#native, this.#fd, search, WALK_BYTES)) {
      options.signal?.throwIfAborted();
      const leaf = this.#leafOf(batch);
      // The kernel takes both ends as included.
      const last = end === undefined ? leaf.count : lowerBound(leaf, end);
      if (last > 0) yield { leaf, first: 0, last };
    }
  }

  #leafOf({ count, view }: SearchBatch): FoundLeaf {
    let size = HEADER_BYTES;
    for (let slot = 0, at = 0; slot < count; slot++) {
      const length = view.getUint32(at + SearchHeader.offsets.len, true);
      size += ITEM_HEADER_BYTES + length;
      at += SearchHeader.byteLength + length;
    }
    const bytes = new Uint8Array(size);
    const generations = new Float64Array(count);
    const leaf = new FoundLeaf(bytes, this.id, generations);
    leaf.view.setBigUint64(NodeHeader.offsets.owner, this.id, true);
    leaf.view.setUint32(NodeHeader.offsets.nritems, count, true);
    let end = size;
    for (let slot = 0, at = 0; slot < count; slot++) {
      const { transid, objectid, type, offset, len } = new SearchHeader(view, at);
      const header = HEADER_BYTES + slot * ITEM_HEADER_BYTES;
      end -= len;
      leaf.view.setBigUint64(header, objectid, true);
      leaf.view.setUint8(header + ItemHeader.offsets.type, type);
      leaf.view.setBigUint64(header + ItemHeader.offsets.keyOffset, offset, true);
      leaf.view.setUint32(header + ItemHeader.offsets.offset, end - HEADER_BYTES, true);
      leaf.view.setUint32(header + ItemHeader.offsets.size, len, true);
      const start = at + SearchHeader.byteLength;
      bytes.set(new Uint8Array(view.buffer, view.byteOffset + start, len), end);
      generations[slot] = Number(transid);
      at = start + len;
    }
    return leaf;
  }
}
