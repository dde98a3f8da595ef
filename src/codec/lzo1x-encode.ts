// One table for everyone: encoding is synchronous. It holds the latest position of each hash of four bytes, counted
// from `base` on, which moves past all that was stored before: what is left of earlier data is then too small to count.
const HASH_BITS = 13;
const table = new Int32Array(1 << HASH_BITS);
let base = 1;

/** Reach of the three kinds of matches, in bytes back. */
const NEAR = 2048;
const MIDDLE = 16_384;
const FAR = 49_150;

/** Most bytes that a block of `length` bytes can take: nothing but literals. */
export function lzo1xBound(length: number): number {
  return length + Math.ceil(length / 255) + 8;
}

/**
 * Encodes `input[start, end)`, 65536 bytes at most, as one LZO1X block to `output`, from `outStart` on.
 *
 * @param output Has room for `lzo1xBound(end - start)` bytes.
 * @returns Bytes written.
 */
export function encodeLzo1x(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
): number {
  if (base > 0x4000_0000) {
    table.fill(0);
    base = 1;
  }
  const shift = base - start; // position + shift is what the table holds
  let out = outStart;
  let anchor = start; // first byte that is not written yet
  let at = start;

  for (const lastMatch = end - 4; at <= lastMatch; ) {
    const word = input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16) | (input[at + 3]! << 24);
    const hash = Math.imul(word, 0x9e37_79b1) >>> (32 - HASH_BITS);
    const found = table[hash]! - shift;
    table[hash] = at + shift;
    if (
      found < start ||
      at - found > FAR ||
      input[found] !== input[at] ||
      input[found + 1] !== input[at + 1] ||
      input[found + 2] !== input[at + 2] ||
      input[found + 3] !== input[at + 3]
    ) {
      // The longer nothing is found, the longer the steps: data that does not compress passes quickly.
      at += 1 + ((at - anchor) >>> 5);
      continue;
    }
    let length = 4;
    while (at + length < end && input[found + length] === input[at + length]) length++;
    out = putLiterals(input, anchor, at, output, out, anchor === start);
    out = putMatch(output, out, length, at - found);
    at += length;
    anchor = at;
  }
  out = putLiterals(input, anchor, end, output, out, anchor === start);
  output[out++] = 17;
  output[out++] = 0;
  output[out++] = 0;
  base += end - start;
  return out - outStart;
}

function putLiterals(
  input: Uint8Array,
  from: number,
  to: number,
  output: Uint8Array,
  outAt: number,
  first: boolean,
): number {
  const count = to - from;
  let out = outAt;
  if (count === 0) return out;
  if (first && count <= 238) output[out++] = 17 + count;
  // One to three literals are counted in the low bits of the match before, two bytes from its end.
  else if (count <= 3) output[out - 2]! |= count;
  else if (count <= 18) output[out++] = count - 3;
  else {
    output[out++] = 0;
    out = putExtended(output, out, count - 18);
  }
  for (let at = from; at < to; at++) output[out++] = input[at]!;
  return out;
}

function putMatch(output: Uint8Array, outAt: number, length: number, distance: number): number {
  let out = outAt;
  if (length <= 8 && distance <= NEAR) {
    output[out++] = ((length - 1) << 5) | (((distance - 1) & 7) << 2);
    output[out++] = (distance - 1) >>> 3;
    return out;
  }
  const middle = distance <= MIDDLE;
  const back = middle ? distance - 1 : distance - MIDDLE;
  const kind = middle ? 32 : 16 | ((back >>> 11) & 8);
  const short = middle ? 33 : 9;
  if (length <= short) output[out++] = kind | (length - 2);
  else {
    output[out++] = kind;
    out = putExtended(output, out, length - short);
  }
  output[out++] = (back << 2) & 255;
  output[out++] = (back >>> 6) & 255;
  return out;
}

/** A length of 1 and more: a zero byte for each 255, then the rest, which is not zero. */
function putExtended(output: Uint8Array, outAt: number, value: number): number {
  let out = outAt;
  let rest = value;
  for (; rest > 255; rest -= 255) output[out++] = 0;
  output[out++] = rest;
  return out;
}
