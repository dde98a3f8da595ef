import { ATTRIBUTES } from "../../stream/attributes.ts";
import type { CommandBatch } from "../../stream/batch.ts";
import { COMMANDS } from "../../stream/commands.ts";
import { isSamePath } from "./command-values.ts";

const WRITE = COMMANDS.write.number;
const TRUNCATE = COMMANDS.truncate.number;
const FILE_OFFSET = ATTRIBUTES.fileOffset.number;
const DATA = ATTRIBUTES.data.number;
const FILE_LENGTH = ATTRIBUTES.unencodedFileLen.number;
const SIZE = ATTRIBUTES.size.number;

export function writeStart(batch: CommandBatch, i: number): bigint {
  return batch.u64(i, FILE_OFFSET);
}

/** Where the bytes of the file that WRITE or ENCODED_WRITE `i` is about end. */
export function writeEnd(batch: CommandBatch, i: number): bigint {
  const isPlain = batch.type(i) === WRITE;
  const length = isPlain ? BigInt(batch.valueLength(batch.find(i, DATA))) : batch.u64(i, FILE_LENGTH);
  return batch.u64(i, FILE_OFFSET) + length;
}

/**
 * Whether nothing is left of the end of a file, from where WRITE or ENCODED_WRITE `i` begins, once that and the command
 * after it are done, and the kernel does better where it is gone before.
 *
 * What ends inside a sector has the kernel read the old sector for a plain write, and it refuses an encoded one that ends
 * inside of the file so. Senders shorten a file when its data is written.
 *
 * @param size Of the file, in bytes.
 */
export function replacesEnd(batch: CommandBatch, i: number, last: number, size: bigint, sectorSize: number): boolean {
  const start = writeStart(batch, i);
  const end = writeEnd(batch, i);
  const sector = BigInt(sectorSize);
  if (start >= size || start % sector !== 0n || end % sector === 0n) return false;
  if (end >= size) return batch.type(i) === WRITE;
  const next = i + 1;
  return next < last && batch.type(next) === TRUNCATE && isSamePath(batch, i, next) && batch.u64(next, SIZE) === end;
}
