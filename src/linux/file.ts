import { call, callAsync, check } from "./call.ts";
import { errnoOf } from "./errno.ts";
import type { Native } from "./native.ts";

/** `FALLOC_FL_*` of `linux/falloc.h`. */
export const FALLOC_KEEP_SIZE = 0x01;
export const FALLOC_PUNCH_HOLE = 0x02;
export const FALLOC_ZERO_RANGE = 0x10;

/** A file offset or length in bytes. */
export type Offset = number | bigint;

/**
 * Reads into the front of `target`.
 *
 * @returns Bytes read; fewer than asked for at the end of the file, 0 beyond it.
 */
export function pread(native: Native, fd: number, target: Uint8Array, offset: Offset): number {
  return call(native, "pread64", [fd, target, target.byteLength, offset], { act: "read", fd });
}

/** Writes all of `data`, however many calls it takes. */
export function pwrite(native: Native, fd: number, data: Uint8Array, offset: Offset): void {
  const context = { act: "write", fd };
  for (let done = 0; done < data.byteLength; ) {
    const rest = data.subarray(done);
    done += call(native, "pwrite64", [fd, rest, rest.byteLength, BigInt(offset) + BigInt(done)], context);
  }
}

/** As `pwrite`, on another thread. */
export async function pwriteAsync(native: Native, fd: number, data: Uint8Array, offset: Offset): Promise<void> {
  const context = { act: "write", fd };
  for (let done = 0; done < data.byteLength; ) {
    const rest = data.subarray(done);
    done += await callAsync(native, "pwrite64", [fd, rest, rest.byteLength, BigInt(offset) + BigInt(done)], context);
  }
}

/**
 * Writes pieces of `memory` one behind the other.
 *
 * @param iovecs `struct iovec`, 16 bytes each, whose addresses lie in `memory`.
 * @returns Bytes written: fewer than there are where the kernel stopped in between, or `-errno`.
 */
export function pwritev(
  native: Native,
  fd: number,
  iovecs: Uint8Array,
  count: number,
  offset: bigint,
  memory: Uint8Array,
): number {
  return native.call("pwritev", [fd, iovecs, count, offset, 0], memory);
}

export function ftruncate(native: Native, fd: number, size: Offset): void {
  call(native, "ftruncate", [fd, size], { act: "set file size", fd });
}

/** @param mode `FALLOC_*`; 0 allocates and extends the file. */
export function fallocate(native: Native, fd: number, mode: number, offset: Offset, length: Offset): void {
  call(native, "fallocate", [fd, mode, offset, length], { act: "allocate", fd });
}

/**
 * Copies bytes inside the kernel, sharing extents where the filesystem can.
 *
 * @returns Bytes copied: fewer than `length` only where the source ends.
 */
export function copyFileRange(
  native: Native,
  from: { fd: number; offset: bigint },
  to: { fd: number; offset: bigint },
  length: bigint,
): bigint {
  const offsets = new BigInt64Array([from.offset, to.offset]);
  const [fromOffset, toOffset] = [new Uint8Array(offsets.buffer, 0, 8), new Uint8Array(offsets.buffer, 8, 8)];
  let left = length;
  // One call copies at most 2 GiB, and fewer bytes when it likes.
  while (left > 0n) {
    const chunk = left < 0x4000_0000n ? left : 0x4000_0000n;
    const args = [from.fd, fromOffset, to.fd, toOffset, chunk, 0];
    const copied = call(native, "copy_file_range", args, { act: "copy file range", fd: to.fd });
    if (copied === 0) break;
    left -= BigInt(copied);
  }
  return length - left;
}

/** Flushes one file. */
export function fsync(native: Native, fd: number): void {
  call(native, "fsync", [fd], { act: "flush file", fd });
}

export async function fsyncAsync(native: Native, fd: number): Promise<void> {
  await callAsync(native, "fsync", [fd], { act: "flush file", fd });
}

/** Flushes the filesystem that the open file lies on, and tells of write errors since the file was opened. */
export async function syncfs(native: Native, fd: number): Promise<void> {
  await callAsync(native, "syncfs", [fd], { act: "flush filesystem", fd });
}

const LOCK_OPERATIONS = { shared: 1, exclusive: 2, unlock: 8 } as const;
const LOCK_NB = 4;

/**
 * Takes or gives up the advisory lock of the open file, without waiting.
 *
 * @returns False when somebody else holds it.
 */
export function flock(native: Native, fd: number, operation: keyof typeof LOCK_OPERATIONS): boolean {
  const result = native.call("flock", [fd, LOCK_OPERATIONS[operation] | LOCK_NB]);
  if (result === -errnoOf("EAGAIN")) return false;
  check(native, result, "flock", { act: "lock file", fd });
  return true;
}
