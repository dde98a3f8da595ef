// The WebAssembly module of `crc32c-fold.ts`.

/** How far behind, in vectors, the copies of a vector go: few for long data, near ones for what that leaves over. */
const FAR: readonly number[] = [65, 155, 170, 195, 209];
const NEAR: readonly number[] = [9, 28, 31, 33, 37, 39, 42, 49, 55];

const VECTOR_BYTES = 16;

/** As far as the farthest copy: what is left over has this many bytes at least. */
export const FAR_REST_BYTES = 209 * VECTOR_BYTES;
export const NEAR_REST_BYTES = 55 * VECTOR_BYTES;

/** Vectors in one turn of the loop. All distances are longer, so they don't wait for each other. */
const UNROLLED = 4;
export const TURN_BYTES = UNROLLED * VECTOR_BYTES;

export const PAGE_BYTES = 65536;
const MAX_PAGES = 65536;

/** The module's memory: zeros, which stand for what is before the data; folded data; tables; then the data itself. */
export const FOLDED_AT = FAR_REST_BYTES;
export const TABLES_AT = 2 * PAGE_BYTES + 32 * 1024;
export const DATA_AT = 3 * PAGE_BYTES;

// Put together here: it is short, and a binary could not be read. `at` goes through the data; the folded data lies
// `FOLDED_AT` further on than the same place in it.

const [ADDRESS, LENGTH, SEED, AT] = [0, 1, 2, 3];
const ADD = 0x6a;
const LOOP = [0x03, 0x40];
const BLOCK = [0x02, 0x40];
const END = 0x0b;
const REPEAT_IF_LESS = [0x49, 0x0d, 0];
const XOR = [0xfd, 0x51];
const I32 = 0x7f;
const [XOR32, AND, SHIFT_LEFT, SHIFT_RIGHT] = [0x73, 0x71, 0x74, 0x76];

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
function turn(distances: readonly number[], first: readonly number[]): number[] {
  return Array.from({ length: UNROLLED }, (_, n) => {
    const here = n * VECTOR_BYTES;
    const sources = distances.flatMap((distance) => [...folded(here - distance * VECTOR_BYTES), ...XOR]);
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

function fold(distances: readonly number[]): number[] {
  return [
    ...turn(distances, seed),
    ...[...constant(TURN_BYTES), ...set(AT)],
    ...loop(turn(distances, []), TURN_BYTES, get(LENGTH)),
    ...overRest(Math.max(...distances) * VECTOR_BYTES + TURN_BYTES, store(0, data(0))),
    ...distances.flatMap(finish),
  ];
}

// The ordinary way, by tables, for what is too short to be folded and for what folding leaves over. `SEED` becomes the CRC.

const [, STOP, , WORD] = [0, 1, 2, 3];
const STEP_BYTES = 16;

/** The entry of a table; the index comes as a distance in bytes. */
function entry(table: number, index: readonly number[]): number[] {
  return [...index, 0x28, 2, ...unsigned(TABLES_AT + table * 1024)];
}

/** The byte of data at an offset, as such a distance. */
function byteAt(offset: number): number[] {
  return [...get(ADDRESS), 0x2d, 0, ...unsigned(offset), ...constant(2), SHIFT_LEFT];
}

/** The same of a byte of `WORD`. */
function byteOfWord(byte: number): number[] {
  const shift = byte === 0 ? [...constant(2), SHIFT_LEFT] : [...constant(byte * 8 - 2), SHIFT_RIGHT];
  return [...get(WORD), ...shift, ...constant(1020), AND];
}

/** Sixteen bytes in one step: the word that the CRC so far goes into, and the bytes behind it. */
function step(): number[] {
  const sum = Array.from({ length: STEP_BYTES }, (_, byte) => [
    ...entry(STEP_BYTES - 1 - byte, byte < 4 ? byteOfWord(byte) : byteAt(byte)),
    ...(byte === 0 ? [] : [XOR32]),
  ]);
  return [...get(ADDRESS), 0x28, 0, 0, ...get(SEED), XOR32, ...set(WORD), ...sum.flat(), ...set(SEED)];
}

function singleByte(): number[] {
  const index = [...get(SEED), ...get(ADDRESS), 0x2d, 0, 0, XOR32, ...constant(255), AND, ...constant(2), SHIFT_LEFT];
  return [...entry(0, index), ...get(SEED), ...constant(8), SHIFT_RIGHT, XOR32, ...set(SEED)];
}

/** Repeats, `ADDRESS` moved on by `bytes` each time, while so many are left. */
function whileLeft(bytes: number, body: readonly number[]): number[] {
  const isShort = [...get(ADDRESS), ...constant(bytes), ADD, ...get(STOP), 0x4b];
  const moveOn = [...get(ADDRESS), ...constant(bytes), ADD, ...set(ADDRESS)];
  return [...BLOCK, ...LOOP, ...isShort, 0x0d, 1, ...body, ...moveOn, 0x0c, 0, END, END];
}

/** The functions of a module over the memory that it is given: see `Folder`. */
export function foldingModule(use: "alone" | "shared"): Uint8Array<ArrayBuffer> {
  const section = (id: number, ...body: number[]) => [id, ...unsigned(body.length), ...body];
  const name = (text: string) => [text.length, ...new TextEncoder().encode(text)];
  const body = (code: readonly number[]) => [...unsigned(code.length + 4), 1, 1, I32, ...code, END];
  const crc = [...whileLeft(STEP_BYTES, step()), ...whileLeft(1, singleByte()), ...get(SEED)];
  const limits = use === "alone" ? [0, 0] : [3, 0, ...unsigned(MAX_PAGES)];
  const arguments_ = [3, I32, I32, I32];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 2, 0x60, ...arguments_, 0, 0x60, ...arguments_, 1, I32),
    ...section(2, 1, ...name("host"), ...name("memory"), 2, ...limits),
    ...section(3, 3, 0, 0, 1),
    ...section(7, 3, ...name("far"), 0, 0, ...name("near"), 0, 1, ...name("crc"), 0, 2),
    ...section(10, 3, ...body(fold(FAR)), ...body(fold(NEAR)), ...body(crc)),
  ]);
}
