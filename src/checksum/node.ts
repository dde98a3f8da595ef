import { createRequire } from "node:module";
import type { Digest } from "./checksum.ts";
import { rawRange } from "./crc32c.ts";
import { areFoldable, foldedRange } from "./crc32c-fold.ts";
import { checksumSide } from "./side.ts";

export { CHECKSUM_TYPES, type Checksum, type ChecksumName } from "./checksum.ts";
export { crc32cRawCombine } from "./crc32c.ts";
export { foldableBytes, foldableIn } from "./crc32c-fold.ts";

type NativeCrc32c = (data: Uint8Array, previous?: number) => number;

/** From this length on, the call into native code (about 0.2 µs) costs less than the plain loop. */
const NATIVE_FROM = 512;

/** From this length on, the call into WebAssembly costs less, for data that lie in its memory. */
const TABLES_FROM = 64;

/** Until so much has been checksummed without it, native code has not paid for its loading, which takes some 10 ms. */
const NATIVE_AFTER_BYTES = 4 * 1024 * 1024;

let waited = 0;
let native: NativeCrc32c | false | undefined;

/** The CPU's own instruction, from an optional package. */
function findNative(): NativeCrc32c | false {
  try {
    const { crc32c } = createRequire(import.meta.url)("@node-rs/crc32") as { crc32c?: NativeCrc32c };
    return crc32c ?? false;
  } catch {
    return false;
  }
}

function raw(seed: number, bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  const mayFold = length >= (areFoldable(bytes) ? TABLES_FROM : NATIVE_FROM);
  return mayFold ? foldedRange(seed, bytes, start, end, shortRaw) : rawRange(seed, bytes, start, end);
}

function shortRaw(seed: number, bytes: Uint8Array, start: number, end: number): number {
  if (end - start < NATIVE_FROM) return rawRange(seed, bytes, start, end);
  if (native === undefined) {
    waited += end - start;
    if (waited > NATIVE_AFTER_BYTES) native = findNative();
  }
  if (native === undefined || native === false) return rawRange(seed, bytes, start, end);
  const whole = start === 0 && end === bytes.byteLength;
  return ~native(whole ? bytes : bytes.subarray(start, end), ~seed >>> 0) >>> 0;
}

export const { crc32c, crc32cRaw, crc32cRawRange, loadChecksum } = checksumSide(raw, findSha256);

/** The one-shot form came with Node 20.12 and saves a third of the time on a sector. */
function findSha256(): Digest {
  // Not imported: loading it takes 15 ms, which is most of the start of a command that needs no sha256.
  const crypto = process.getBuiltinModule("node:crypto");
  const hash: (data: Uint8Array) => Uint8Array =
    typeof crypto.hash === "function"
      ? (data) => crypto.hash("sha256", data, "buffer")
      : (data) => crypto.createHash("sha256").update(data).digest();
  return (data, start, end, target, at) => target.set(hash(data.subarray(start, end)), at);
}
