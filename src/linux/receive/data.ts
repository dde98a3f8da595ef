import { type Codecs, loadCodecs } from "#codec";
import { BtrfsError, EncodedIoError } from "../../errors.ts";
import { ENCODED_LZO_4K, encodedAlgorithm } from "../../format/encoded-io.ts";
import { decodeWrite, type EncodedFields, encodedFields, newDecodeBuffer } from "../../receive/decode-write.ts";
import type { EncodedTally } from "../../receive/encoded-tally.ts";
import { ATTRIBUTES } from "../../stream/attributes.ts";
import type { CommandBatch } from "../../stream/batch.ts";
import { COMMANDS } from "../../stream/commands.ts";
import { encodedWrite } from "../encoded.ts";
import { ftruncate, pwrite, pwritev } from "../file.ts";
import { FS_NOCOW_FL, getFileFlags } from "../file-ioctls.ts";
import type { Native } from "../native.ts";
import { isSamePath } from "./command-values.ts";
import { replacesEnd, writeEnd, writeStart } from "./old-end.ts";
import type { OpenFile } from "./places.ts";

const DATA = ATTRIBUTES.data.number;

/** What the kernel says when it will not take encoded data; anything else is a failure. */
const REFUSALS = new Set(["EINVAL", "ENOTTY", "ENOSPC", "EOPNOTSUPP"]);

const WRITE = COMMANDS.write.number;
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

/** Where a file ended before a write, and whether what lay behind was taken away. */
interface KnownEnd {
  readonly size: bigint;
  readonly isCut: boolean;
}

export interface DataWriterOptions {
  readonly native: Native;
  readonly encoded: EncodedTally;
  /** Of the filesystem, in bytes. */
  readonly sectorSize: number;
  readonly forceDecompress: boolean;
}

/** Writes the data of a stream into open files: encoded as it came where the kernel takes it, decoded where not. */
export class DataWriter {
  readonly #options: DataWriterOptions;
  /** `struct iovec`: address and length in turn. */
  readonly #iovecs = new BigUint64Array(MAX_RUN * 2);
  /** The kernel or the filesystem has no encoded writes: not asked again. */
  #isUnknown = false;
  /** Loaded when something is decoded. */
  #decoder: { readonly codecs: Codecs; readonly buffer: Uint8Array } | undefined;

  constructor(options: DataWriterOptions) {
    this.#options = options;
  }

  /** Writes command `i`, or what goes on from it in one call. @returns The last command that is done. */
  write(file: OpenFile, batch: CommandBatch, i: number, last: number): number {
    const end = endOfRun(batch, i, last);
    const size = this.#cutOldEnd(file, batch, end - 1, last);
    if (end > i + 1 && this.#writeRun(file.fd, batch, i, end)) {
      noteWritten(file, size, writeEnd(batch, end - 1));
      return end - 1;
    }
    pwrite(this.#options.native, file.fd, batch.value(i, DATA)!, checkedOffset(writeStart(batch, i)));
    if (end === i + 1) noteWritten(file, size, writeEnd(batch, i));
    return i;
  }

  truncate(file: OpenFile, size: bigint): void {
    if (file.isCut && file.size === size) return;
    forgetEnd(file);
    ftruncate(this.#options.native, file.fd, checkedOffset(size));
  }

  /**
   * Writes commands `i` up to `end`, of which each goes on where the one before ends, in one call.
   *
   * @returns False where the kernel did not take all of it: then each is still to be written, and to fail, by itself.
   */
  #writeRun(fd: number, batch: CommandBatch, i: number, end: number): boolean {
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
    const offset = batch.u64(i, FILE_OFFSET);
    const bytes = new Uint8Array(this.#iovecs.buffer);
    return pwritev(this.#options.native, fd, bytes, end - i, offset, batch.bytes) === total;
  }

  encodedWrite(file: OpenFile, batch: CommandBatch, i: number, last: number): void | Promise<void> {
    const fields = encodedFields(batch, i);
    const data = batch.value(i, DATA)!;
    const size = this.#cutOldEnd(file, batch, i, last);
    const reason = this.#reasonToDecode(fields) ?? this.#refusal(file.fd, fields, data);
    if (reason !== undefined) return this.#decodeAndWrite(file, fields, data, reason);
    this.#options.encoded.carried++;
    noteWritten(file, size, writeEnd(batch, i));
  }

  async #decodeAndWrite(file: OpenFile, fields: EncodedFields, data: Uint8Array, reason: string): Promise<void> {
    this.#decoder ??= { codecs: await loadCodecs(), buffer: newDecodeBuffer() };
    const decoded = decodeWrite(this.#decoder.codecs, fields, data, this.#decoder.buffer);
    pwrite(this.#options.native, file.fd, decoded, checkedOffset(fields.offset));
    this.#options.encoded.decode(reason);
  }

  /** Takes the end of the file away where command `i` replaces it. Where it ends is known again when that is written. */
  #cutOldEnd(file: OpenFile, batch: CommandBatch, i: number, last: number): KnownEnd | undefined {
    const { size } = file;
    forgetEnd(file);
    if (size === undefined) return undefined;
    if (!replacesEnd(batch, i, last, size, this.#options.sectorSize)) return { size, isCut: false };
    const start = writeStart(batch, i);
    ftruncate(this.#options.native, file.fd, start);
    return { size: start, isCut: true };
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

/** Something else than a write may change where the file ends. */
export function forgetEnd(file: OpenFile): void {
  file.size = undefined;
  file.isCut = false;
}

function noteWritten(file: OpenFile, before: KnownEnd | undefined, end: bigint): void {
  if (before === undefined) return;
  file.size = end > before.size ? end : before.size;
  file.isCut = before.isCut;
}

/** File offsets are signed to the kernel. */
export function checkedOffset(offset: bigint): bigint {
  if (offset < 1n << 63n) return offset;
  throw new BtrfsError("limit", `Cannot write: file offset is ${offset}, files end at 2^63 - 1`);
}
