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

/**
 * The module's memory: zeros, which stand for what is before the data; folded data; the same again for a second thread; tables; then
 * the data itself.
 */
export const FOLDED_AT = FAR_REST_BYTES;
export const USER_BYTES = 3 * PAGE_BYTES;
export const MAX_USERS = 2;
export const TABLES_AT = MAX_USERS * USER_BYTES;
export const DATA_AT = TABLES_AT + PAGE_BYTES;

// Put together here, instruction by instruction: it is short, and a binary could not be read. What a thread folds goes to its own
// memory, `FOLDED_AT` behind `AT`; `AT` goes on through that, and `ADDRESS` says how far before `AT` the same place of the data is.

const [ADDRESS, STOP, SEED, AT] = [0, 1, 2, 3];
const ADD = 0x6a;
const LOOP = [0x03, 0x40];
const BLOCK = [0x02, 0x40];
const END = 0x0b;
const REPEAT_IF_LESS = [0x49, 0x0d, 0];
const XOR = [0xfd, 0x51];
const I32 = 0x7f;
const [XOR32, AND, SHIFT_LEFT, SHIFT_RIGHT] = [0x73, 0x71, 0x74, 0x76];

/** What has been put together. */
let code: number[] = [];

function put(...bytes: readonly number[]): void {
  code.push(...bytes);
}

/** LEB128. */
function unsigned(value: number): void {
  let rest = value;
  for (; rest >= 128; rest >>>= 7) code.push((rest & 127) | 128);
  code.push(rest);
}

function constant(value: number): void {
  code.push(0x41);
  unsigned(value);
  // One more group than needed where the sign bit would be set.
  const last = code.length - 1;
  if (code[last]! & 64) {
    code[last]! |= 128;
    code.push(0);
  }
}

function get(local: number): void {
  code.push(0x20, local);
}

function set(local: number): void {
  code.push(0x21, local);
}

function add(value: number): void {
  constant(value);
  code.push(ADD);
}

/** The vector at the address on the stack and an offset. */
function load(offset: number): void {
  code.push(0xfd, 0, 0);
  unsigned(offset);
}

/** The vector of folded data at `AT` + `offset`, which may reach back into the zeros. */
function folded(offset: number): void {
  get(AT);
  load(FOLDED_AT + offset);
}

/** The vector of data at `AT` + `offset`. */
function data(offset: number): void {
  get(ADDRESS);
  get(AT);
  put(ADD);
  load(offset);
}

/** What `value` leaves becomes folded data at `AT` + `offset`. */
function store(offset: number, value: () => void): void {
  get(AT);
  value();
  put(0xfd, 11, 0);
  unsigned(FOLDED_AT + offset);
}

/** A seed is nothing but an exclusive or with the first four bytes. */
function seed(): void {
  constant(0);
  put(0xfd, 17);
  get(SEED);
  put(0xfd, 28, 0, ...XOR);
}

/** Each vector takes up those that were taken out at the distances before it. */
function turn(distances: readonly number[], isFirst: boolean): void {
  for (let here = 0; here < TURN_BYTES; here += VECTOR_BYTES) {
    store(here, () => {
      data(here);
      if (isFirst && here === 0) seed();
      for (const distance of distances) {
        folded(here - distance * VECTOR_BYTES);
        put(...XOR);
      }
    });
  }
}

/** Repeats, with `AT` moved on, while that is less than a limit. */
function loop(step: number, body: () => void, limit: () => void): void {
  put(...LOOP);
  body();
  get(AT);
  add(step);
  put(0x22, AT);
  limit();
  put(...REPEAT_IF_LESS, END);
}

/** Goes over the first `bytes` of the rest, which begins at `STOP`. */
function overRest(bytes: number, body: () => void): void {
  get(STOP);
  set(AT);
  loop(VECTOR_BYTES, body, () => {
    get(STOP);
    add(bytes);
  });
}

/** What is left over takes up, distance by distance, those that still reach it. */
function finish(distance: number): void {
  const bytes = distance * VECTOR_BYTES;
  overRest(bytes, () =>
    store(0, () => {
      folded(0);
      folded(-bytes);
      put(...XOR);
    }),
  );
}

