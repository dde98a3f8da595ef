import { viewOf } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { ATTRIBUTES } from "../stream/attributes.ts";
import { COMMAND_HEADER_BYTES } from "../stream/wire.ts";
import type { Piece } from "./chunk.ts";

const TYPE_AND_LENGTH_BYTES = 4;

/**
 * Adds to an error of reading data which file it is of.
 *
 * @param at Where the command begins that the data is for. Its path comes first, if it has one.
 */
export function inFile(error: unknown, { inode, fileOffset }: Piece, bytes: Uint8Array, at: number): unknown {
  if (!(error instanceof BtrfsError)) return error;
  const view = viewOf(bytes);
  const attribute = at + COMMAND_HEADER_BYTES;
  const start = attribute + TYPE_AND_LENGTH_BYTES;
  const hasPath = view.getUint16(attribute, true) === ATTRIBUTES.path.number;
  const path = hasPath ? { path: displayName(bytes.subarray(start, start + view.getUint16(attribute + 2, true))) } : {};
  const where = { ...path, inode: BigInt(inode), fileOffset: BigInt(fileOffset), ...error.where };
  const { code, sentence, cause } = error;
  if (error instanceof CorruptError && (code === "corrupt" || code === "checksum" || code === "truncated")) {
    return new CorruptError(sentence, where, { code, cause });
  }
  return error.constructor === BtrfsError ? new BtrfsError(code, sentence, { where, cause }) : error;
}
