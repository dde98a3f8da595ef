/** A range of bytes; `end` is exclusive. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** Byte ranges that neither overlap nor touch, in order. */
export class RangeSet {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #bytes = 0;

  get count(): number {
    return this.#starts.length;
  }

  /** Sum of the lengths. */
  get bytes(): number {
    return this.#bytes;
  }

  startAt(index: number): number {
    return this.#starts[index]!;
  }

  endAt(index: number): number {
    return this.#ends[index]!;
  }

  *[Symbol.iterator](): Generator<Range> {
    for (let index = 0; index < this.count; index++) yield { start: this.startAt(index), end: this.endAt(index) };
  }

  /** Index of the first range that ends after `position`; `count` when none does. */
  indexAfter(position: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether one range has all of these bytes. */
  contains(start: number, end: number): boolean {
    const index = this.indexAfter(start);
    return index < this.count && this.#starts[index]! <= start && this.#ends[index]! >= end;
  }

  /** Adds bytes; some may be in the set already. */
  add(start: number, end: number): void {
    if (start >= end) return;
    // Ranges that touch become one: the one that ends at `start` too.
    const first = this.indexAfter(start - 1);
    let last = first;
    let from = start;
    let to = end;
    for (; last < this.count && this.#starts[last]! <= end; last++) {
      from = Math.min(from, this.#starts[last]!);
      to = Math.max(to, this.#ends[last]!);
      this.#bytes -= this.#ends[last]! - this.#starts[last]!;
    }
    this.#replace(first, last, from, to);
    this.#bytes += to - from;
  }

  /** Takes bytes out. @returns The ranges that were in the set. */
  remove(start: number, end: number): Range[] {
    const gone: Range[] = [];
    if (start >= end) return gone;
    for (let index = this.indexAfter(start); index < this.count && this.#starts[index]! < end; ) {
      const from = this.#starts[index]!;
      const to = this.#ends[index]!;
      const cut = { start: Math.max(from, start), end: Math.min(to, end) };
      gone.push(cut);
      this.#bytes -= cut.end - cut.start;
      if (cut.start > from && cut.end < to) {
        this.#ends[index] = cut.start;
        this.#replace(index + 1, index + 1, cut.end, to);
        break;
      }
      if (cut.start > from) this.#ends[index++] = cut.start;
      else if (cut.end < to) this.#starts[index++] = cut.end;
      else this.#replace(index, index + 1);
    }
    return gone;
  }

  copy(): RangeSet {
    const copy = new RangeSet();
    for (const { start, end } of this) copy.add(start, end);
    return copy;
  }

  clear(): void {
    this.#starts.length = 0;
    this.#ends.length = 0;
    this.#bytes = 0;
  }

  #replace(first: number, last: number, start?: number, end?: number): void {
    if (start === undefined) {
      this.#starts.splice(first, last - first);
      this.#ends.splice(first, last - first);
    } else {
      this.#starts.splice(first, last - first, start);
      this.#ends.splice(first, last - first, end!);
    }
  }
}
