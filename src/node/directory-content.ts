import { BtrfsError } from "../errors.ts";
import type { Handle } from "../restore/target.ts";
import type { DirectoryHost } from "./directory-host.ts";

const ZEROS = new Uint8Array(1 << 18);

/** `FALLOC_FL_*` of `linux/falloc.h`. */
const KEEP_SIZE = 0x01;
const PUNCH_HOLE = 0x02;
const ZERO_RANGE = 0x10;

/** What the kernel's fallocate does of it, as far as content goes. */
export function fallocateFile(host: DirectoryHost, file: Handle, mode: number, at: bigint, length: bigint): void {
  const keepSize = (mode & KEEP_SIZE) !== 0;
  const rest = mode & ~KEEP_SIZE;
  if ((rest !== 0 && rest !== ZERO_RANGE && rest !== PUNCH_HOLE) || (rest === PUNCH_HOLE && !keepSize)) {
    throw new BtrfsError("unsupported", `Cannot allocate: mode is ${mode}, known are those of btrfs`);
  }
  if (rest !== 0) zeroRange(host, file, at, length);
  else if (host.allocate(file, at, length, keepSize)) return;
  if (!keepSize) extend(host, file, at + length);
}

/** Makes a range read as zeros, with a hole where the host can; the size stays. */
export function zeroRange(host: DirectoryHost, file: Handle, at: bigint, length: bigint): void {
  const { size } = host.stat(file, undefined);
  let end = at + length;
  if (end > size) end = size;
  if (at >= end || host.punch(file, at, end - at)) return;
  for (const { start, end: last, isHole } of host.segments(file, at, end)) {
    if (isHole) continue;
    for (let done = start; done < last; ) {
      const left = last - done;
      const zeros = left < BigInt(ZEROS.byteLength) ? ZEROS.subarray(0, Number(left)) : ZEROS;
      host.write(file, zeros, done);
      done += BigInt(zeros.byteLength);
    }
  }
}

/** Makes the file at least that long. */
export function extend(host: DirectoryHost, file: Handle, size: bigint): void {
  if (host.stat(file, undefined).size < size) host.truncate(file, size);
}

/**
 * Makes a range of `to` read as a range of `from`: shared where the host can, else copied, holes as holes.
 *
 * @throws {BtrfsError} `corrupt` when the source ends before the range does, or the ranges overlap in one file.
 */
export function cloneRange(
  host: DirectoryHost,
  from: Handle,
  fromAt: bigint,
  to: Handle,
  at: bigint,
  length: bigint,
): void {
  const source = host.stat(from, undefined);
  const end = fromAt + length;
  if (end > source.size) {
    throw new BtrfsError("corrupt", `Cannot clone: bytes up to ${end} are wanted, the source has ${source.size}`);
  }
  const distance = at > fromAt ? at - fromAt : fromAt - at;
  if (distance < length && source.inode === host.stat(to, undefined).inode) {
    throw new BtrfsError("corrupt", "Cannot clone: the ranges overlap in one file");
  }
  if (length === 0n || host.share(from, fromAt, to, at, length)) return;
  for (const segment of host.segments(from, fromAt, end)) {
    const place = at + (segment.start - fromAt);
    const bytes = segment.end - segment.start;
    if (segment.isHole) zeroRange(host, to, place, bytes);
    else host.copy(from, segment.start, to, place, bytes);
  }
  extend(host, to, at + length);
}