function fold(distances: readonly number[]): void {
  turn(distances, true);
  get(AT);
  add(TURN_BYTES);
  set(AT);
  loop(
    TURN_BYTES,
    () => turn(distances, false),
    () => get(STOP),
  );
  overRest(Math.max(...distances) * VECTOR_BYTES + TURN_BYTES, () => store(0, () => data(0)));
  for (const distance of distances) finish(distance);
}

// The ordinary way, by tables, for what is too short to be folded and for what folding leaves over. `SEED` becomes the CRC.

const WORD = AT;
const STEP_BYTES = 16;

/** The entry of a table; the index lies on the stack as a distance in bytes. */
function entry(table: number): void {
  put(0x28, 2);
  unsigned(TABLES_AT + table * 1024);
}

/** The byte of data at an offset, as such a distance. */
function byteAt(offset: number): void {
  get(ADDRESS);
  put(0x2d, 0);
  unsigned(offset);
  constant(2);
  put(SHIFT_LEFT);
}

/** The same of a byte of `WORD`. */
function byteOfWord(byte: number): void {
  get(WORD);
  constant(byte === 0 ? 2 : byte * 8 - 2);
  put(byte === 0 ? SHIFT_LEFT : SHIFT_RIGHT);
  constant(1020);
  put(AND);
}

/** Sixteen bytes in one step: the word that the CRC so far goes into, and the bytes behind it. */
function step(): void {
  get(ADDRESS);
  put(0x28, 0, 0);
  get(SEED);
  put(XOR32);
  set(WORD);
  for (let byte = 0; byte < STEP_BYTES; byte++) {
    if (byte < 4) byteOfWord(byte);
    else byteAt(byte);
    entry(STEP_BYTES - 1 - byte);
    if (byte > 0) put(XOR32);
  }
  set(SEED);
}

function singleByte(): void {
  get(SEED);
  get(ADDRESS);
  put(0x2d, 0, 0, XOR32);
  constant(255);
  put(AND);
  constant(2);
  put(SHIFT_LEFT);
  entry(0);
  get(SEED);
  constant(8);
  put(SHIFT_RIGHT, XOR32);
  set(SEED);
}

/** Repeats, `ADDRESS` moved on by `bytes` each time, while so many are left. */
function whileLeft(bytes: number, body: () => void): void {
  put(...BLOCK, ...LOOP);
  get(ADDRESS);
  add(bytes);
  get(STOP);
  put(0x4b, 0x0d, 1);
  body();
  get(ADDRESS);
  add(bytes);
  set(ADDRESS);
  put(0x0c, 0, END, END);
}

/** What `body` puts together, with its length in front. */
function counted(body: () => void): void {
  const outer = code;
  code = [];
  body();
  const inner = code;
  code = outer;
  unsigned(inner.length);
  for (const byte of inner) code.push(byte);
}

function section(id: number, body: () => void): void {
  put(id);
  counted(body);
}

/** A function without locals beside its arguments. */
function body(instructions: () => void): void {
  counted(() => {
    put(0);
    instructions();
    put(END);
  });
}

function name(text: string): void {
  put(text.length);
  for (let i = 0; i < text.length; i++) put(text.charCodeAt(i));
}

/** The functions of a module over the memory that it is given: see `Folder`. */
export function foldingModule(use: "alone" | "shared"): Uint8Array<ArrayBuffer> {
  code = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const takesFour = [0x60, 4, I32, I32, I32, I32];
  section(1, () => put(2, ...takesFour, 0, ...takesFour, 1, I32));
  section(2, () => {
    put(1);
    name("host");
    name("memory");
    put(2);
    if (use === "alone") put(0, 0);
    else {
      put(3, 0);
      unsigned(MAX_PAGES);
    }
  });
  section(3, () => put(3, 0, 0, 1));
  section(7, () => {
    put(3);
    for (const [index, title] of ["far", "near", "crc"].entries()) {
      name(title);
      put(0, index);
    }
  });
  section(10, () => {
    put(3);
    body(() => fold(FAR));
    body(() => fold(NEAR));
    body(() => {
      whileLeft(STEP_BYTES, step);
      whileLeft(1, singleByte);
      get(SEED);
    });
  });
  const made = Uint8Array.from(code);
  code = [];
  return made;
}
