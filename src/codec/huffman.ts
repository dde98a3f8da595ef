// RFC 1951, section 3.2.5: base and count of extra bits of length symbols 257 to 285 and distance symbols 0 to 29.
const LENGTH_BASE = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
];
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
  8193, 12289, 16385, 24577,
];
const DISTANCE_EXTRA = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
];
// An entry of a decoding table: bits 0-3 code length, 4-7 extra bits, 8-11 kind, 16-31 the literal, base or sub-table.
export const LITERAL = 0x100;
export const END = 0x200;
export const SUBTABLE = 0x400;
export const INVALID = 0x800;

/** What each symbol decodes to, without its code length. */
export const LITERALS_AND_LENGTHS = Int32Array.from({ length: 288 }, (_, symbol) => {
  if (symbol < 256) return (symbol << 16) | LITERAL;
  if (symbol === 256) return END;
  const index = symbol - 257;
  return index < LENGTH_BASE.length ? (LENGTH_BASE[index]! << 16) | (LENGTH_EXTRA[index]! << 4) : INVALID;
});
export const DISTANCES = Int32Array.from({ length: 32 }, (_, symbol) =>
  symbol < DISTANCE_BASE.length ? (DISTANCE_BASE[symbol]! << 16) | (DISTANCE_EXTRA[symbol]! << 4) : INVALID,
);
/** The code-length code: symbols stand for themselves. */
export const PLAIN = Int32Array.from({ length: 19 }, (_, symbol) => (symbol << 16) | LITERAL);

// Scratch: decoding is synchronous, so one set serves everyone.
const counts = new Uint16Array(16);
const offsets = new Uint16Array(16);
const sorted = new Uint16Array(288);

/**
 * Builds the table of a canonical Huffman code over `lengths`.
 *
 * @returns Whether the lengths are a code: complete, or one single code of one bit, or (distances) none at all.
 */
export function buildTable(table: Int32Array, bits: number, lengths: Uint8Array, values: Int32Array): boolean {
  counts.fill(0);
  for (const length of lengths) counts[length]!++;
  let longest = 15;
  while (longest > 0 && counts[longest] === 0) longest--;
  table.fill(INVALID | 1, 0, 1 << bits);
  if (longest === 0) return true;

  let left = 1;
  offsets[1] = 0;
  for (let length = 1; length <= 15; length++) {
    left = left * 2 - counts[length]!;
    if (left < 0) return false;
    if (length < 15) offsets[length + 1] = offsets[length]! + counts[length]!;
  }
  if (left > 0 && (longest !== 1 || values === PLAIN)) return false;
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol]!;
    if (length !== 0) sorted[offsets[length]!++] = symbol;
  }

  let code = 0; // of the current length, first bit lowest, as it arrives
  let index = 0;
  let next = 1 << bits; // where the next sub-table goes
  let prefix = -1;
  let subStart = 0;
  let subBits = 0;
  for (let length = 1; length <= longest; length++) {
    for (let remaining = counts[length]!; remaining > 0; remaining--) {
      const value = values[sorted[index++]!]!;
      if (length <= bits) {
        for (let at = code; at < 1 << bits; at += 1 << length) table[at] = value | length;
      } else {
        if ((code & ((1 << bits) - 1)) !== prefix) {
          prefix = code & ((1 << bits) - 1);
          subStart = next;
          subBits = subTableBits(length, bits, longest, remaining);
          next += 1 << subBits;
          table[prefix] = (subStart << 16) | SUBTABLE | (subBits << 4) | bits;
        }
        for (let at = code >>> bits; at < 1 << subBits; at += 1 << (length - bits)) {
          table[subStart + at] = value | (length - bits);
        }
      }
      code = nextReversed(code, length);
    }
  }
  return true;
}

/** Bits that index the sub-table in which the next code, of `length` bits, is the first. */
function subTableBits(length: number, bits: number, longest: number, remaining: number): number {
  let size = length - bits;
  let left = (1 << size) - remaining;
  while (left > 0 && bits + size < longest) {
    size++;
    left = left * 2 - counts[bits + size]!;
  }
  return size;
}

/** Adds one to a code of `length` bits that is stored with its first bit lowest. */
function nextReversed(code: number, length: number): number {
  let bit = 1 << (length - 1);
  while (code & bit) bit >>>= 1;
  return bit === 0 ? 0 : (code & (bit - 1)) | bit;
}
