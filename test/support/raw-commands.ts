import { type Attribute, commandOf, time, u32, u64 } from "./raw-stream.ts";

/** Commands of a version 2 stream put together by hand. Uuids are one byte sixteen times. */

const PATH = 15;
const INO = 3;
const SIZE = 4;
const MODE = 5;
const RDEV = 8;
const PATH_TO = 16;
const PATH_LINK = 17;
const FILE_OFFSET = 18;
const DATA = 19;

export const uuid = (byte: number): Uint8Array => new Uint8Array(16).fill(byte);

const on = (number: number, path: string | Uint8Array, ...more: readonly Attribute[]): Uint8Array =>
  commandOf(2, number, [[PATH, path], ...more]);

export const subvol = (name: string, id = 1) => on(1, name, [1, uuid(id)], [2, u64(7)]);
export const snapshot = (name: string, id: number, parent: number) =>
  on(2, name, [1, uuid(id)], [2, u64(8)], [20, uuid(parent)], [21, u64(7)]);
export const mkfile = (path: string | Uint8Array) => on(3, path, [INO, u64(257)]);
export const mkdir = (path: string) => on(4, path, [INO, u64(258)]);
export const mknod = (path: string, rdev: number, mode: number) =>
  on(5, path, [INO, u64(259)], [RDEV, u64(rdev)], [MODE, u64(mode)]);
export const mkfifo = (path: string) => on(6, path, [INO, u64(258)], [RDEV, u64(0)], [MODE, u64(0o10644)]);
export const symlink = (path: string, to: string) => on(8, path, [INO, u64(259)], [PATH_LINK, to]);
export const rename = (path: string, to: string) => on(9, path, [PATH_TO, to]);
export const link = (path: string, to: string) => on(10, path, [PATH_LINK, to]);
export const unlink = (path: string) => on(11, path);
export const rmdir = (path: string) => on(12, path);
export const setXattr = (path: string, name = "user.a", value: string | Uint8Array = "x") =>
  on(13, path, [13, name], [14, value]);
export const removeXattr = (path: string, name: string) => on(14, path, [13, name]);

/** DATA comes last: from version 2 on it has no length. */
export const write = (path: string, data: string | Uint8Array, offset: bigint | number = 0) =>
  on(15, path, [FILE_OFFSET, u64(offset)], [DATA, data]);

/** From the begin of `source` to the begin of `path`. */
export const clone = (path: string, source: string, length = 4, from = 1) =>
  on(16, path, [FILE_OFFSET, u64(0)], [24, u64(length)], [20, uuid(from)], [21, u64(7)], [22, source], [23, u64(0)]);
export const truncate = (path: string, size: bigint | number) => on(17, path, [SIZE, u64(size)]);
export const chmod = (path: string, mode: number) => on(18, path, [MODE, u64(mode)]);
export const chown = (path: string, uid: number, gid: number) => on(19, path, [6, u64(uid)], [7, u64(gid)]);
export const utimes = (path: string) => on(20, path, [11, time(5)], [10, time(6)], [9, time(7)]);
export const fallocate = (path: string, mode: number, length: bigint | number, offset: bigint | number = 0) =>
  on(23, path, [25, u32(mode)], [FILE_OFFSET, u64(offset)], [SIZE, u64(length)]);
export const fileattr = (path: string, flags: bigint | number) => on(24, path, [26, u64(flags)]);

export interface EncodedNumbers {
  /** Bytes of the file, and that the data decodes to. */
  readonly length: bigint | number;
  readonly offset?: bigint | number;
  readonly unencodedOffset?: bigint | number;
  /** Where it differs from `length`. */
  readonly unencodedLength?: bigint | number;
  /** `ENCODED_*`; 1 is zlib. */
  readonly compression?: number;
}

export const encodedWrite = (path: string, data: Uint8Array, numbers: EncodedNumbers) => {
  const { length, offset = 0, unencodedOffset = 0, unencodedLength = length, compression = 1 } = numbers;
  return on(
    25,
    path,
    [FILE_OFFSET, u64(offset)],
    [27, u64(length)],
    [28, u64(unencodedLength)],
    [29, u64(unencodedOffset)],
    [30, u32(compression)],
    [31, u32(0)],
    [DATA, data],
  );
};
