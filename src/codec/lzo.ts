import { decodeLzo1x, NO_ROOM } from "./lzo1x-decode.ts";
import { encodeLzo1x, lzo1xBound } from "./lzo1x-encode.ts";
import { corrupt, type DecodeOptions, type EncodeOptions, MAX_EXTENT_BYTES, odd } from "./options.ts";

/** The total and the length of each segment are u32. */
const HEADER_BYTES = 4;

/** Most that a segment takes, and, oddly, also the most that the kernel lets it decode to. */
export function worstSegment(sectorSize: number): number {
  return sectorSize + sectorSize / 16 + 67;
}

let scratch = new Uint8Array(0);

function scratchOf(byteLength: number): Uint8Array {
  if (scratch.byteLength < byteLength) scratch = new Uint8Array(byteLength);
  return scratch;
}

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Bytes to skip so that a segment's header does not straddle a sector boundary of the stored data. */
function headerPadding(at: number, sectorSize: number): number {
  const left = sectorSize - (at % sectorSize);
  return left < HEADER_BYTES ? left : 0;
}

/**
 * Decodes btrfs's LZO container: u32 total, then segments of u32 length and an LZO1X block each. It stops when the
 * output is full, without looking at what follows.
 *
 * @param input The whole stored extent, with the padding of its last sector.
 * @returns Bytes written to `output`.
 */
export function decodeLzo(input: Uint8Array, output: Uint8Array, options: DecodeOptions): number {
  const { sectorSize, inline = false } = options;
  const total = readTotal(input, options);
  const worst = worstSegment(sectorSize);
  let at = HEADER_BYTES;
  let out = 0;
  while (out < output.byteLength) {
    at += headerPadding(at, sectorSize);
    // A segment counts when its header starts before the total: its data may run past it.
    if (at >= total) break;
    if (at + HEADER_BYTES > input.byteLength) throw corrupt("lzo", "the input ends in a segment's header", "truncated");
    const length = readU32(input, at);
    at += HEADER_BYTES;
    if (length === 0 || length > worst) {
      throw corrupt("lzo", `a segment of ${length} bytes, 1 to ${worst} are possible in sectors of ${sectorSize}`);
    }
    if (length > input.byteLength - at) {
      throw corrupt("lzo", `a segment of ${length} bytes, ${input.byteLength - at} are left`, "truncated");
    }
    if (inline && at + length !== input.byteLength) {
      throw corrupt("lzo", `an inline extent of ${input.byteLength} bytes has a segment that ends at ${at + length}`);
    }
    out += decodeSegment(input, at, at + length, output, out, worst);
    at += length;
    if (at > total) odd("lzo", options, `the total says ${total} bytes, a segment ends at ${at}`);
  }
  return out;
}

/** @returns The total in the header, after what the kernel demands of it. */
function readTotal(input: Uint8Array, options: DecodeOptions): number {
  const { sectorSize, inline = false } = options;
  if (input.byteLength < HEADER_BYTES) throw corrupt("lzo", `${input.byteLength} bytes hold no header`, "truncated");
  const total = readU32(input, 0);
  if (total <= HEADER_BYTES || total > MAX_EXTENT_BYTES) {
    throw corrupt("lzo", `the header says ${total} bytes, ${HEADER_BYTES + 1} to ${MAX_EXTENT_BYTES} are possible`);
  }
  if (inline && total !== input.byteLength) {
    throw corrupt("lzo", `the header says ${total} bytes, the inline extent has ${input.byteLength}`);
  }
  if (total > input.byteLength) {
    throw corrupt("lzo", `the header says ${total} bytes, there are ${input.byteLength}`, "truncated");
  }
  const sectors = Math.ceil(total / sectorSize);
  if (sectors * sectorSize < input.byteLength) {
    throw corrupt("lzo", `the header says ${total} bytes, which do not reach the last sector of ${input.byteLength}`);
  }
  return total;
}

/** Decodes one segment to `output` from `out` on, cut where the output ends. Returns the bytes written. */
function decodeSegment(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  out: number,
  worst: number,
): number {
  const room = output.byteLength - out;
  const direct = decodeLzo1x(input, start, end, output, out, out + Math.min(room, worst));
  if (direct !== NO_ROOM) return direct;
  if (room < worst) {
    const segment = scratchOf(worst);
    const length = decodeLzo1x(input, start, end, segment, 0, worst);
    if (length !== NO_ROOM) {
      output.set(segment.subarray(0, room), out);
      return room;
    }
  }
  throw corrupt("lzo", `a segment decodes to more than ${worst} bytes`);
}

/**
 * Encodes into btrfs's LZO container, one segment a sector.
 *
 * @returns Bytes written to `output`, padding behind the last segment's end included; 0 when they do not fit.
 */
export function encodeLzo(input: Uint8Array, output: Uint8Array, options: EncodeOptions): number {
  const { sectorSize, inline = false } = options;
  if (input.byteLength === 0) return 0;
  const segment = scratchOf(lzo1xBound(sectorSize));
  const room = Math.min(output.byteLength, MAX_EXTENT_BYTES);
  let out = HEADER_BYTES;
  for (let at = 0; at < input.byteLength; at += sectorSize) {
    const length = encodeLzo1x(input, at, Math.min(at + sectorSize, input.byteLength), segment, 0);
    if (out + HEADER_BYTES + length > room) return 0;
    writeU32(output, out, length);
    output.set(segment.subarray(0, length), out + HEADER_BYTES);
    out += HEADER_BYTES + length;
    const padding = inline ? 0 : headerPadding(out, sectorSize);
    if (out + padding > room) return 0;
    output.fill(0, out, out + padding);
    out += padding;
  }
  writeU32(output, 0, out);
  return out;
}
