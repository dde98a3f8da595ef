import { readSafe, writeSafe } from "../bytes/u64.ts";
import { CorruptError } from "../errors.ts";
import { DiskKey, keyOf } from "../format/key.ts";
import { EXTENT_CSUM } from "../format/key-type.ts";
import { itemSize, itemStart, itemWhere, keyAt, type Leaf, lowerBound } from "../format/node.ts";
import { EXTENT_CSUM_OBJECTID } from "../format/objectid.ts";
import type { Tree } from "../tree/source.ts";

/** Checksums of consecutive sectors. */
export interface SectorChecksums {
  /** One behind the other, in the size of the filesystem's checksum; zeros where a sector has none. */
  readonly values: Uint8Array;
  /** 1 for each sector that has a checksum; `undefined` when all have. */
  readonly present: Uint8Array | undefined;
}

const OFFSET_AT = DiskKey.offsets.offset;

/** Looks up the checksums of data, by logical address. */
export class ChecksumTree {
  readonly #tree: Tree;
  readonly #sectorSize: number;
  readonly #checksumSize: number;
  /** Neighbours are asked for one after the other, so the leaf at hand mostly has them. */
  #leaf: Leaf | undefined;
  readonly #key = new DataView(new ArrayBuffer(DiskKey.byteLength));

  constructor(tree: Tree, sectorSize: number, checksumSize: number) {
    this.#tree = tree;
    this.#sectorSize = sectorSize;
    this.#checksumSize = checksumSize;
    this.#key.setBigUint64(0, EXTENT_CSUM_OBJECTID, true);
    this.#key.setUint8(8, EXTENT_CSUM);
  }

  /**
   * Checksums of the sectors from `logical` to `logical + length`. A promise only where the tree has to be read.
   *
   * @param logical In whole sectors, as `length` is.
   */
  read(logical: number, length: number): SectorChecksums | Promise<SectorChecksums> {
    const range = new Range(logical, length / this.#sectorSize, this.#checksumSize);
    if (this.#leaf !== undefined) {
      this.#takeFrom(this.#leaf, range);
      if (range.left === 0) return range.result();
    }
    writeSafe(this.#key, OFFSET_AT, logical);
    const found = this.#tree.findNow(this.#key, "atOrBefore");
    if (found?.leaf !== undefined && found.leaf !== this.#leaf) {
      this.#leaf = found.leaf;
      this.#takeFrom(found.leaf, range);
      if (range.left === 0) return range.result();
    }
    return this.#search(range, logical, length);
  }

  async #search(range: Range, logical: number, length: number): Promise<SectorChecksums> {
    const first = await this.#tree.find(csumKey(logical), "atOrBefore");
    if (first !== undefined) {
      this.#leaf = first.leaf;
      this.#takeFrom(first.leaf, range);
    }
    if (range.left === 0) return range.result();
    for await (const { leaf } of this.#tree.leaves({ first: csumKey(logical), last: csumKey(logical + length) })) {
      this.#leaf = leaf;
      this.#takeFrom(leaf, range);
    }
    return range.result();
  }

  /** Takes over what `leaf` has of the range. */
  #takeFrom(leaf: Leaf, range: Range): void {
    writeSafe(this.#key, OFFSET_AT, range.logical);
    const found = lowerBound(leaf, this.#key);
    const end = range.logical + range.count * this.#sectorSize;
    for (let slot = Math.max(found - 1, 0); slot < leaf.count; slot++) {
      const at = keyAt(leaf, slot);
      if (!this.#isChecksum(leaf, at)) continue;
      const start = readSafe(leaf.view, at + OFFSET_AT, "logical address");
      if (start >= end) return;
      const size = itemSize(leaf, slot);
      if (size % this.#checksumSize !== 0 || start % this.#sectorSize !== 0) {
        throw new CorruptError(
          `Cannot trust checksums: item has ${size} bytes, expected a multiple of ${this.#checksumSize}, at a whole sector`,
          itemWhere(leaf, slot),
        );
      }
      const sectors = size / this.#checksumSize;
      const from = Math.max(range.logical, start);
      const to = Math.min(end, start + sectors * this.#sectorSize);
      if (from >= to) continue;
      const data = itemStart(leaf, slot) + ((from - start) / this.#sectorSize) * this.#checksumSize;
      range.take((from - range.logical) / this.#sectorSize, (to - from) / this.#sectorSize, leaf.bytes, data);
    }
  }

  #isChecksum(leaf: Leaf, at: number): boolean {
    const { view } = leaf;
    return (
      view.getUint8(at + 8) === EXTENT_CSUM &&
      view.getUint32(at, true) === this.#key.getUint32(0, true) &&
      view.getUint32(at + 4, true) === this.#key.getUint32(4, true)
    );
  }
}

/** What has been found of a range so far. */
class Range {
  readonly logical: number;
  /** Sectors. */
  readonly count: number;
  /** Sectors without a checksum. */
  left: number;
  readonly #size: number;
  readonly #values: Uint8Array;
  readonly #present: Uint8Array;

  constructor(logical: number, count: number, size: number) {
    this.logical = logical;
    this.count = count;
    this.left = count;
    this.#size = size;
    this.#values = new Uint8Array(count * size);
    this.#present = new Uint8Array(count);
  }

  /** @param at Byte of `source` at which the checksum of sector `first` stands. */
  take(first: number, count: number, source: Uint8Array, at: number): void {
    this.#values.set(source.subarray(at, at + count * this.#size), first * this.#size);
    for (let sector = first; sector < first + count; sector++) {
      if (this.#present[sector] === 0) {
        this.#present[sector] = 1;
        this.left--;
      }
    }
  }

  result(): SectorChecksums {
    return { values: this.#values, present: this.left === 0 ? undefined : this.#present };
  }
}

function csumKey(logical: number): ReturnType<typeof keyOf> {
  return keyOf(EXTENT_CSUM_OBJECTID, EXTENT_CSUM, BigInt(logical));
}
