import { BtrfsError } from "../errors.ts";
import { corrupt } from "./options.ts";

const MAGIC = 0xfd2f_b528;
/** The kernel reads larger windows than the 2^17 that it writes, up to here. */
const MAX_WINDOW = 1 << 21;
/** As the header says it: 2^17. */
const USUAL_WINDOW = (17 - 10) << 3;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;

export interface ZstdFrame {
  /** Bytes that a match may reach back. */
  readonly window: number;
  /** What the frame says it decodes to; undefined when it does not say. */
  readonly contentSize: number | undefined;
  /** Where the first block starts. */
  readonly blocks: number;
  /** Where the frame ends; -1 when the input ends before. */
  readonly end: number;
}

/**
 * Reads the header of the zstd frame (RFC 8878) at the start of `input` and walks its blocks to find its end.
 *
 * @param blockEnds Takes the end of each whole block.
 * @throws {CorruptError} when the header is none, or one that the kernel refuses.
 */
export function walkZstdFrame(input: Uint8Array, blockEnds?: number[]): ZstdFrame {
  const header = readHeader(input);
  let at = header.blocks;
  for (let last = false; !last; ) {
    if (input.byteLength - at < BLOCK_HEADER_BYTES) return { ...header, end: -1 };
    const block = input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16);
    last = (block & 1) === 1;
    const type = (block >>> 1) & 3;
    if (type === 3) return { ...header, end: -1 };
    at += BLOCK_HEADER_BYTES + (type === 1 ? 1 : block >>> 3);
    if (at > input.byteLength) return { ...header, end: -1 };
    blockEnds?.push(at);
  }
  at += header.checksum ? CHECKSUM_BYTES : 0;
  return { ...header, end: at > input.byteLength ? -1 : at };
}

/**
 * Where the zstd frame at the start of `input` ends; -1 when that is not within `byteLength` bytes, or it is none that the kernel
 * reads. What is wrong with it, `walkZstdFrame` says.
 */
export function zstdFrameEnd(input: Uint8Array, byteLength: number): number {
  const blocks = usualBlocks(input, byteLength);
  if (blocks < 0) return byteLength <= input.byteLength ? unusualEnd(input.subarray(0, byteLength)) : -1;
  for (let at = blocks; at + BLOCK_HEADER_BYTES <= byteLength; ) {
    const block = input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16);
    const type = (block >>> 1) & 3;
    if (type === 3) return -1;
    at += BLOCK_HEADER_BYTES + (type === 1 ? 1 : block >>> 3);
    if ((block & 1) === 1) return at > byteLength ? -1 : at;
  }
  return -1;
}

/** Where the blocks begin, of a frame as the kernel writes them: without dictionary or checksum, with a window of at most 2^17. */
function usualBlocks(input: Uint8Array, byteLength: number): number {
  if (byteLength < 18 || input[0] !== 0x28 || input[1] !== 0xb5 || input[2] !== 0x2f || input[3] !== 0xfd) return -1;
  const descriptor = input[4]!;
  // Sizes of 1 and 2 bytes are far below any limit of the window.
  if (descriptor === 0x20) return 6;
  if (descriptor === 0x60) return 7;
  if (descriptor === 0xa0) return input[8] === 0 && input[7]! < MAX_WINDOW >>> 16 ? 9 : -1;
  return descriptor === 0 && input[5]! <= USUAL_WINDOW ? 6 : -1;
}

function unusualEnd(input: Uint8Array): number {
  try {
    return walkZstdFrame(input).end;
  } catch (error) {
    if (error instanceof BtrfsError) return -1;
    throw error;
  }
}

function readHeader(input: Uint8Array): Omit<ZstdFrame, "end"> & { readonly checksum: boolean } {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  if (input.byteLength < 6) throw corrupt("zstd", `${input.byteLength} bytes hold no header`, "truncated");
  if (view.getUint32(0, true) !== MAGIC) throw corrupt("zstd", "the data does not start with the mark of a zstd frame");
  const descriptor = input[4]!;
  const singleSegment = (descriptor & 32) !== 0;
  const idBytes = [0, 1, 2, 4][descriptor & 3]!;
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6]!;
  const idAt = singleSegment ? 5 : 6;
  const sizeAt = idAt + idBytes;
  const blocks = sizeAt + sizeBytes;
  if (blocks > input.byteLength) throw corrupt("zstd", `${input.byteLength} bytes end in the header`, "truncated");
  if (descriptor & 8) throw corrupt("zstd", "a reserved bit of the header is set");
  for (let at = idAt; at < sizeAt; at++) if (input[at] !== 0) throw corrupt("zstd", "the frame needs a dictionary");

  const contentSize = readContentSize(view, sizeAt, sizeBytes);
  const window = singleSegment ? contentSize! : windowOf(input[5]!);
  if (window > MAX_WINDOW) throw corrupt("zstd", `the frame needs a window of ${window} bytes, over ${MAX_WINDOW}`);
  return { window, contentSize, blocks, checksum: (descriptor & 4) !== 0 };
}

function readContentSize(view: DataView, at: number, byteLength: number): number | undefined {
  if (byteLength === 1) return view.getUint8(at);
  if (byteLength === 2) return view.getUint16(at, true) + 256;
  if (byteLength === 4) return view.getUint32(at, true);
  // Above 2^53 the number is not exact, and far over every limit all the same.
  if (byteLength === 8) return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  return undefined;
}

function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >>> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** A frame of the blocks of `input` up to `end`, where one of them ends; without content size or checksum. */
export function cutZstdFrame(input: Uint8Array, frame: ZstdFrame, lastBlock: number, end: number): Uint8Array {
  const cut = new Uint8Array(6 + end - frame.blocks);
  new DataView(cut.buffer).setUint32(0, MAGIC, true);
  const windowLog = Math.max(10, Math.ceil(Math.log2(Math.max(1, frame.window))));
  cut[5] = (windowLog - 10) << 3;
  cut.set(input.subarray(frame.blocks, end), 6);
  cut[6 + lastBlock - frame.blocks]! |= 1;
  return cut;
}
