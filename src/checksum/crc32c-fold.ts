/**
 * CRC-32C of long pieces, by folding.
 *
 * With `z` standing for "16 bytes earlier", 1 + z^65 + z^155 + z^170 + z^195 + z^209 is a multiple of the CRC's polynomial. So any 16
 * bytes may be taken out of the data, if they are added (exclusive or) 65, 155, 170, 195 and 209 vectors further on. Done from
 * the front, that moves all of the data into its last 3344 bytes with nothing but loads and exclusive ors of whole vectors, and
 * only those bytes are left for an ordinary CRC.
 */
const DISTANCES: readonly number[] = [65, 155, 170, 195, 209];

const VECTOR_BYTES = 16;

/** As far as the farthest copy: what is left over has this many bytes at least. */
const REST_BYTES = 209 * VECTOR_BYTES;

/** Vectors in one turn of the loop. All distances are longer, so they don't wait for each other. */
const UNROLLED = 4;
const TURN_BYTES = UNROLLED * VECTOR_BYTES;

/** Bytes folded at a time. They and the caller's own stay within the processor's second cache. */
const PIECE_BYTES = 128 * 1024;
const PAGE_BYTES = 65536;
const MAX_PAGES = 65536;

/** The module's memory: zeros, which stand for what is before the data; folded data; then the data itself. */
const FOLDED_AT = REST_BYTES;
const DATA_AT = 3 * PAGE_BYTES;

/** From this length on, folding is faster than any of the ordinary ways. */
export const FOLD_FROM = 16 * 1024;

/** An ordinary CRC over `bytes[start, end)`. */
type RawRange = (seed: number, bytes: Uint8Array, start: number, end: number) => number;

interface Folder {
  readonly memory: Uint8Array;
  /**
   * Folds data at an address, with a seed, into `memory` from `FOLDED_AT` on; the rest is left `length` bytes behind that. `length` is
   * a multiple of `TURN_BYTES`, at least two of them.
   */
  fold(address: number, length: number, seed: number): void;
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

/** A raw CRC over `bytes[start, end)`; what folding leaves over goes to `ordinary`. The bounds must lie inside of `bytes`. */
export function foldedRange(seed: number, bytes: Uint8Array, start: number, end: number, ordinary: RawRange): number {
  const own = folders.get(bytes.buffer);
  const folder = own ?? copyingFolder();
  if (folder === undefined) return ordinary(seed, bytes, start, end);
  let crc = seed;
  let at = start;
  for (; end - at >= FOLD_FROM; at += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, end - at);
    if (own === undefined) folder.memory.set(bytes.subarray(at, at + length), DATA_AT);
    const folded = Math.floor((length - REST_BYTES) / TURN_BYTES) * TURN_BYTES;
    folder.fold(own === undefined ? DATA_AT : bytes.byteOffset + at, folded, crc);
    crc = ordinary(0, folder.memory, FOLDED_AT + folded, FOLDED_AT + length);
  }
  return at < end ? ordinary(crc, bytes, at, end) : crc >>> 0;
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
    return { memory: new Uint8Array(memory.buffer), fold: exports.fold as Folder["fold"] };
  } catch {
    return undefined;
  }
}

// The module, put together here: it is short, and a binary could not be read. `at` goes through the data; the folded data lies
// `FOLDED_AT` further on than the same place in it.

const [ADDRESS, LENGTH, SEED, AT] = [0, 1, 2, 3];
const ADD = 0x6a;
const LOOP = [0x03, 0x40];
const END = 0x0b;
const REPEAT_IF_LESS = [0x49, 0x0d, 0];
const XOR = [0xfd, 0x51];
const I32 = 0x7f;

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function constant(value: number): number[] {
  // One more group than needed where the sign bit would be set.
  const bytes = unsigned(value);
  const last = bytes.length - 1;
  return [0x41, ...(bytes[last]! & 64 ? [...bytes.slice(0, last), bytes[last]! | 128, 0] : bytes)];
}

function get(local: number): number[] {
  return [0x20, local];
}

function set(local: number): number[] {
  return [0x21, local];
}

/** The vector at an address and an offset. */
function load(address: readonly number[], offset: number): number[] {
  return [...address, 0xfd, 0, 0, ...unsigned(offset)];
}

/** The vector of folded data at `AT` + `offset`, which may reach back into the zeros. */
function folded(offset: number): number[] {
  return load(get(AT), FOLDED_AT + offset);
}

/** The vector of data at `AT` + `offset`. */
function data(offset: number): number[] {
  return load([...get(ADDRESS), ...get(AT), ADD], offset);
}

function store(offset: number, value: readonly number[]): number[] {
  return [...get(AT), ...value, 0xfd, 11, 0, ...unsigned(FOLDED_AT + offset)];
}

/** A seed is nothing but an exclusive or with the first four bytes. */
const seed = [...constant(0), 0xfd, 17, ...get(SEED), 0xfd, 28, 0, ...XOR];

/** Each vector takes up those that were taken out at the distances before it. */
function turn(first: readonly number[]): number[] {
  return Array.from({ length: UNROLLED }, (_, n) => {
    const here = n * VECTOR_BYTES;
    const sources = DISTANCES.flatMap((distance) => [...folded(here - distance * VECTOR_BYTES), ...XOR]);
    return store(here, [...data(here), ...(n === 0 ? first : []), ...sources]);
  }).flat();
}

/** Repeats, with `AT` moved on, while that is less than a limit. */
function loop(body: readonly number[], step: number, limit: readonly number[]): number[] {
  return [...LOOP, ...body, ...get(AT), ...constant(step), ADD, 0x22, AT, ...limit, ...REPEAT_IF_LESS, END];
}

/** Goes over the first `bytes` of the rest, which begins at `LENGTH`. */
function overRest(bytes: number, body: readonly number[]): number[] {
  return [...get(LENGTH), ...set(AT), ...loop(body, VECTOR_BYTES, [...get(LENGTH), ...constant(bytes), ADD])];
}

/** What is left over takes up, distance by distance, those that still reach it. */
function finish(distance: number): number[] {
  const bytes = distance * VECTOR_BYTES;
  return overRest(bytes, store(0, [...folded(0), ...folded(-bytes), ...XOR]));
}

function foldingModule(use: "alone" | "shared"): Uint8Array<ArrayBuffer> {
  const section = (id: number, ...body: number[]) => [id, ...unsigned(body.length), ...body];
  const name = (text: string) => [text.length, ...new TextEncoder().encode(text)];
  const code = [
    ...[1, 1, I32],
    ...turn(seed),
    ...[...constant(TURN_BYTES), ...set(AT)],
    ...loop(turn([]), TURN_BYTES, get(LENGTH)),
    ...overRest(REST_BYTES + TURN_BYTES, store(0, data(0))),
    ...DISTANCES.flatMap(finish),
    END,
  ];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 3, I32, I32, I32, 0),
    ...section(
      2,
      1,
      ...name("host"),
      ...name("memory"),
      2,
      ...(use === "alone" ? [0, 0] : [3, 0, ...unsigned(MAX_PAGES)]),
    ),
    ...section(3, 1, 0),
    ...section(7, 1, ...name("fold"), 0, 0),
    ...section(10, 1, ...unsigned(code.length), ...code),
  ]);
}
