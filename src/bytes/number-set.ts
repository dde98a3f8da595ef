const SHARDS = 256;
const FIRST_SLOTS = 16;
/** Full enough to grow, and by how much: 10 to 15 bytes a number in tables of any size. */
const MAX_LOAD = 0.8;
const GROWTH = 1.5;
const TWO_32 = 0x1_0000_0000;

/**
 * A set of whole numbers from 1 to 2^53 - 1 in at most 16 bytes each, where a `Set` takes about 40.
 *
 * Open addressing in 256 tables that grow apart from each other, so that growing needs little room beside them. The
 * hash begins anywhere: no image can be made so that its addresses collide.
 */
export class NumberSet {
  readonly #tables: Float64Array[] = [];
  readonly #used = new Uint32Array(SHARDS);
  readonly #seed = Math.floor(Math.random() * TWO_32);
  #size = 0;

  constructor() {
    for (let shard = 0; shard < SHARDS; shard++) this.#tables.push(new Float64Array(FIRST_SLOTS));
  }

  get size(): number {
    return this.#size;
  }

  /** Adds `value`. @returns Whether it is new. */
  add(value: number): boolean {
    const hash = this.#hash(value);
    const shard = hash & (SHARDS - 1);
    const table = this.#tables[shard]!;
    const slot = slotOf(table, hash, value);
    if (table[slot] === value) return false;
    table[slot] = value;
    this.#size++;
    if (++this.#used[shard]! > table.length * MAX_LOAD) this.#grow(shard);
    return true;
  }

  has(value: number): boolean {
    const hash = this.#hash(value);
    const table = this.#tables[hash & (SHARDS - 1)]!;
    return table[slotOf(table, hash, value)] === value;
  }

  #grow(shard: number): void {
    const small = this.#tables[shard]!;
    const large = new Float64Array(Math.ceil(small.length * GROWTH));
    for (const value of small) {
      if (value !== 0) large[slotOf(large, this.#hash(value), value)] = value;
    }
    this.#tables[shard] = large;
  }

  #hash(value: number): number {
    return mix(mix((value >>> 0) ^ this.#seed) ^ Math.floor(value / TWO_32));
  }
}

/** Where `value` is, or the free slot that it belongs in: 0 marks a free one. */
function slotOf(table: Float64Array, hash: number, value: number): number {
  let slot = Math.floor((hash / TWO_32) * table.length);
  while (table[slot] !== 0 && table[slot] !== value) slot = slot + 1 === table.length ? 0 : slot + 1;
  return slot;
}

/** Every bit of the answer depends on every bit of a u32. */
function mix(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return (hash ^ (hash >>> 16)) >>> 0;
}
