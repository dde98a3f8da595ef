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

/** From this length on, folding is faster than any of the ordinary ways. */
export const FOLD_FROM = 16 * 1024;

/** An ordinary CRC over `bytes[start, end)`. */
type RawRange = (seed: number, bytes: Uint8Array, start: number, end: number) => number;

interface Folder {
  /** `REST_BYTES` zeros, which stand for what is before the data; then the data. */
  readonly memory: Uint8Array;
  readonly view: DataView;
  /** Folds the first `length` bytes of the data into what follows them. `length` is a multiple of `TURN_BYTES`, above 0. */
  fold(length: number): void;
}

let folder: Folder | false | undefined;

/** A raw CRC over `bytes[start, end)`; what folding leaves over goes to `ordinary`. The bounds must lie inside of `bytes`. */
export function foldedRange(seed: number, bytes: Uint8Array, start: number, end: number, ordinary: RawRange): number {
  folder ??= makeFolder();
  if (folder === false) return ordinary(seed, bytes, start, end);
  let crc = seed;
  for (let at = start; at < end; at += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, end - at);
    crc = length < FOLD_FROM ? ordinary(crc, bytes, at, end) : foldPiece(folder, crc, bytes, at, length, ordinary);
  }
  return crc >>> 0;
}

function foldPiece(
  { memory, view, fold }: Folder,
  seed: number,
  bytes: Uint8Array,
  at: number,
  length: number,
  ordinary: RawRange,
): number {
  memory.set(bytes.subarray(at, at + length), REST_BYTES);
  // A seed is nothing but an exclusive or with the first four bytes.
  view.setInt32(REST_BYTES, view.getInt32(REST_BYTES, true) ^ seed, true);
  const folded = Math.floor((length - REST_BYTES) / TURN_BYTES) * TURN_BYTES;
  fold(folded);
  return ordinary(0, memory, REST_BYTES + folded, REST_BYTES + length);
}

/** False where there is no WebAssembly, or none with vectors, or where it is not allowed. */
function makeFolder(): Folder | false {
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(foldingModule()));
    const { buffer } = exports.memory as WebAssembly.Memory;
    return { memory: new Uint8Array(buffer), view: new DataView(buffer), fold: exports.fold as Folder["fold"] };
  } catch {
    return false;
  }
}

// The module, put together here: it is short, and a binary could not be read. Addresses count from the start of the memory, and
// `at` is a place in the data less `REST_BYTES`, so that the data at `at` lies at an offset of `REST_BYTES` from it.

const [LENGTH, AT] = [0, 1];
const GET = [
  [0x20, LENGTH],
  [0x20, AT],
] as const;
const SET_AT = [0x21, AT];
const TEE_AT = [0x22, AT];
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

/** The vector at `AT` + `offset`. */
function load(offset: number): number[] {
  return [...GET[AT]!, 0xfd, 0, 0, ...unsigned(offset)];
}

function store(offset: number): number[] {
  return [0xfd, 11, 0, ...unsigned(offset)];
}

/** Moves `AT` on by some bytes, and goes around again while it is less than a limit. */
function loop(body: readonly number[], step: number, limit: readonly number[]): number[] {
  return [...LOOP, ...body, ...GET[AT]!, ...constant(step), ADD, ...TEE_AT, ...limit, ...REPEAT_IF_LESS, END];
}

/** Each vector takes up those that were taken out at the distances before it. */
function foldAll(): number[] {
  const turn = Array.from({ length: UNROLLED }, (_, n) => {
    const here = REST_BYTES + n * VECTOR_BYTES;
    const sources = DISTANCES.flatMap((distance) => [...load(here - distance * VECTOR_BYTES), ...XOR]);
    return [...GET[AT]!, ...load(here), ...sources, ...store(here)];
  });
  return loop(turn.flat(), TURN_BYTES, GET[LENGTH]!);
}

/** What is left over takes up, distance by distance, those that still reach it. */
function finish(distance: number): number[] {
  const bytes = distance * VECTOR_BYTES;
  const body = [...GET[AT]!, ...load(REST_BYTES), ...load(REST_BYTES - bytes), ...XOR, ...store(REST_BYTES)];
  return [...GET[LENGTH]!, ...SET_AT, ...loop(body, VECTOR_BYTES, [...GET[LENGTH]!, ...constant(bytes), ADD])];
}

function foldingModule(): Uint8Array<ArrayBuffer> {
  const section = (id: number, ...body: number[]) => [id, ...unsigned(body.length), ...body];
  const name = (text: string) => [text.length, ...new TextEncoder().encode(text)];
  const code = [1, 1, I32, ...foldAll(), ...DISTANCES.flatMap(finish), END];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 1, I32, 0),
    ...section(3, 1, 0),
    ...section(5, 1, 0, Math.ceil((REST_BYTES + PIECE_BYTES) / PAGE_BYTES)),
    ...section(7, 2, ...name("fold"), 0, 0, ...name("memory"), 2, 0),
    ...section(10, 1, ...unsigned(code.length), ...code),
  ]);
}
