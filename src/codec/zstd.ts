import { corrupt, type DecodeOptions, MAX_EXTENT_BYTES, odd } from "./options.ts";
import { checkPadding } from "./zlib.ts";
import { cutZstdFrame, walkZstdFrame, type ZstdFrame } from "./zstd-frame.ts";

/** What a zstd library does for us. */
export interface ZstdLibrary {
  /** One frame with its content size, of at most 131072 bytes of input. */
  compress(data: Uint8Array, level: number): Uint8Array;
  /**
   * Decodes exactly one frame. The result may be lent until the next call. Throws, whatever it likes, when that fails or gives more than
   * `capacity` bytes.
   */
  decompress(frame: Uint8Array, capacity: number): Uint8Array;
}

/** No block decodes to more. */
const MAX_BLOCK_BYTES = 131_072;

/**
 * Decodes the one zstd frame at the start of `input`, up to its end or until `output` is full. As in the kernel, bytes
 * behind the frame do no harm (libraries fail on them, so the frame is cut out first), but they are reported.
 */
export function decodeZstd(
  library: ZstdLibrary,
  input: Uint8Array,
  output: Uint8Array,
  options: DecodeOptions,
): number {
  const frame = walkZstdFrame(input);
  const capacity = output.byteLength + MAX_BLOCK_BYTES;
  let cause: unknown;
  if (frame.end >= 0 && (frame.contentSize ?? 0) <= capacity) {
    try {
      const data = library.decompress(input.subarray(0, frame.end), capacity);
      if (data.byteLength > output.byteLength) {
        odd("zstd", options, `the frame decodes to ${data.byteLength} bytes, over ${output.byteLength}`);
      }
      if (options.strict === true || options.warn !== undefined) checkPadding("zstd", input, frame.end, options);
      return fill(output, data);
    } catch (error) {
      cause = error;
    }
  }
  const data = decodeFirstBlocks(library, input, frame, output.byteLength, capacity, cause);
  odd("zstd", options, `the frame does not end well, but only after the ${output.byteLength} bytes that are wanted`);
  return fill(output, data);
}

function fill(output: Uint8Array, data: Uint8Array): number {
  const length = Math.min(data.byteLength, output.byteLength);
  output.set(length === data.byteLength ? data : data.subarray(0, length));
  return length;
}

/**
 * The decoded bytes of as many blocks as `wanted` bytes need, of a frame that is damaged, cut short or too long as a
 * whole. Found by halving: with one block more the data is full, or the decoder fails.
 */
function decodeFirstBlocks(
  library: ZstdLibrary,
  input: Uint8Array,
  frame: ZstdFrame,
  wanted: number,
  capacity: number,
  cause: unknown,
): Uint8Array {
  const ends: number[] = [];
  walkZstdFrame(input, ends);

  let failure = cause;
  function decodeBlocks(count: number): Uint8Array | undefined {
    try {
      const lastBlock = count > 1 ? ends[count - 2]! : frame.blocks;
      return library.decompress(cutZstdFrame(input, frame, lastBlock, ends[count - 1]!), capacity);
    } catch (error) {
      failure = error;
      return undefined;
    }
  }

  let tooFew = 0;
  let enough = ends.length + 1;
  let data: Uint8Array | undefined;
  while (enough - tooFew > 1) {
    const count = (tooFew + enough) >>> 1;
    const decoded = decodeBlocks(count);
    if (decoded !== undefined && decoded.byteLength < wanted) tooFew = count;
    else {
      enough = count;
      data = decoded?.slice();
    }
  }
  if (enough > ends.length) {
    if (frame.end < 0) throw corrupt("zstd", `the frame goes on behind its ${input.byteLength} bytes`, "truncated");
    throw corrupt("zstd", "the frame contradicts its content size or checksum", "corrupt", failure);
  }
  if (data === undefined) throw corrupt("zstd", `block ${enough - 1} does not decode`, "corrupt", failure);
  if (enough === ends.length && frame.end >= 0) {
    throw corrupt("zstd", "the frame contradicts its content size or checksum", "corrupt", failure);
  }
  return data;
}

/** @returns Bytes written to `output`; 0 when the frame does not fit. */
export function encodeZstd(library: ZstdLibrary, input: Uint8Array, output: Uint8Array, level: number): number {
  if (input.byteLength === 0) return 0;
  const frame = library.compress(input, level);
  if (frame.byteLength > output.byteLength) return 0;
  const { window } = walkZstdFrame(frame);
  if (window > MAX_EXTENT_BYTES) throw new Error(`zstd chose a window of ${window} bytes, over ${MAX_EXTENT_BYTES}`);
  output.set(frame);
  return frame.byteLength;
}
