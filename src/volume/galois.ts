// GF(2^8) with generator 2 and polynomial 0x11d: the field of raid6's second parity.

const EXP = new Uint8Array(510);
const LOG = new Uint8Array(256);
for (let power = 0, value = 1; power < 255; power++) {
  EXP[power] = value;
  EXP[power + 255] = value;
  LOG[value] = power;
  value = (value << 1) ^ (value & 0x80 ? 0x11d : 0);
}

/** 2 to the power of `exponent`. */
export function powerOfTwo(exponent: number): number {
  return EXP[exponent % 255]!;
}

/** @param divisor Not 0. */
export function divide(dividend: number, divisor: number): number {
  return dividend === 0 ? 0 : EXP[LOG[dividend]! + 255 - LOG[divisor]!]!;
}

const products: (Uint8Array | undefined)[] = [];

/** `factor` times every byte. */
function productsOf(factor: number): Uint8Array {
  let table = products[factor];
  if (table === undefined) {
    table = new Uint8Array(256);
    if (factor !== 0) for (let byte = 1; byte < 256; byte++) table[byte] = EXP[LOG[factor]! + LOG[byte]!]!;
    products[factor] = table;
  }
  return table;
}

/** target = target * factor, byte by byte. */
export function scale(target: Uint8Array, factor: number): void {
  if (factor === 1) return;
  const table = productsOf(factor);
  for (let at = 0; at < target.length; at++) target[at] = table[target[at]!]!;
}

/** target = target xor source. Both start at a multiple of 4 in their buffers and have whole words. */
export function addInto(target: Uint8Array, source: Uint8Array): void {
  const to = wordsOf(target);
  const from = wordsOf(source);
  for (let at = 0; at < to.length; at++) to[at]! ^= from[at]!;
}

/** target = 2 * target xor source, four bytes at a time: one step of Horner's rule. As `addInto` on alignment. */
export function doubleAndAddInto(target: Uint8Array, source: Uint8Array): void {
  const to = wordsOf(target);
  const from = wordsOf(source);
  for (let at = 0; at < to.length; at++) {
    const word = to[at]!;
    to[at] = ((word << 1) & 0xfefefefe) ^ (((word >>> 7) & 0x01010101) * 0x1d) ^ from[at]!;
  }
}

function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
}
