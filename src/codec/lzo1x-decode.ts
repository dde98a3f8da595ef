import { corrupt } from "./options.ts";

/** A match in an instruction of 16 to 31 reaches at least this far back; exactly this far is the end of the block. */
const FAR = 16_384;

/** What `decodeLzo1x` returns when the block decodes to more than the room it was given. */
export const NO_ROOM = -1;

/**
 * Decodes one LZO1X block, `input[start, end)`, to `output[outStart, outEnd)`.
 *
 * @returns Bytes written, or `NO_ROOM`: what lies in the room then is no more than scrap.
 * @throws {CorruptError} when the bytes are no block, or go on after its end mark.
 */
export function decodeLzo1x(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
  outEnd: number,
): number {
  let at = start;
  let out = outStart;
  let literals = 0; // that follow the instruction in hand
  let state = 0; // literals that the last instruction copied; 4 stands for 4 and more

  if (at < end && input[at]! > 17) {
    literals = input[at++]! - 17;
    state = literals <= 3 ? literals : 4;
  }

  for (;;) {
    if (literals > 0) {
      if (literals > end - at) throw cut(end - start);
      if (literals > outEnd - out) return NO_ROOM;
      if (literals <= 16) for (const stop = at + literals; at < stop; ) output[out++] = input[at++]!;
      else {
        output.set(input.subarray(at, at + literals), out);
        at += literals;
        out += literals;
      }
    }

    if (at >= end) throw cut(end - start);
    const t = input[at++]!;
    let length: number;
    let distance: number;
    if (t >= 64) {
      if (at >= end) throw cut(end - start);
      length = (t >>> 5) + 1;
      distance = (input[at++]! << 3) + ((t >>> 2) & 7) + 1;
      literals = t & 3;
    } else if (t >= 16) {
      const mask = t >= 32 ? 31 : 7;
      length = 2 + (t & mask);
      if (length === 2) {
        const zeros = at;
        while (at < end && input[at] === 0) at++;
        if (at >= end) throw cut(end - start);
        length += mask + 255 * (at - zeros) + input[at++]!;
      }
      if (end - at < 2) throw cut(end - start);
      const v = input[at]! | (input[at + 1]! << 8);
      at += 2;
      if (t >= 32) {
        distance = (v >>> 2) + 1;
      } else {
        distance = FAR + ((t & 8) << 11) + (v >>> 2);
        if (distance === FAR) {
          if (length !== 3) throw corrupt("lzo", "the end mark of a block is not 11 00 00");
          if (at !== end) throw corrupt("lzo", `${end - at} bytes follow the end mark of a block`);
          return out - outStart;
        }
      }
      literals = v & 3;
    } else if (state === 0) {
      literals = 3 + t;
      if (t === 0) {
        const zeros = at;
        while (at < end && input[at] === 0) at++;
        if (at >= end) throw cut(end - start);
        literals += 15 + 255 * (at - zeros) + input[at++]!;
      }
      state = 4;
      continue;
    } else {
      if (at >= end) throw cut(end - start);
      length = state === 4 ? 3 : 2;
      distance = (input[at++]! << 2) + (t >>> 2) + (state === 4 ? 2049 : 1);
      literals = t & 3;
    }

    if (distance > out - outStart) {
      throw corrupt("lzo", `a match starts ${distance} bytes back, ${out - outStart} are there`);
    }
    if (length > outEnd - out) return NO_ROOM;
    for (let from = out - distance, stop = out + length; out < stop; ) output[out++] = output[from++]!;
    state = literals;
  }
}

function cut(length: number): Error {
  return corrupt("lzo", `a block goes on behind its ${length} bytes`, "truncated");
}
