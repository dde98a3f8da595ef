/** A `DataView` over the same bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && compareBytes(a, b) === 0;
}

/** Orders byte strings as `memcmp` does, a prefix before what it begins. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.byteLength, b.byteLength);
  for (let at = 0; at < shared; at++) {
    const difference = a[at]! - b[at]!;
    if (difference !== 0) return difference;
  }
  return a.byteLength - b.byteLength;
}

/** Where the first byte from `start` on is that is not zero; -1 when all are. */
export function firstNonZero(bytes: Uint8Array, start: number): number {
  const { buffer, byteOffset, length } = bytes;
  let at = start;
  for (; at < length && ((byteOffset + at) & 3) !== 0; at++) if (bytes[at] !== 0) return at;
  if (at >= length) return -1;
  // Several times as fast as byte by byte.
  const words = new Int32Array(buffer, byteOffset + at, (length - at) >>> 2);
  let zeros = 0;
  while (zeros < words.length && words[zeros] === 0) zeros++;
  for (at += zeros * 4; at < length; at++) if (bytes[at] !== 0) return at;
  return -1;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

const encoder = new TextEncoder();

/** Names are bytes; callers may write text. */
export function toBytes(name: string | Uint8Array): Uint8Array {
  return typeof name === "string" ? encoder.encode(name) : name;
}
