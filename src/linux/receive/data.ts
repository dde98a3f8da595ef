import type { Codecs } from "../../codec/codec.ts";
import { BtrfsError, EncodedIoError } from "../../errors.ts";
import { ENCODED_LZO_4K, encodedAlgorithm } from "../../format/encoded-io.ts";
import { decodeWrite, type EncodedFields, encodedFields, newDecodeBuffer } from "../../receive/decode-write.ts";
import type { EncodedTally } from "../../receive/encoded-tally.ts";
import { ATTRIBUTES } from "../../stream/attributes.ts";
import type { CommandBatch } from "../../stream/batch.ts";
import { COMMANDS } from "../../stream/commands.ts";
import { encodedWrite } from "../encoded.ts";
import { pwrite, pwritev } from "../file.ts";
import { FS_NOCOW_FL, getFileFlags } from "../file-ioctls.ts";
import type { Native } from "../native.ts";

const DATA = ATTRIBUTES.data.number;

/** What the kernel says when it will not take encoded data; anything else is a failure. */
const REFUSALS = new Set(["EINVAL", "ENOTTY", "ENOSPC", "EOPNOTSUPP"]);

const WRITE = COMMANDS.write.number;
const PATH = ATTRIBUTES.path.number;
const FILE_OFFSET = ATTRIBUTES.fileOffset.number;

/** Commands that are written in one call, at most. */
const MAX_RUN = 32;

/** Where the WRITE commands from `i` on end of which each goes on, in the same file, where the one before ends. */
export function endOfRun(batch: CommandBatch, i: number, last: number): number {
  const most = Math.min(last, i + MAX_RUN);
  let end = i + 1;
  for (; end < most && batch.type(end) === WRITE && isSamePath(batch, i, end); end++) {
    const before = batch.u64(end - 1, FILE_OFFSET) + BigInt(batch.valueLength(batch.find(end - 1, DATA)));
    if (batch.u64(end, FILE_OFFSET) !== before || before >= 1n << 62n) break;
  }
  return end;
}

function isSamePath(batch: CommandBatch, a: number, b: number): boolean {
  const [slotA, slotB] = [batch.find(a, PATH), batch.find(b, PATH)];
  const length = batch.valueLength(slotA);
  if (batch.valueLength(slotB) !== length) return false;
  const [atA, atB] = [batch.valueAt(slotA), batch.valueAt(slotB)];
  for (let n = 0; n < length; n++) if (batch.bytes[atA + n] !== batch.bytes[atB + n]) return false;
  return true;
}

export interface DataWriterOptions {
  readonly native: Native;
  readonly codecs: Codecs;
  readonly encoded: EncodedTally;
  /** Of the filesystem, in bytes. */
  readonly sectorSize: number;
  readonly forceDecompress: boolean;
}

/** Writes the data of a stream into open files: encoded as it came where the kernel takes it, decoded where not. */
export class DataWriter {
  readonly #options: DataWriterOptions;
  readonly #buffer = newDecodeBuffer();
  /** `struct iovec`: address and length in turn. */
  readonly #iovecs = new BigUint64Array(MAX_RUN * 2);
  /** The kernel or the filesystem has no encoded writes: not asked again. */
  #isUnknown = false;

  constructor(options: DataWriterOptions) {
    this.#options = options;
  }

  write(fd: number, batch: CommandBatch, i: number): void {
    pwrite(this.#options.native, fd, batch.value(i, DATA)!, checkedOffset(batch.u64(i, ATTRIBUTES.fileOffset.number)));
  }

  /**
   * Commands `i` up to `end`, of which each goes on where the one before ends, in one call.
   *
   * @returns False where the kernel did not take all of it: then each is still to be written, and to fail, by itself.
   */
  writeRun(fd: number, batch: CommandBatch, i: number, end: number): boolean {
    const memory = this.#options.native.addressOf(batch.bytes);
    let total = 0;
    for (let at = i; at < end; at++) {
      const slot = batch.find(at, DATA);
      const length = batch.valueLength(slot);
      const iovec = (at - i) * 2;
      this.#iovecs[iovec] = memory + BigInt(batch.valueAt(slot));
      this.#iovecs[iovec + 1] = BigInt(length);
      total += length;
    }
    const offset = batch.u64(i, ATTRIBUTES.fileOffset.number);
    const bytes = new Uint8Array(this.#iovecs.buffer);
    return pwritev(this.#options.native, fd, bytes, end - i, offset, batch.bytes) === total;
  }

  encodedWrite(fd: number, batch: CommandBatch, i: number): void {
    const fields = encodedFields(batch, i);
    const data = batch.value(i, DATA)!;
    const reason = this.#reasonToDecode(fields) ?? this.#refusal(fd, fields, data);
    if (reason === undefined) {
      this.#options.encoded.carried++;
      return;
    }
    const decoded = decodeWrite(this.#options.codecs, fields, data, this.#buffer);
    pwrite(this.#options.native, fd, decoded, checkedOffset(fields.offset));
    this.#options.encoded.decode(reason);
  }

  #reasonToDecode({ compression }: EncodedFields): string | undefined {
    const { forceDecompress, sectorSize } = this.#options;
    if (forceDecompress) return "asked for";
    if (this.#isUnknown) return "the kernel has no encoded writes";
    if (compression < ENCODED_LZO_4K || encodedAlgorithm(compression)!.sectorSize === sectorSize) return undefined;
    return "LZO of another sector size";
  }

  /** Why the kernel did not take it; `undefined` when it did. */
  #refusal(fd: number, fields: EncodedFields, data: Uint8Array): string | undefined {
    const { offset, length, unencodedLength, unencodedOffset, compression } = fields;
    const io = {
      offset,
      length: BigInt(length),
      unencodedLength: BigInt(unencodedLength),
      unencodedOffset: BigInt(unencodedOffset),
      compression,
      encryption: 0,
    };
    try {
      encodedWrite(this.#options.native, fd, io, data);
      return undefined;
    } catch (error) {
      if (!(error instanceof EncodedIoError) || !REFUSALS.has(error.errno)) throw error;
      return this.#explain(fd, error.errno);
    }
  }

  #explain(fd: number, errno: string): string {
    if (errno === "ENOTTY" || errno === "EOPNOTSUPP") {
      this.#isUnknown = true;
      return "the kernel has no encoded writes";
    }
    if (errno === "ENOSPC") return "no contiguous space";
    const hasNoChecksums = (getFileFlags(this.#options.native, fd) & FS_NOCOW_FL) !== 0;
    return hasNoChecksums ? "the file has no checksums (nodatacow)" : "the kernel refused its numbers";
  }
}

/** File offsets are signed to the kernel. */
export function checkedOffset(offset: bigint): bigint {
  if (offset < 1n << 63n) return offset;
  throw new BtrfsError("limit", `Cannot write: file offset is ${offset}, files end at 2^63 - 1`);
}
