import type { Handle } from "./target.ts";

/**
 * Plain files with all that writing them needs, so that whoever does it knows nothing of trees. Numbers are safe integers;
 * what they say about the image has been checked against it.
 */
export interface FilesJob extends FilesMemory {
  readonly job: "files";
  readonly count: number;
}

/** Moves with a job to its thread, and back with the result to be used again. */
export interface FilesMemory {
  /** `FILE` of each file, then `XATTR` of each of its attributes, then `EXTENT` of each of its extents with `READ` of its reads. */
  readonly numbers: Float64Array<ArrayBuffer>;
  /** Names with a NUL behind each, times, values, inline data, checksums: where the numbers say. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Which number says what of a file. */
export const FILE = {
  directory: 0,
  name: 1,
  mode: 2,
  uid: 3,
  gid: 4,
  size: 5,
  /** Two `struct timespec` of 64-bit Linux: access and modification. */
  times: 6,
  xattrs: 7,
  extents: 8,
  length: 9,
} as const;

/** Of an extended attribute. */
export const XATTR = { name: 0, value: 1, byteLength: 2, length: 3 } as const;

/** Of an extent: `length` bytes of the file from `offset` on are those from `within` on of what it decodes to. */
export const EXTENT = {
  /** As on disk. */
  compression: 0,
  offset: 1,
  byteLength: 2,
  within: 3,
  storedBytes: 4,
  decodedBytes: 5,
  /** Its checksums; its data, where it is inline. */
  data: 6,
  /** None when it is inline. */
  reads: 7,
  length: 8,
} as const;

/** Of one read: what is stored on one device in a row. */
export const READ = { devid: 0, physical: 1, byteLength: 2, length: 3 } as const;

/** Uncompressed extents are cut into pieces of this many bytes: no extent of a job has more stored ones. */
export const PLAIN_BYTES = 1 << 20;

/** Bytes of the times of one file. */
export const TIMES_BYTES = 32;

/** Files of one job, and bytes that they write: little enough that the last ones don't keep one thread long. */
const MAX_FILES = 128;
const MAX_CONTENT_BYTES = 4 << 20;
const NUMBERS = 8192;
const BYTES = 256 << 10;

/** Packs files for a `FilesJob`. One that does not fit, or turns out to be unusual, is taken back. */
export class FilesBuilder {
  count = 0;
  readonly #free: FilesMemory[] = [];
  #numbers: Float64Array<ArrayBuffer> | undefined;
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #file = 0;
  #numbersEnd = 0;
  #bytesEnd = 0;
  #extent = 0;
  #fileBytesAt = 0;
  #content = 0;
  #fileContent = 0;

  get isFull(): boolean {
    return this.count >= MAX_FILES || this.#content >= MAX_CONTENT_BYTES;
  }

  /** Memory of a job that is done. */
  reuse(memory: FilesMemory): void {
    this.#free.push(memory);
  }

