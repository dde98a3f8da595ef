const SAMPLE_EVERY = 256;
const SAMPLE_BYTES = 16;
/** So far above what evenly spread bytes have may the chance be that two of them are equal, in percent. */
const TOLERANCE = 12;

const counts = new Uint32Array(256);

/**
 * Whether data looks as compressed or encrypted data do: all bytes about as frequent. A sample says so; in whole numbers, so
 * that every host says the same.
 */
export function looksRandom(data: Uint8Array): boolean {
  if (data.byteLength < 16_384) return false;
  counts.fill(0);
  let taken = 0;
  for (let at = 0; at + SAMPLE_BYTES <= data.byteLength; at += SAMPLE_EVERY) {
    for (let byte = at; byte < at + SAMPLE_BYTES; byte++) counts[data[byte]!]!++;
    taken += SAMPLE_BYTES;
  }
  let pairs = 0;
  for (let value = 0; value < 256; value++) pairs += counts[value]! * (counts[value]! - 1);
  // Evenly spread, 1 of 256 pairs is equal.
  return pairs * 256 * 100 < taken * (taken - 1) * (100 + TOLERANCE);
}
