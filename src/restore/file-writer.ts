import { foldableBytes } from "#checksum";
import { type Codecs, MAX_EXTENT_BYTES } from "#codec";
import type { Checksum } from "../checksum/checksum.ts";
import { BtrfsError } from "../errors.ts";
import { COMPRESS_NONE, COMPRESS_ZSTD } from "../format/file-extent.ts";
import { algorithmOf } from "../fs/inline.ts";
import type { Volume } from "../volume/volume.ts";
import { emptyResult, type RestoreResult } from "./batch.ts";
import { type DecodeFrame, decodeVouched, type Stop } from "./content.ts";
import { EXTENT, FILE, type FilesJob, PLAIN_BYTES, READ, XATTR } from "./files-job.ts";
import type { FileCalls, Handle } from "./target.ts";
import { TemporaryNames } from "./temporary-names.ts";

/** Reads bytes of a device into the beginning of `target`. False when they can't be had at once. */
export type ReadDevice = (devid: number, physical: number, target: Uint8Array, byteLength: number) => boolean;

export interface FileWriterOptions {
  readonly calls: FileCalls;
  readonly read: ReadDevice;
  readonly checksum: Checksum;
  readonly codecs: Codecs;
  /** Bytes. */
  readonly sectorSize: number;
  readonly overwrite: boolean;
  /** Begins the temporary names, which are none of a restorer's; no two writers of one target have the same. */
  readonly token: string;
  readonly stop: Stop;
  readonly decodeFrame?: DecodeFrame | undefined;
}

/**
 * Writes the files of a `FilesJob`: each extent is read, held against its checksums, decoded and written without waiting.
 * What does not go smoothly is undone and left to the long way, which says what is wrong.
 */
export class FileWriter {
  readonly #options: FileWriterOptions;
  readonly #calls: FileCalls;
  readonly #input = foldableBytes(PLAIN_BYTES);
  readonly #output = new Uint8Array(MAX_EXTENT_BYTES);
  readonly #temporary: TemporaryNames;
  /** Bytes written of the file at hand. */
  #written = 0;
  /** Extended attributes of it that the host can't hold. */
  #xattrsNotHeld = 0;
  /** Number behind the file at hand. */
  #next = 0;

  constructor(options: FileWriterOptions) {
    this.#options = options;
    this.#calls = options.calls;
    this.#temporary = new TemporaryNames(`${options.token}-f`);
  }

  run(job: FilesJob): RestoreResult {
    const { numbers, bytes } = job;
    const result = { ...emptyResult(), memory: { numbers, bytes } };
    const { counts } = result;
    let at = 0;
    for (let index = 0; index < job.count; index++) {
      this.#options.stop.throwIfAborted();
      const size = numbers[at + FILE.size]!;
      if (this.#writeFile(job, at, size)) {
        counts.files++;
        counts.fileBytes += size;
        counts.bytes += this.#written;
        counts.xattrsNotHeld += this.#xattrsNotHeld;
      } else result.failed.push(index);
      at = this.#next;
    }
    return result;
  }

