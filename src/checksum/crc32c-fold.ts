import { viewOf } from "../bytes/bytes.ts";
import { CRC_TABLES } from "./crc32c.ts";
import {
  DATA_AT,
  FAR_REST_BYTES,
  FOLDED_AT,
  foldingModule,
  NEAR_REST_BYTES,
  PAGE_BYTES,
  TABLES_AT,
  TURN_BYTES,
} from "./crc32c-module.ts";

/**
 * CRC-32C of long pieces, by folding.
 *
 * With `z` standing for "16 bytes earlier", 1 + z^65 + z^155 + z^170 + z^195 + z^209 is a multiple of the CRC's polynomial. So any 16
 * bytes may be taken out of the data, if they are added (exclusive or) 65, 155, 170, 195 and 209 vectors further on. Done from
 * the front, that moves all of the data into its last 3344 bytes with nothing but loads and exclusive ors of whole vectors. A
 * multiple with more terms, but none beyond z^55, then moves those into the last 880, which are left for an ordinary CRC.
 */

/** Bytes folded at a time. They and the caller's own stay within the processor's second cache. */
const PIECE_BYTES = 128 * 1024;

/** From these lengths on, each step saves more than it costs. */
const FAR_FROM = 12 * 1024;
const NEAR_FROM = 2 * 1024;

/** From this length on, folding is faster than any of the ordinary ways, though the data be copied first. */
export const FOLD_FROM = 16 * 1024;

/** An ordinary CRC over `bytes[start, end)`. */
type RawRange = (seed: number, bytes: Uint8Array, start: number, end: number) => number;

/** Functions over a memory. Addresses and lengths count in bytes. */
interface Folder {
  readonly memory: Uint8Array;
  /**
   * Folds data at an address, with a seed, into `memory` from `FOLDED_AT` on; the rest is left `length` bytes behind that. `length` is
   * a multiple of `TURN_BYTES`, at least two of them. The data may lie further on in what was folded before.
   */
  far(address: number, length: number, seed: number): void;
  near(address: number, length: number, seed: number): void;
  /** An ordinary CRC over `memory[address, end)`, as a signed number. */
  crc(address: number, end: number, seed: number): number;
}

/** By the memory that their data may lie in. */
const folders = new WeakMap<ArrayBufferLike, Folder>();

/** For memory of one thread, and for memory that threads share. */
const compiled: { alone?: WebAssembly.Module; shared?: WebAssembly.Module } = {};
let copying: Folder | undefined;
let isTried = false;

/** For data that lies elsewhere: it is copied in. */
function copyingFolder(): Folder | undefined {
  if (!isTried) copying = makeFolder(PIECE_BYTES, "alone");
  isTried = true;
  return copying;
}

let latest: Uint8Array | undefined;
let latestFolder: Folder | undefined;

/** The folder whose memory `bytes` lie in. */
function folderOf(bytes: Uint8Array): Folder | undefined {
  if (bytes === latest) return latestFolder;
  const folder = folders.get(bytes.buffer);
  if (folder !== undefined) [latest, latestFolder] = [bytes, folder];
  return folder;
}

/** Whether `bytes` are foldable, and were the last such bytes whose CRC was asked for: quick to say. */
export function areFoldable(bytes: Uint8Array): boolean {
  return bytes === latest;
}

/** A raw CRC over `bytes[start, end)`, foldable or not. The bounds must lie inside of `bytes`. */
export function foldedRange(seed: number, bytes: Uint8Array, start: number, end: number, ordinary: RawRange): number {
  const own = folderOf(bytes);
  const folder = own ?? (end - start < FOLD_FROM ? undefined : copyingFolder());
  if (folder === undefined) return ordinary(seed, bytes, start, end);
  let crc = seed;
  for (let at = start; at < end; at += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, end - at);
    if (own === undefined) folder.memory.set(bytes.subarray(at, at + length), DATA_AT);
    crc = pieceCrc(folder, own === undefined ? DATA_AT : bytes.byteOffset + at, length, crc);
  }
  return crc >>> 0;
}

/** Of at most `PIECE_BYTES`. */
function pieceCrc(folder: Folder, address: number, length: number, seed: number): number {
  let at = address;
  let left = length;
  let crc = seed;
  if (left >= FAR_FROM) {
    const folded = Math.floor((left - FAR_REST_BYTES) / TURN_BYTES) * TURN_BYTES;
    folder.far(at, folded, crc);
    at = FOLDED_AT + folded;
    left -= folded;
    crc = 0;
  }
  if (left >= NEAR_FROM) {
    const folded = Math.floor((left - NEAR_REST_BYTES) / TURN_BYTES) * TURN_BYTES;
    folder.near(at, folded, crc);
    at = FOLDED_AT + folded;
    left -= folded;
    crc = 0;
  }
  return folder.crc(at, at + left, crc);
}

/** See `ChecksumSide`. */
export function foldableBytes(byteLength: number, use: "alone" | "shared" = "alone"): Uint8Array {
  const folder = makeFolder(byteLength, use);
  if (folder === undefined) {
    return new Uint8Array(use === "alone" ? new ArrayBuffer(byteLength) : new SharedArrayBuffer(byteLength));
  }
  folders.set(folder.memory.buffer, folder);
  return folder.memory.subarray(DATA_AT, DATA_AT + byteLength);
}

/** `undefined` where there is no WebAssembly, or none with vectors, or where it is not allowed. */
function makeFolder(dataBytes: number, use: "alone" | "shared"): Folder | undefined {
  try {
    compiled[use] ??= new WebAssembly.Module(foldingModule(use));
    // A turn more, as the rest is read in whole vectors.
    const pages = Math.ceil((DATA_AT + dataBytes + TURN_BYTES) / PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: use === "shared" });
    const { exports } = new WebAssembly.Instance(compiled[use], { host: { memory } });
    const bytes = new Uint8Array(memory.buffer);
    const view = viewOf(bytes);
    CRC_TABLES.forEach((word, n) => void view.setInt32(TABLES_AT + n * 4, word, true));
    return {
      memory: bytes,
      far: exports.far as Folder["far"],
      near: exports.near as Folder["near"],
      crc: exports.crc as Folder["crc"],
    };
  } catch {
    return undefined;
  }
}
