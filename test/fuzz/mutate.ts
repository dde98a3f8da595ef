/** Random numbers that a seed repeats (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer from 0 to `limit` - 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

/** Numbers that lie at the edges of what parsers expect. */
const EDGES = [
  0,
  1,
  2,
  3,
  4,
  15,
  16,
  19,
  255,
  256,
  4095,
  4096,
  32767,
  65535,
  65536,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];

type Mutation = (random: Random, data: Uint8Array, seeds: readonly Uint8Array[]) => Uint8Array;

function splice(data: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  const result = new Uint8Array(data.byteLength - remove + insert.byteLength);
  result.set(data.subarray(0, at));
  result.set(insert, at);
  result.set(data.subarray(at + remove), at + insert.byteLength);
  return result;
}

/** A stretch of `data`, mostly short. */
function stretch(random: Random, data: Uint8Array): [at: number, length: number] {
  const at = random.below(data.byteLength + 1);
  return [at, random.below(Math.min(data.byteLength - at, random.pick([4, 64, 4096])) + 1)];
}

const MUTATIONS: readonly Mutation[] = [
  function flipBit(random, data) {
    const result = data.slice();
    if (result.byteLength > 0) result[random.below(result.byteLength)]! ^= 1 << random.below(8);
    return result;
  },
  function setByte(random, data) {
    const result = data.slice();
    if (result.byteLength > 0) result[random.below(result.byteLength)] = random.below(256);
    return result;
  },
  function setEdge(random, data) {
    const result = data.slice();
    const size = random.pick([2, 4]);
    if (result.byteLength < size) return result;
    const at = random.below(result.byteLength - size + 1);
    const value = random.pick(EDGES);
    for (let i = 0; i < size; i++) result[at + i] = (value / 2 ** (8 * i)) & 255;
    return result;
  },
  function cutEnd(random, data) {
    return data.slice(0, random.below(data.byteLength + 1));
  },
  function remove(random, data) {
    const [at, length] = stretch(random, data);
    return splice(data, at, length, new Uint8Array(0));
  },
  function repeat(random, data) {
    const [at, length] = stretch(random, data);
    return splice(data, at, 0, data.slice(at, at + length));
  },
  function takeFromAnother(random, data, seeds) {
    const other = random.pick(seeds);
    const [at, length] = stretch(random, other);
    const [target, replaced] = stretch(random, data);
    return splice(data, target, replaced, other.slice(at, at + length));
  },
  function joinWithAnother(random, data, seeds) {
    const other = random.pick(seeds);
    return splice(
      data.slice(0, random.below(data.byteLength + 1)),
      0,
      0,
      other.slice(random.below(other.byteLength + 1)),
    );
  },
];

/** One of `seeds`, changed in a few places. */
export function mutate(random: Random, seeds: readonly Uint8Array[]): Uint8Array {
  let data = random.pick(seeds);
  for (let round = random.below(4); round >= 0; round--) data = random.pick(MUTATIONS)(random, data, seeds);
  return data;
}
