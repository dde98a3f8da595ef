import { PROFILES, STRIPE_BYTES } from "../format/chunk.ts";
import { SUPERBLOCK_OFFSETS } from "../format/superblock.ts";
import type { Chunk } from "../volume/chunk-map.ts";
import { RangeSet } from "./range-set.ts";

/**
 * The space of one chunk while a transaction runs: what may be handed out, what is freed but still needed by the last
 * commit, and how the free space tree has to change.
 */
export class BlockGroup {
  readonly chunk: Chunk;
  /** Bytes in extents, as the next commit will have it. */
  used: number;
  /** Bytes in extents as its item has it; `undefined` while there is no item. */
  recordedUsed: number | undefined;
  /** What can be handed out; `undefined` until it is loaded. */
  #free: RangeSet | undefined;
  /** Freed since the last commit: its blocks are those of the last commit, so not to be touched before the next. */
  readonly pinned = new RangeSet();
  /** Handed out and given back since the free space tree was last brought up to date. */
  readonly taken = new RangeSet();
  readonly given = new RangeSet();
  #cursor = 0;
  /** So many bytes in one piece were looked for, in vain, since something was last given back. */
  #tooLong = Number.POSITIVE_INFINITY;

  /** @param recordedUsed `undefined` for a new chunk. */
  constructor(chunk: Chunk, recordedUsed: number | undefined) {
    this.chunk = chunk;
    this.recordedUsed = recordedUsed;
    this.used = recordedUsed ?? 0;
  }

  get end(): number {
    return this.chunk.start + this.chunk.length;
  }

  get isLoaded(): boolean {
    return this.#free !== undefined;
  }

  /** @param free What the last commit has free. The places of superblocks are left out here. */
  load(free: RangeSet): void {
    for (const { start, end } of superblockRanges(this.chunk)) free.remove(start, end);
    this.#free = free;
  }

  /** Hands out `length` bytes in one piece, aligned. */
  take(length: number, align: number): number | undefined {
    const free = this.#free!;
    if (length >= this.#tooLong || length > free.bytes) return undefined;
    const first = free.indexAfter(this.#cursor);
    for (let step = 0; step < free.count; step++) {
      const index = (first + step) % free.count;
      const start = Math.ceil(free.startAt(index) / align) * align;
      if (start + length > free.endAt(index)) continue;
      this.#cursor = start + length;
      this.#hand(start, length);
      return start;
    }
    this.#tooLong = length;
    return undefined;
  }

  /** Bytes of the longest piece that can be handed out. */
  get longestFree(): number {
    let longest = 0;
    for (const { start, end } of this.#free!) longest = Math.max(longest, end - start);
    return longest;
  }

  /** @param pinned Whether the last commit still needs it. */
  give(start: number, length: number, pinned: boolean): void {
    this.used -= length;
    const end = start + length;
    // What the tree was not told to take, it need not be told to give.
    const untold = this.taken.remove(start, end).reduce((sum, range) => sum + range.end - range.start, 0);
    if (untold === 0) this.given.add(start, end);
    else if (untold < length) throw new RangeError(`Cannot free ${length} bytes at ${start}: they are not one extent`);
    if (pinned) {
      this.pinned.add(start, end);
    } else {
      this.#free?.add(start, end);
      this.#tooLong = Number.POSITIVE_INFINITY;
    }
  }

  /** After a commit: what it freed can be handed out. */
  unpin(): void {
    if (this.pinned.count === 0) return;
    for (const { start, end } of this.pinned) this.#free?.add(start, end);
    this.pinned.clear();
    this.#tooLong = Number.POSITIVE_INFINITY;
  }

  #hand(start: number, length: number): void {
    const end = start + length;
    this.#free!.remove(start, end);
    this.used += length;
    const told = this.given.remove(start, end);
    // Given back before and handed out again in part: the tree hears of the rest only.
    let from = start;
    for (const range of told) {
      this.taken.add(from, range.start);
      from = range.end;
    }
    this.taken.add(from, end);
  }
}

/** Logical ranges whose bytes would lie on the superblocks of a device. They are free for ever, and never used. */
export function superblockRanges(chunk: Chunk): RangeSet {
  const ranges = new RangeSet();
  const { striped, factor, parity } = PROFILES[chunk.profile];
  chunk.stripes.forEach(({ physical }, index) => {
    for (const offset of SUPERBLOCK_OFFSETS) {
      const from = Math.max(offset, physical) - physical;
      const to = Math.min(offset + STRIPE_BYTES, physical + chunk.stripeLength) - physical;
      if (from >= to) continue;
      if (!striped) {
        ranges.add(chunk.start + from, chunk.start + to);
        continue;
      }
      // Whole rows where stripes alternate by parity; the column's piece of each row elsewhere.
      const rowBytes = chunk.dataStripes * STRIPE_BYTES;
      const column = Math.floor(index / factor);
      for (let row = Math.floor(from / STRIPE_BYTES); row * STRIPE_BYTES < to; row++) {
        const start = chunk.start + row * rowBytes + (parity > 0 ? 0 : column * STRIPE_BYTES);
        const end = start + (parity > 0 ? rowBytes : STRIPE_BYTES);
        ranges.add(start, Math.min(end, chunk.start + chunk.length));
      }
    }
  });
  return ranges;
}
