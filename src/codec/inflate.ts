import { CorruptError } from "../errors.ts";
import { buildTable, DISTANCES, END, INVALID, LITERAL, LITERALS_AND_LENGTHS, PLAIN, SUBTABLE } from "./huffman.ts";
import { corrupt } from "./options.ts";

/** The order in which the lengths of the code-length code are stored. */
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Bits looked up at once; longer codes go through a sub-table. */
const LITERAL_BITS = 10;
const DISTANCE_BITS = 8;
const CODE_BITS = 7;

// Scratch: decoding is synchronous, so one set serves everyone. A complete code needs at most 1334 and 402 entries.
const literalTable = new Int32Array(2048);
const distanceTable = new Int32Array(1024);
const codeTable = new Int32Array(1 << CODE_BITS);
const lengths = new Uint8Array(320);

/** Where a run of `inflateRaw` stands. */
interface State {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  /** Next input byte to take. Past the end, zeros are taken: `checkEnd` finds out. */
  position: number;
  /** Bits that are taken but not used, the next one lowest. */
  hold: number;
  held: number;
  /** Bytes written. */
  produced: number;
}

/** How far `inflateRaw` came. */
export interface Inflated {
  /** Bytes written to the output. */
  readonly produced: number;
  /** Where in the input the stream ended; -1 when the output was full before that. */
  readonly end: number;
}

/**
 * Inflates the raw deflate stream that starts at `input[start]`, up to its end or until `output` is full. Damage behind
 * the last byte that the output takes does not matter.
 *
 * @throws {CorruptError} when the stream is not deflate, or goes on after the input.
 */
export function inflateRaw(input: Uint8Array, start: number, output: Uint8Array): Inflated {
  const state: State = { input, output, position: start, hold: 0, held: 0, produced: 0 };
  try {
    for (let last = false; !last; ) {
      last = takeBits(state, 1) === 1;
      const more = inflateBlock(state, takeBits(state, 2));
      if (!more) return { produced: state.produced, end: -1 };
    }
    checkEnd(state);
  } catch (error) {
    if (error instanceof CorruptError && state.produced === output.byteLength) {
      return { produced: state.produced, end: -1 };
    }
    throw error;
  }
  return { produced: state.produced, end: state.position - (state.held >>> 3) };
}

/** @returns Whether the output had room for the whole block. */
function inflateBlock(state: State, type: number): boolean {
  if (type === 0) return copyStored(state);
  if (type === 3) throw corrupt("zlib", "a block has type 3");
  if (type === 1) setFixedCodes();
  else readCodes(state);
  checkEnd(state);
  return inflateSymbols(state);
}

/** Takes up to 16 bits. */
function takeBits(state: State, count: number): number {
  while (state.held < count) {
    const byte = state.position < state.input.byteLength ? state.input[state.position]! : 0;
    state.hold |= byte << state.held;
    state.position++;
    state.held += 8;
  }
  const value = state.hold & ((1 << count) - 1);
  state.hold >>>= count;
  state.held -= count;
  return value;
}

/** @throws {CorruptError} when bits from behind the input were used. */
function checkEnd(state: State): void {
  if (state.position - (state.held >>> 3) > state.input.byteLength) throw cutShort(state.input.byteLength);
}

function copyStored(state: State): boolean {
  const { input, output } = state;
  state.position -= state.held >>> 3;
  state.hold = 0;
  state.held = 0;
  const length = takeBits(state, 16);
  const complement = takeBits(state, 16);
  checkEnd(state);
  if ((length ^ complement) !== 0xffff) throw corrupt("zlib", "a stored block's length contradicts its complement");
  const fits = Math.min(length, output.byteLength - state.produced);
  if (state.position + fits > input.byteLength) throw cutShort(input.byteLength);
  output.set(input.subarray(state.position, state.position + fits), state.produced);
  state.position += fits;
  state.produced += fits;
  return fits === length;
}

function setFixedCodes(): void {
  lengths.fill(8, 0, 144).fill(9, 144, 256).fill(7, 256, 280).fill(8, 280, 288);
  buildTable(literalTable, LITERAL_BITS, lengths.subarray(0, 288), LITERALS_AND_LENGTHS);
  lengths.fill(5, 0, 32);
  buildTable(distanceTable, DISTANCE_BITS, lengths.subarray(0, 32), DISTANCES);
}