  /** All files so far. */
  take(): FilesJob {
    const job: FilesJob = { job: "files", count: this.count, numbers: this.#numbers!, bytes: this.#bytes! };
    this.#numbers = undefined;
    this.#bytes = undefined;
    this.count = 0;
    this.#content = 0;
    this.#numbersEnd = 0;
    this.#bytesEnd = 0;
    return job;
  }

  /** Begins a file. False when there is no room for it; so do the other steps. */
  begin(directory: Handle, name: Uint8Array, mode: number, uid: number, gid: number, size: number): boolean {
    this.#demandMemory();
    this.#file = this.#numbersEnd;
    this.#fileBytesAt = this.#bytesEnd;
    this.#fileContent = 0;
    const numbers = this.#numbers!;
    const bytes = this.#bytes!;
    const nameAt = this.#bytesEnd;
    const timesAt = nameAt + name.byteLength + 1;
    if (this.#file + FILE.length > numbers.length || timesAt + TIMES_BYTES > bytes.byteLength) return false;
    for (let at = 0; at < name.byteLength; at++) bytes[nameAt + at] = name[at]!;
    bytes[timesAt - 1] = 0;
    this.#bytesEnd = timesAt + TIMES_BYTES;
    const at = this.#file;
    numbers[at + FILE.directory] = directory;
    numbers[at + FILE.name] = nameAt;
    numbers[at + FILE.mode] = mode;
    numbers[at + FILE.uid] = uid;
    numbers[at + FILE.gid] = gid;
    numbers[at + FILE.size] = size;
    numbers[at + FILE.times] = timesAt;
    numbers[at + FILE.xattrs] = 0;
    numbers[at + FILE.extents] = 0;
    this.#numbersEnd = at + FILE.length;
    return true;
  }

  /** A `struct timespec` of the file: 0 is access, 1 modification. */
  setTime(index: 0 | 1, from: DataView, secondsAt: number, nanoseconds: number): void {
    const to = this.#numbers![this.#file + FILE.times]! + index * 16;
    const bytes = this.#bytes!;
    for (let at = 0; at < 8; at++) bytes[to + at] = from.getUint8(secondsAt + at);
    for (let at = 0; at < 8; at++) bytes[to + 8 + at] = at < 4 ? nanoseconds >>> (8 * at) : 0;
  }

  /** An extended attribute, before all extents: its name and its value lie in a row in `from`. */
  xattr(from: Uint8Array, nameAt: number, nameBytes: number, valueBytes: number): boolean {
    const numbers = this.#numbers!;
    const bytes = this.#bytes!;
    const at = this.#numbersEnd;
    const toName = this.#bytesEnd;
    const toValue = toName + nameBytes + 1;
    const end = toValue + valueBytes;
    if (at + XATTR.length > numbers.length || end > bytes.byteLength) return false;
    for (let index = 0; index < nameBytes; index++) bytes[toName + index] = from[nameAt + index]!;
    bytes[toValue - 1] = 0;
    const valueAt = nameAt + nameBytes;
    for (let index = 0; index < valueBytes; index++) bytes[toValue + index] = from[valueAt + index]!;
    numbers[at + XATTR.name] = toName;
    numbers[at + XATTR.value] = toValue;
    numbers[at + XATTR.byteLength] = valueBytes;
    numbers[this.#file + FILE.xattrs]!++;
    this.#bytesEnd = end;
    this.#numbersEnd = at + XATTR.length;
    return true;
  }

  extent(
    compression: number,
    offset: number,
    byteLength: number,
    within: number,
    storedBytes: number,
    decodedBytes: number,
    data: Uint8Array,
  ): boolean {
    const numbers = this.#numbers!;
    const at = this.#numbersEnd;
    const dataAt = this.#bytesEnd;
    if (at + EXTENT.length > numbers.length || dataAt + data.byteLength > this.#bytes!.byteLength) return false;
    this.#bytes!.set(data, dataAt);
    this.#bytesEnd = dataAt + data.byteLength;
    numbers[at + EXTENT.compression] = compression;
    numbers[at + EXTENT.offset] = offset;
    numbers[at + EXTENT.byteLength] = byteLength;
    numbers[at + EXTENT.within] = within;
    numbers[at + EXTENT.storedBytes] = storedBytes;
    numbers[at + EXTENT.decodedBytes] = decodedBytes;
    numbers[at + EXTENT.data] = dataAt;
    numbers[at + EXTENT.reads] = 0;
    numbers[this.#file + FILE.extents]!++;
    this.#extent = at;
    this.#numbersEnd = at + EXTENT.length;
    this.#fileContent += byteLength;
    return true;
  }

  /** A read of the last extent. */
  read(devid: number, physical: number, byteLength: number): boolean {
    const numbers = this.#numbers!;
    const at = this.#numbersEnd;
    if (at + READ.length > numbers.length) return false;
    numbers[at + READ.devid] = devid;
    numbers[at + READ.physical] = physical;
    numbers[at + READ.byteLength] = byteLength;
    numbers[this.#extent + EXTENT.reads]!++;
    this.#numbersEnd = at + READ.length;
    return true;
  }

  /** The file is complete. */
  end(): void {
    this.count++;
    this.#content += this.#fileContent;
  }

  /** The file is not to be written. */
  takeBack(): void {
    this.#numbersEnd = this.#file;
    this.#bytesEnd = this.#fileBytesAt;
  }

  #demandMemory(): void {
    if (this.#numbers !== undefined) return;
    const { numbers, bytes } = this.#free.pop() ?? {
      numbers: new Float64Array(NUMBERS),
      bytes: new Uint8Array(BYTES),
    };
    this.#numbers = numbers;
    this.#bytes = bytes;
  }
}
