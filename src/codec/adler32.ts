/** RFC 1950's checksum of `data[0, length)`. */
export function adler32(data: Uint8Array, length: number): number {
  let a = 1;
  let b = 0;
  for (let at = 0; at < length; ) {
    // So many bytes can be added before the sums leave 32 bits.
    for (const stop = Math.min(at + 3800, length); at < stop; at++) {
      a += data[at]!;
      b += a;
    }
    a %= 65_521;
    b %= 65_521;
  }
  return ((b << 16) | a) >>> 0;
}
