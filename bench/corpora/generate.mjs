// Bytes from a seed: the same on every machine.

/**
 * A small generator of 32-bit numbers (xorshift).
 *
 * @param {number} seed
 */
export function random(seed) {
  let state = (seed ^ 0x9e3779b9) | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** @param {string} text */
export function hash(text) {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}

/**
 * Noise with a share of zeros in runs: of each 4 KiB the last `1 - share`. With 0.85, zstd stores about 86 % of it.
 *
 * @param {number} bytes multiple of 4096
 * @param {number} seed
 * @param {number} share of noise, 0 to 1
 */
export function noise(bytes, seed, share) {
  const words = new Uint32Array(bytes / 4);
  const next = random(seed);
  const filled = Math.round(1024 * share);
  for (let sector = 0; sector < words.length; sector += 1024) {
    for (let i = 0; i < filled; i++) words[sector + i] = next();
  }
  return new Uint8Array(words.buffer);
}

/**
 * Bytes of 115 values, each as likely as any other: none repeats what went before, but 6.85 bits code one, so that a
 * compressor stores 86 % and every byte has to be decoded.
 *
 * @param {number} bytes
 * @param {number} seed
 */
export function coded(bytes, seed) {
  const next = random(seed);
  const out = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) out[i] = (next() >>> 8) % 115;
  return out;
}

const WORDS =
  "the a of extent chunk tree leaf node send stream root key item write read clone offset length size".split(" ");

/**
 * Prose of a small vocabulary, with numbers in it.
 *
 * @param {number} bytes
 * @param {number} seed
 */
export function prose(bytes, seed) {
  const next = random(seed);
  let text = "";
  while (text.length < bytes) {
    const draw = next();
    text += draw % 7 === 0 ? `${draw} ` : draw % 23 === 0 ? "\n" : `${WORDS[draw % WORDS.length]} `;
  }
  return Buffer.from(text.slice(0, bytes));
}
