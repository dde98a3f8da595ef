import type { Codecs } from "../../codec/codec.ts";
import { BtrfsError, EncodedIoError } from "../../errors.ts";
import { ENCODED_LZO_4K, encodedAlgorithm } from "../../format/encoded-io.ts";
import { decodeWrite, type EncodedFields, encodedFields, newDecodeBuffer } from "../../receive/decode-write.ts";
import type { EncodedTally } from "../../receive/encoded-tally.ts";
import { ATTRIBUTES } from "../../stream/attributes.ts";
import type { CommandBatch } from "../../stream/batch.ts";
import { encodedWrite } from "../encoded.ts";
import { pwrite } from "../file.ts";
import { FS_NOCOW_FL, getFileFlags } from "../file-ioctls.ts";
import type { Native } from "../native.ts";

const DATA = ATTRIBUTES.data.number;

/** What the kernel says when it will not take encoded data; anything else is a failure. */
const REFUSALS = new Set(["EINVAL", "ENOTTY", "ENOSPC", "EOPNOTSUPP"]);

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
  /** The kernel or the filesystem has no encoded writes: not asked again. */
  #isUnknown = false;

  constructor(options: DataWriterOptions) {
    this.#options = options;
  }

  write(fd: number, batch: CommandBatch, i: number): void {
    pwrite(this.#options.native, fd, batch.value(i, DATA)!, checkedOffset(batch.u64(i, ATTRIBUTES.fileOffset.number)));
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