/** RFC 1951, section 3.2.7. */
function readCodes(state: State): void {
  const literalCount = takeBits(state, 5) + 257;
  const distanceCount = takeBits(state, 5) + 1;
  const codeCount = takeBits(state, 4) + 4;
  if (literalCount > 286 || distanceCount > 30) throw corrupt("zlib", "a block announces too many codes");
  lengths.fill(0, 0, 19);
  for (let index = 0; index < codeCount; index++) lengths[CODE_ORDER[index]!] = takeBits(state, 3);
  if (!buildTable(codeTable, CODE_BITS, lengths.subarray(0, 19), PLAIN)) {
    throw corrupt("zlib", "the code lengths have no code");
  }

  const count = literalCount + distanceCount;
  for (let index = 0; index < count; ) {
    const symbol = takeCodeLength(state);
    if (symbol < 16) {
      lengths[index++] = symbol;
      continue;
    }
    const repeat =
      symbol === 16 ? 3 + takeBits(state, 2) : symbol === 17 ? 3 + takeBits(state, 3) : 11 + takeBits(state, 7);
    if (symbol === 16 && index === 0) throw corrupt("zlib", "the first code length repeats the one before");
    if (index + repeat > count) throw corrupt("zlib", "code lengths run over their count");
    lengths.fill(symbol === 16 ? lengths[index - 1]! : 0, index, index + repeat);
    index += repeat;
  }
  if (lengths[256] === 0) throw corrupt("zlib", "a block has no code for its end");
  if (!buildTable(literalTable, LITERAL_BITS, lengths.subarray(0, literalCount), LITERALS_AND_LENGTHS)) {
    throw corrupt("zlib", "the literals have no code");
  }
  if (!buildTable(distanceTable, DISTANCE_BITS, lengths.subarray(literalCount, count), DISTANCES)) {
    throw corrupt("zlib", "the distances have no code");
  }
}

function takeCodeLength(state: State): number {
  const bits = takeBits(state, CODE_BITS);
  const entry = codeTable[bits]!;
  if (entry & INVALID) throw corrupt("zlib", "a code length has no code");
  // Give back what was looked at but not used.
  state.hold = (state.hold << (CODE_BITS - (entry & 15))) | (bits >>> (entry & 15));
  state.held += CODE_BITS - (entry & 15);
  return entry >>> 16;
}

/** The hot loop: literals and matches up to the end of the block. */
function inflateSymbols(state: State): boolean {
  const { input, output } = state;
  const end = input.byteLength;
  const room = output.byteLength;
  let { position, hold, held, produced: out } = state;
  try {
    for (;;) {
      while (held < 25) {
        hold |= (position < end ? input[position]! : 0) << held;
        position++;
        held += 8;
      }
      let entry = literalTable[hold & ((1 << LITERAL_BITS) - 1)]!;
      if (entry & SUBTABLE) {
        hold >>>= LITERAL_BITS;
        held -= LITERAL_BITS;
        entry = literalTable[(entry >>> 16) + (hold & ((1 << ((entry >>> 4) & 15)) - 1))]!;
      }
      hold >>>= entry & 15;
      held -= entry & 15;
      if (position - (held >>> 3) > end) throw cutShort(end);
      if (entry & LITERAL) {
        if (out === room) return false;
        output[out++] = entry >>> 16;
        continue;
      }
      if (entry & END) return true;
      if (entry & INVALID) throw corrupt("zlib", "a literal or length has no code");
      let extra = (entry >>> 4) & 15;
      let length = (entry >>> 16) + (hold & ((1 << extra) - 1));
      hold >>>= extra;
      held -= extra;

      while (held < 25) {
        hold |= (position < end ? input[position]! : 0) << held;
        position++;
        held += 8;
      }
      entry = distanceTable[hold & ((1 << DISTANCE_BITS) - 1)]!;
      if (entry & SUBTABLE) {
        hold >>>= DISTANCE_BITS;
        held -= DISTANCE_BITS;
        entry = distanceTable[(entry >>> 16) + (hold & ((1 << ((entry >>> 4) & 15)) - 1))]!;
      }
      hold >>>= entry & 15;
      held -= entry & 15;
      if (entry & INVALID) throw corrupt("zlib", "a distance has no code");
      while (held < 25) {
        hold |= (position < end ? input[position]! : 0) << held;
        position++;
        held += 8;
      }
      extra = (entry >>> 4) & 15;
      const distance = (entry >>> 16) + (hold & ((1 << extra) - 1));
      hold >>>= extra;
      held -= extra;
      if (position - (held >>> 3) > end) throw cutShort(end);
      if (distance > out) throw corrupt("zlib", `a match starts ${distance} bytes back, ${out} are there`);
      const fits = length <= room - out;
      if (!fits) length = room - out;
      for (const stop = out + length; out < stop; out++) output[out] = output[out - distance]!;
      if (!fits) return false;
    }
  } finally {
    state.position = position;
    state.hold = hold;
    state.held = held;
    state.produced = out;
  }
}

function cutShort(end: number): CorruptError {
  return corrupt("zlib", `the stream goes on behind its ${end} bytes`, "truncated");
}
