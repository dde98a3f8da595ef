/** CRC-32C (Castagnoli), bit-reflected. */
const POLYNOMIAL = 0x82f63b78;

export const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** From here on, a view of words for the aligned part pays for itself. Words come in the host's order, so not everywhere. */
const WORDS_FROM = LITTLE_ENDIAN ? 1024 : Number.POSITIVE_INFINITY;

/** Sixteen tables of 256 words: table `n` advances one byte past `n` bytes of zeros, so sixteen bytes go in one step. */
const T = makeTables();

export { T as CRC_TABLES };

function makeTables(): Int32Array {
  const tables = new Int32Array(16 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256]!;
    tables[at] = (before >>> 8) ^ tables[before & 255]!;
  }
  return tables;
}

/** A raw CRC over `bytes[start, end)` in plain JavaScript. The bounds must lie inside of `bytes`. */
export function rawRange(seed: number, bytes: Uint8Array, start: number, end: number): number {
  let crc = seed;
  let at = start;
  if (end - start >= WORDS_FROM) {
    const aligned = start + (-(bytes.byteOffset + start) & 3);
    const count = ((end - aligned) >>> 4) * 4;
    crc = rawBytes(crc, bytes, start, aligned);
    crc = rawWords(crc, new Int32Array(bytes.buffer, bytes.byteOffset + aligned, count));
    at = aligned + count * 4;
  }
  return rawBytes(crc, bytes, at, end) >>> 0;
}

function rawBytes(seed: number, b: Uint8Array, start: number, end: number): number {
  let crc = seed;
  let at = start;
  for (const stop = end - 15; at < stop; at += 16) {
    crc =
      T[3840 + ((crc ^ b[at]!) & 255)]! ^
      T[3584 + (((crc >>> 8) ^ b[at + 1]!) & 255)]! ^
      T[3328 + (((crc >>> 16) ^ b[at + 2]!) & 255)]! ^
      T[3072 + ((crc >>> 24) ^ b[at + 3]!)]! ^
      T[2816 + b[at + 4]!]! ^
      T[2560 + b[at + 5]!]! ^
      T[2304 + b[at + 6]!]! ^
      T[2048 + b[at + 7]!]! ^
      T[1792 + b[at + 8]!]! ^
      T[1536 + b[at + 9]!]! ^
      T[1280 + b[at + 10]!]! ^
      T[1024 + b[at + 11]!]! ^
      T[768 + b[at + 12]!]! ^
      T[512 + b[at + 13]!]! ^
      T[256 + b[at + 14]!]! ^
      T[b[at + 15]!]!;
  }
  for (const stop = end - 3; at < stop; at += 4) {
    crc =
      T[768 + ((crc ^ b[at]!) & 255)]! ^
      T[512 + (((crc >>> 8) ^ b[at + 1]!) & 255)]! ^
      T[256 + (((crc >>> 16) ^ b[at + 2]!) & 255)]! ^
      T[(crc >>> 24) ^ b[at + 3]!]!;
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ T[(crc ^ b[at]!) & 255]!;
  return crc;
}

function rawWords(seed: number, words: Int32Array): number {
  let crc = seed;
  for (let at = 0; at < words.length; at += 4) {
    const a = words[at]! ^ crc;
    const b = words[at + 1]!;
    const c = words[at + 2]!;
    const d = words[at + 3]!;
    crc =
      T[3840 + (a & 255)]! ^
      T[3584 + ((a >>> 8) & 255)]! ^
      T[3328 + ((a >>> 16) & 255)]! ^
      T[3072 + (a >>> 24)]! ^
      T[2816 + (b & 255)]! ^
      T[2560 + ((b >>> 8) & 255)]! ^
      T[2304 + ((b >>> 16) & 255)]! ^
      T[2048 + (b >>> 24)]! ^
      T[1792 + (c & 255)]! ^
      T[1536 + ((c >>> 8) & 255)]! ^
      T[1280 + ((c >>> 16) & 255)]! ^
      T[1024 + (c >>> 24)]! ^
      T[768 + (d & 255)]! ^
      T[512 + ((d >>> 8) & 255)]! ^
      T[256 + ((d >>> 16) & 255)]! ^
      T[d >>> 24]!;
  }
  return crc;
}

/**
 * The raw CRC of two pieces in a row, from the raw CRC of each.
 *
 * @param first Raw CRC of the first piece, from any seed.
 * @param second Raw CRC of the second piece, from seed 0.
 * @param secondLength Bytes in the second piece.
 */
export function crc32cRawCombine(first: number, second: number, secondLength: number): number {
  // A CRC is linear: the first piece followed by zeros, xor the second piece. Zeros by squaring the one-bit step.
  let crc = first;
  let power: number[] = Array.from({ length: 32 }, (_, bit) => (bit === 0 ? POLYNOMIAL : 1 << (bit - 1)));
  for (let bits = secondLength * 8; bits > 0; bits = Math.floor(bits / 2)) {
    if (bits % 2 === 1) crc = times(power, crc);
    const matrix = power;
    power = matrix.map((column) => times(matrix, column));
  }
  return (crc ^ second) >>> 0;
}

/** A 32 by 32 matrix over single bits, given as columns, times a vector. */
function times(matrix: readonly number[], vector: number): number {
  let sum = 0;
  for (let bit = 0, rest = vector; rest !== 0; bit++, rest >>>= 1) if (rest & 1) sum ^= matrix[bit]!;
  return sum;
}
