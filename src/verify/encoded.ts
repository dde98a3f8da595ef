import { type Codecs, loadCodecs } from "#codec";
import { BtrfsError } from "../errors.ts";
import { encodedAlgorithm } from "../format/encoded-io.ts";

/** Encoded writes that are decoded in one go, on whichever thread: their data, and a row of numbers for each. */
export interface EncodedBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** `ROW` numbers for each write: see the constants below. */
  readonly table: Int32Array<ArrayBuffer>;
  count: number;
}

export const ROW = 5;
/** `ENCODED_*` number. */
export const COMPRESSION = 0;
/** Where the data starts in `bytes`. */
export const START = 1;
/** Its length in bytes. */
export const LENGTH = 2;
/** What it should decode to at most, in bytes. */
export const DECODED = 3;
/** Filled in: bytes it decodes to, or `BROKEN`. */
export const RESULT = 4;
export const BROKEN = -1;

/** Threads that decode encoded writes besides the calling one. */
export interface EncodedThreads {
  /** How many batches keep all of them busy. What is more, the calling thread decodes itself. */
  readonly capacity: number;
  /** Fills in the results; resolves to the same batch, whose buffers have been elsewhere meanwhile. */
  check(batch: EncodedBatch): Promise<EncodedBatch>;
  /** Lets the news of finished batches in. */
  turn(): Promise<void>;
}

const BATCH_BYTES = 1024 * 1024;
const BATCH_WRITES = 512;

let output = new Uint8Array(0);

export function newEncodedBatch(): EncodedBatch {
  return {
    bytes: new Uint8Array(BATCH_BYTES),
    table: new Int32Array(BATCH_WRITES * ROW),
    count: 0,
  };
}

/** Decodes every write of the batch, on the calling thread. */
export async function checkEncoded(batch: EncodedBatch): Promise<EncodedBatch> {
  const codecs = await loadCodecs();
  for (let row = 0; row < batch.count * ROW; row += ROW) {
    try {
      batch.table[row + RESULT] = decodeRow(codecs, batch, row);
    } catch (error) {
      if (!(error instanceof BtrfsError)) throw error;
      batch.table[row + RESULT] = BROKEN;
    }
  }
  return batch;
}

/**
 * Strict, as the kernel lets a wrong zlib checksum pass.
 *
 * @throws {BtrfsError} saying why it does not decode.
 */
export function decodeRow(codecs: Codecs, { bytes, table }: EncodedBatch, row: number): number {
  const start = table[row + START]!;
  const input = bytes.subarray(start, start + table[row + LENGTH]!);
  return decodeData(codecs, table[row + COMPRESSION]!, input, table[row + DECODED]!);
}

/**
 * Gives how many bytes `input` decodes to, at most `length`.
 *
 * @throws {BtrfsError} as `decodeRow`.
 */
export function decodeData(codecs: Codecs, compression: number, input: Uint8Array, length: number): number {
  const { algorithm, sectorSize } = encodedAlgorithm(compression)!;
  if (output.byteLength < length) output = new Uint8Array(length);
  return codecs.decode(algorithm, input, output.subarray(0, length), { sectorSize, strict: true });
}
