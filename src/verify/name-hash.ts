const WORDS_OF_SEED = crypto.getRandomValues(new Uint32Array(2));
/** Unknown to whoever makes a stream, so that names can't be chosen to collide. */
const SEED_0 = WORDS_OF_SEED[0]! | 0;
const SEED_1 = WORDS_OF_SEED[1]! | 0;

/** Rounds that finish each half. */
const FINAL_ROUNDS = 3;

/** Halves of the hash that was taken last. */
export const nameHash = { low: 0, high: 0 };

/**
 * HalfSipHash-1-3 of a name, 64 bits, seeded with the directory that it stands in: into `nameHash`.
 *
 * It stands for the name: of ten million names in one directory, two have the same by chance in one of 400,000 such directories.
 */
export function hashName(parent: number, bytes: Uint8Array, start: number, end: number): void {
  let v0 = SEED_0;
  let v1 = SEED_1 ^ 0xee;
  let v2 = SEED_0 ^ 0x6c796765;
  let v3 = SEED_1 ^ 0x74656462;
  const whole = (end - start) >>> 2;
  const last = whole + 2;
  const half = last + FINAL_ROUNDS;
  let at = start;
  let word = parent;
  for (let step = 0; step < half + FINAL_ROUNDS; step++) {
    if (step < last) {
      if (step > whole) {
        word = (end - start) << 24;
        for (let shift = 0; at < end; shift += 8) word |= bytes[at++]! << shift;
      } else if (step > 0) {
        word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
        at += 4;
      }
      v3 ^= word;
    } else if (step === last) {
      v2 ^= 0xee;
    } else if (step === half) {
      nameHash.low = v1 ^ v3;
      v1 ^= 0xdd;
    }
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    if (step < last) v0 ^= word;
  }
  nameHash.high = v1 ^ v3;
}
