import type { Codecs } from "#codec";
import { BtrfsError } from "../errors.ts";
import { encodedAlgorithm, MAX_ENCODED_BYTES } from "../format/encoded-io.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMANDS } from "../stream/commands.ts";
import { ATTRIBUTE_HEADER_BYTES, BARE_ATTRIBUTE_HEADER_BYTES, COMMAND_HEADER_BYTES } from "../stream/wire.ts";
import { decodeData } from "./encoded.ts";

const ENCODED_WRITE = COMMANDS.encodedWrite.number;
const DATA = ATTRIBUTES.data.number;
const UNENCODED_FILE_LEN = ATTRIBUTES.unencodedFileLen.number;
const UNENCODED_LEN = ATTRIBUTES.unencodedLen.number;
const UNENCODED_OFFSET = ATTRIBUTES.unencodedOffset.number;
const COMPRESSION = ATTRIBUTES.compression.number;
const ENCRYPTION = ATTRIBUTES.encryption.number;

/**
 * Up to where all encoded writes decode, of the sound commands of `bytes[from, to)`. Only what is right is found out here, by whichever
 * thread has the bytes; what is wrong with the first that is not, `EncodedWrites` says.
 */
export function decodedUpTo(codecs: Codecs, bytes: Uint8Array, view: DataView, from: number, to: number): number {
  for (let at = from; at < to; ) {
    const stop = at + COMMAND_HEADER_BYTES + view.getUint32(at, true);
    if (view.getUint16(at + 4, true) === ENCODED_WRITE && !decodes(codecs, bytes, view, at, stop)) return at;
    at = stop;
  }
  return to;
}

/** As of version 2 and later, in which DATA comes last and has no length of its own. */
function decodes(codecs: Codecs, bytes: Uint8Array, view: DataView, header: number, stop: number): boolean {
  let covered = -1;
  let decoded = -1;
  let offset = 0;
  let compression = 0;
  let at = header + COMMAND_HEADER_BYTES;
  for (;;) {
    if (stop - at < ATTRIBUTE_HEADER_BYTES) return false;
    const attribute = view.getUint16(at, true);
    if (attribute === DATA) break;
    const value = at + ATTRIBUTE_HEADER_BYTES;
    at = value + view.getUint16(at + 2, true);
    if (at > stop) return false;
    if (attribute === UNENCODED_FILE_LEN) covered = smallNumber(view, value, at);
    else if (attribute === UNENCODED_LEN) decoded = smallNumber(view, value, at);
    else if (attribute === UNENCODED_OFFSET) offset = smallNumber(view, value, at);
    else if (attribute === COMPRESSION) compression = smallNumber(view, value, at);
    else if (attribute === ENCRYPTION && smallNumber(view, value, at) !== 0) return false;
  }
  const data = bytes.subarray(at + BARE_ATTRIBUTE_HEADER_BYTES, stop);
  if (covered < 0 || decoded < 0 || offset < 0 || encodedAlgorithm(compression) === undefined) return false;
  if (data.byteLength > MAX_ENCODED_BYTES || decoded > MAX_ENCODED_BYTES) return false;
  try {
    return decodeData(codecs, compression, data, decoded) >= offset + covered;
  } catch (error) {
    if (error instanceof BtrfsError) return false;
    throw error;
  }
}

/** Of 32 or 64 bits; -1 where it is of another size, or needs more than 32 bits. */
function smallNumber(view: DataView, at: number, end: number): number {
  if (end - at === 4) return view.getUint32(at, true);
  return end - at === 8 && view.getUint32(at + 4, true) === 0 ? view.getUint32(at, true) : -1;
}
