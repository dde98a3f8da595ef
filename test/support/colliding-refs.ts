import { extentDataRefHash } from "../../src/tree/hash.ts";

const SECTOR_BIT = 12n;
const LAST_BIT = 60n;

/**
 * File offsets of whole sectors at which references of one file to one extent have the same hash. CRC-32C is linear: of
 * 48 bits that may be chosen, some combinations change nothing.
 */
export function collidingOffsets(tree: bigint, inode: bigint, count: number): bigint[] {
  const zero = extentDataRefHash(tree, inode, 0n);
  const byHighestBit = new Map<number, { hash: bigint; offset: bigint }>();
  const offsets = [0n];
  for (let bit = SECTOR_BIT; bit < LAST_BIT && offsets.length < count; bit++) {
    let offset = 1n << bit;
    let hash = extentDataRefHash(tree, inode, offset) ^ zero;
    for (let known = byHighestBit.get(bits(hash)); hash !== 0n && known !== undefined; ) {
      hash ^= known.hash;
      offset ^= known.offset;
      known = byHighestBit.get(bits(hash));
    }
    if (hash === 0n) offsets.push(...offsets.map((other) => other ^ offset));
    else byHighestBit.set(bits(hash), { hash, offset });
  }
  return offsets.slice(0, count);
}

function bits(value: bigint): number {
  return value.toString(2).length;
}
