import { viewOf } from "../bytes/bytes.ts";
import { CRC_TABLES, LITTLE_ENDIAN } from "./crc32c.ts";
import {
  DATA_AT,
  FAR_REST_BYTES,
  FOLDED_AT,
  foldingModule,
  NEAR_REST_BYTES,
  TABLES_AT,
  TURN_BYTES,
  USER_BYTES,
} from "./crc32c-module.ts";
import { newMemory, type SharedMemory } from "./shared-memory.ts";

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

/** Functions over a memory, for one of the threads that use it. Addresses and lengths count in bytes. */
interface Folder {
  readonly memory: Uint8Array;
  /** Where this thread's own part of the memory begins. */
  readonly base: number;
  /**
   * Folds the data that lie `ahead` behind `at`, with a seed, into the memory from `FOLDED_AT + at` on, up to where `at` would be
   * `stop`; the rest is left behind that. `at` is the `base`; what is folded is a multiple of `TURN_BYTES`, at least two of them. The
   * data may lie further on in what was folded before.
   */
  far(ahead: number, stop: number, seed: number, at: number): void;
  near(ahead: number, stop: number, seed: number, at: number): void;
  /** An ordinary CRC over `memory[address, end)`, as a signed number. */
  crc(address: number, end: number, seed: number, zero: 0): number;
}

/** By the memory that their data may lie in. */
const folders = new WeakMap<ArrayBufferLike, Folder>();

/** For memory of one thread, and for memory that threads share. */
const compiled: { alone?: WebAssembly.Module; shared?: WebAssembly.Module } = {};
let copying: Folder | undefined;
let isTried = false;

/** For data that lies elsewhere: it is copied in. */
function copyingFolder(): Folder | undefined {
  if (!isTried) copying = makeFolder(newMemory(PIECE_BYTES, "alone"), "alone");
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
  const { base } = folder;
  let at = address;
  let left = length;
  let crc = seed;
  if (left >= FAR_FROM) {
    const folded = Math.floor((left - FAR_REST_BYTES) / TURN_BYTES) * TURN_BYTES;
    folder.far(at - base, base + folded, crc, base);
    at = FOLDED_AT + base + folded;
    left -= folded;
    crc = 0;
  }
  if (left >= NEAR_FROM) {
    const folded = Math.floor((left - NEAR_REST_BYTES) / TURN_BYTES) * TURN_BYTES;
    folder.near(at - base, base + folded, crc, base);
    at = FOLDED_AT + base + folded;
    left -= folded;
    crc = 0;
  }
  return folder.crc(at, at + left, crc, 0);
}

/** See `ChecksumSide`. */
export function foldableBytes(byteLength: number): Uint8Array {
  const memory = newMemory(byteLength, "alone");
  const folder = makeFolder(memory, "alone");
  if (folder === undefined) return new Uint8Array(byteLength);
  folders.set(folder.memory.buffer, folder);
  return folder.memory.subarray(DATA_AT, DATA_AT + byteLength);
}

/** See `ChecksumSide`. */
export function foldableIn({ byteLength, memory }: SharedMemory, user: 0 | 1): Uint8Array {
  if (memory instanceof SharedArrayBuffer) return new Uint8Array(memory);
  const folder = makeFolder(memory, "shared", user);
  if (folder !== undefined) folders.set(memory.buffer, folder);
  return new Uint8Array(memory.buffer, DATA_AT, byteLength);
}

/** `undefined` where there is no WebAssembly, or none with vectors, or where it is not allowed. */
function makeFolder(memory: WebAssembly.Memory | undefined, use: "alone" | "shared", user = 0): Folder | undefined {
  if (memory === undefined) return undefined;
  try {
    compiled[use] ??= new WebAssembly.Module(foldingModule(use));
    const { exports } = new WebAssembly.Instance(compiled[use], { host: { memory } });
    const bytes = new Uint8Array(memory.buffer);
    putTables(bytes);
    return {
      memory: bytes,
      base: user * USER_BYTES,
      far: exports.far as Folder["far"],
      near: exports.near as Folder["near"],
      crc: exports.crc as Folder["crc"],
    };
  } catch {
    return undefined;
  }
}

/** A module's memory is little-endian on every host. */
function putTables(memory: Uint8Array): void {
  if (LITTLE_ENDIAN) {
    new Int32Array(memory.buffer, TABLES_AT, CRC_TABLES.length).set(CRC_TABLES);
    return;
  }
  const view = viewOf(memory);
  CRC_TABLES.forEach((word, n) => void view.setInt32(TABLES_AT + n * 4, word, true));
}
