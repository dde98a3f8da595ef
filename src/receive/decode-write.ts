import type { Codecs } from "../codec/codec.ts";
import { StreamError, UnsupportedError } from "../errors.ts";
import { encodedAlgorithm, MAX_ENCODED_BYTES } from "../format/encoded-io.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";

/** The numbers of an encoded write, in bytes, each within its bounds. */
export interface EncodedFields {
  /** In the file. */
  readonly offset: bigint;
  /** Bytes of the file that it covers. */
  readonly length: number;
  /** Bytes that the data decodes to. */
  readonly unencodedLength: number;
  /** Where the covered part begins in them. */
  readonly unencodedOffset: number;
  /** `ENCODED_*`, of a known algorithm. */
  readonly compression: number;
}

/**
 * The numbers of ENCODED_WRITE `i`, checked against each other and against what an extent can be.
 *
 * @throws {StreamError} `corrupt`; {UnsupportedError} for an algorithm or encryption that does not exist.
 */
export function encodedFields(batch: CommandBatch, i: number): EncodedFields {
  const compression = batch.u32(i, ATTRIBUTES.compression.number);
  const encryption = batch.u32(i, ATTRIBUTES.encryption.number);
  if (encryption !== 0) throw new UnsupportedError(`Cannot use encoded data: encryption is ${encryption}, 0 is known`);
  if (encodedAlgorithm(compression) === undefined) {
    throw new UnsupportedError(`Cannot use encoded data: compression is ${compression}, 1 to 7 are known`);
  }
  const stored = batch.valueLength(batch.find(i, ATTRIBUTES.data.number));
  const unencodedLength = batch.u64(i, ATTRIBUTES.unencodedLen.number);
  const unencodedOffset = batch.u64(i, ATTRIBUTES.unencodedOffset.number);
  const length = batch.u64(i, ATTRIBUTES.unencodedFileLen.number);
  const most = BigInt(MAX_ENCODED_BYTES);
  if (stored > MAX_ENCODED_BYTES) throw bad(`it has ${stored} bytes, at most ${MAX_ENCODED_BYTES} are allowed`);
  if (unencodedLength > most) throw bad(`it decodes to ${unencodedLength} bytes, at most ${most} are allowed`);
  if (unencodedOffset + length > unencodedLength) {
    throw bad(`it decodes to ${unencodedLength} bytes, ${length} from ${unencodedOffset} on are wanted`);
  }
  return {
    offset: batch.u64(i, ATTRIBUTES.fileOffset.number),
    length: Number(length),
    unencodedLength: Number(unencodedLength),
    unencodedOffset: Number(unencodedOffset),
    compression,
  };
}

/** What one encoded write can decode to. */
export function newDecodeBuffer(): Uint8Array {
  return new Uint8Array(MAX_ENCODED_BYTES);
}

/**
 * The bytes of the file that an encoded write stands for, as a view into `buffer`.
 *
 * Data that decodes to less than it should is followed by zeros, as a filesystem would read it.
 *
 * @throws {CorruptError} when it does not decode.
 */
export function decodeWrite(
  codecs: Codecs,
  { compression, unencodedLength, unencodedOffset, length }: EncodedFields,
  data: Uint8Array,
  buffer: Uint8Array,
): Uint8Array {
  const { algorithm, sectorSize } = encodedAlgorithm(compression)!;
  const output = buffer.subarray(0, unencodedLength);
  const decoded = codecs.decode(algorithm, data, output, { sectorSize });
  output.fill(0, decoded);
  return output.subarray(unencodedOffset, unencodedOffset + length);
}

function bad(what: string): StreamError {
  return new StreamError("corrupt", `Cannot use encoded data: ${what}`);
}
