/** A kept array keeps no more than this in memory. */
const SLAB_BYTES = 8192;
/** An engine keeps arrays up to this length beside other objects. */
const SHORT_BYTES = 64;

let slab = new ArrayBuffer(SLAB_BYTES);
let used = 0;

/** Zeros, for short-lived arrays such as paths: a buffer of its own for each costs ten times as much as what is put in. */
export function pooledBytes(length: number): Uint8Array {
  if (length <= SHORT_BYTES || length > SLAB_BYTES / 4) return new Uint8Array(length);
  if (used + length > SLAB_BYTES) {
    slab = new ArrayBuffer(SLAB_BYTES);
    used = 0;
  }
  const bytes = new Uint8Array(slab, used, length);
  used += length;
  return bytes;
}