  #writeFile({ numbers, bytes }: FilesJob, at: number, size: number): boolean {
    const calls = this.#calls;
    const directory = numbers[at + FILE.directory]!;
    const temporary = this.#temporary.next();
    const file = calls.create(directory, temporary);
    const xattrs = at + FILE.length;
    const extents = xattrs + numbers[at + FILE.xattrs]! * XATTR.length;
    let isMade = false;
    try {
      isMade =
        this.#writeExtents(numbers, bytes, extents, numbers[at + FILE.extents]!, size, file) &&
        calls.setOwner(file, numbers[at + FILE.uid]!, numbers[at + FILE.gid]!) >= 0 &&
        calls.setMode(file, numbers[at + FILE.mode]!) >= 0 &&
        this.#setXattrs(numbers, bytes, xattrs, extents, file) &&
        calls.setTimes(file, bytes, numbers[at + FILE.times]!) >= 0;
    } finally {
      if (file >= 0) {
        isMade = calls.close(file) >= 0 && isMade;
        const { overwrite } = this.#options;
        if (isMade) isMade = calls.rename(directory, temporary, bytes, numbers[at + FILE.name]!, overwrite) >= 0;
        if (!isMade) calls.remove(directory, temporary);
      }
    }
    return isMade;
  }

  #setXattrs(numbers: Float64Array, bytes: Uint8Array, first: number, last: number, file: Handle): boolean {
    this.#xattrsNotHeld = 0;
    for (let at = first; at < last; at += XATTR.length) {
      const length = numbers[at + XATTR.byteLength]!;
      const held = this.#calls.setXattr(file, bytes, numbers[at + XATTR.name]!, numbers[at + XATTR.value]!, length);
      if (held < 0) return false;
      if (held === 0) this.#xattrsNotHeld++;
    }
    return true;
  }

  /** Goes past the extents in any case. @param file Negative when there is none to write to. */
  #writeExtents(
    numbers: Float64Array,
    bytes: Uint8Array,
    first: number,
    count: number,
    size: number,
    file: Handle,
  ): boolean {
    this.#written = 0;
    let isGood = file >= 0;
    let end = 0;
    let at = first;
    for (let index = 0; index < count; index++) {
      isGood &&= this.#writeExtent(numbers, bytes, at, file);
      end = numbers[at + EXTENT.offset]! + numbers[at + EXTENT.byteLength]!;
      at += EXTENT.length + numbers[at + EXTENT.reads]! * READ.length;
    }
    this.#next = at;
    return isGood && (end >= size || this.#calls.truncate(file, size) >= 0);
  }

  #writeExtent(numbers: Float64Array, bytes: Uint8Array, at: number, file: Handle): boolean {
    const compression = numbers[at + EXTENT.compression]!;
    const offset = numbers[at + EXTENT.offset]!;
    const length = numbers[at + EXTENT.byteLength]!;
    const storedBytes = numbers[at + EXTENT.storedBytes]!;
    const dataAt = numbers[at + EXTENT.data]!;
    const isInline = numbers[at + EXTENT.reads] === 0;
    if (isInline && compression === COMPRESS_NONE) return this.#write(file, bytes, dataAt, length, offset);
    const input = this.#input;
    if (isInline) input.set(bytes.subarray(dataAt, dataAt + storedBytes));
    else if (!this.#read(numbers, at, bytes, storedBytes, dataAt)) return false;
    if (compression === COMPRESS_NONE) return this.#write(file, input, 0, length, offset);
    return (
      this.#decode(compression, storedBytes, numbers[at + EXTENT.decodedBytes]!, isInline) &&
      this.#write(file, this.#output, numbers[at + EXTENT.within]!, length, offset)
    );
  }

  #read(numbers: Float64Array, extent: number, bytes: Uint8Array, storedBytes: number, checksums: number): boolean {
    const input = this.#input;
    const { read, checksum, sectorSize } = this.#options;
    const last = extent + EXTENT.length + numbers[extent + EXTENT.reads]! * READ.length;
    let done = 0;
    for (let at = extent + EXTENT.length; at < last; at += READ.length) {
      const length = numbers[at + READ.byteLength]!;
      const target = done === 0 ? input : input.subarray(done);
      if (!read(numbers[at + READ.devid]!, numbers[at + READ.physical]!, target, length)) return false;
      done += length;
    }
    const stored = storedBytes === input.byteLength ? input : input.subarray(0, storedBytes);
    return checksum.findBadSector(stored, sectorSize, bytes, checksums) === -1;
  }

  /** Fills the output, as the kernel does with zeros behind the data. */
  #decode(compression: number, storedBytes: number, decodedBytes: number, inline: boolean): boolean {
    const input = this.#input;
    const output = this.#output;
    const { decodeFrame, codecs, sectorSize } = this.#options;
    let length =
      compression === COMPRESS_ZSTD ? decodeVouched(decodeFrame, input, storedBytes, output, decodedBytes) : -1;
    if (length < 0) {
      try {
        const stored = input.subarray(0, storedBytes);
        length = codecs.decode(algorithmOf(compression), stored, output.subarray(0, decodedBytes), {
          sectorSize,
          inline,
        });
      } catch (error) {
        if (error instanceof BtrfsError) return false;
        throw error;
      }
    }
    if (length < decodedBytes) output.fill(0, length, decodedBytes);
    return true;
  }

  #write(file: Handle, data: Uint8Array, from: number, length: number, offset: number): boolean {
    for (let done = 0; done < length; ) {
      const count = this.#calls.write(file, data, from + done, length - done, offset + done);
      if (count <= 0) return false;
      done += count;
    }
    this.#written += length;
    return true;
  }
}

/** By the devices' own means. */
export function readerOf({ devices }: Volume): ReadDevice {
  return (devid, physical, target, byteLength) => {
    const source = devices.get(devid)?.source;
    if (source?.readSync === undefined) return false;
    try {
      source.readSync(physical, target.byteLength === byteLength ? target : target.subarray(0, byteLength));
      return true;
    } catch (error) {
      if (error instanceof BtrfsError) return false;
      throw error;
    }
  };
}
