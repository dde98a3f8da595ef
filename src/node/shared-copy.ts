const { fill } = Buffer.prototype;

/**
 * Puts `source` at the start of `target`, which threads may share: there, `set` goes byte by byte or word by word, eight times as
 * slow as the C library, which fills a `Buffer`.
 */
export function copyShared(target: Uint8Array, source: Uint8Array): void {
  if (source.byteLength > 0) fill.call(target, source, 0, source.byteLength);
}
