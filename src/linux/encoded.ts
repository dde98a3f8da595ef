import { constants } from "node:fs";
import { viewOf } from "../bytes/bytes.ts";
import { BtrfsError, EncodedIoError } from "../errors.ts";
import {
  ENCODED_NONE,
  type EncodedIo,
  type EncodedReader,
  type EncodedWriter,
  MAX_ENCODED_BYTES,
} from "../format/encoded-io.ts";
import { fstatfs, isBtrfs, statx } from "./attributes.ts";
import { refusal, scratch, whereOf } from "./call.ts";
import { errnoName } from "./errno.ts";
import { fsyncAsync } from "./file.ts";
import { describe } from "./ioctl.ts";
import type { Native } from "./native.ts";
import { ENCODED_READ, ENCODED_WRITE, type Request } from "./requests.ts";
import { EncodedIoArgs, Iovec } from "./structs.ts";

/** What an encoded read tells: the nouns, and how many bytes of the target are filled. */
export type EncodedAnswer = EncodedIo & { readonly byteLength: number };

const HELP: Readonly<Record<string, string>> = {
  ENOBUFS: "131072 bytes always suffice",
  EIO: "no copy matches its checksums, see the kernel's log (dmesg) and btrfs scrub",
  EINVAL:
    "offsets are multiples of the sector size, the encoded data is shorter than what it decodes to, that is 131072 bytes at most, and the file has checksums",
};

/**
 * `BTRFS_IOC_ENCODED_READ` as it is: the stored bytes of the extent at `offset`.
 *
 * Two traps, up to Linux 6.18 at least, that `LiveFile` keeps away from: behind the data of an inline extent, inside its
 * sector, the kernel answers with foreign bytes; and it writes out dirty pages for 128 KiB only, but reports a hole up to
 * its end, so that data written there a moment ago reads as zeros.
 *
 * @throws {EncodedIoError} ENOBUFS when a compressed extent is larger than `target`, EIO for checksums, EPERM without
 * root, ENOTTY on other filesystems and before Linux 5.18.
 */
export function encodedRead(native: Native, fd: number, offset: bigint, target: Uint8Array): EncodedAnswer {
  const args = argumentsFor(native, offset, target);
  const result = native.call("ioctl", [fd, ENCODED_READ.number, args], target);
  return answerOf(native, fd, result, args);
}

/** As `encodedRead`, on another thread; several at once run at once. `target` is lent until it settles. */
export async function encodedReadAsync(
  native: Native,
  fd: number,
  offset: bigint,
  target: Uint8Array,
): Promise<EncodedAnswer> {
  const args = argumentsFor(native, offset, target);
  const result = await native.callAsync("ioctl", [fd, ENCODED_READ.number, args], target);
  return answerOf(native, fd, result, args);
}

/**
 * `BTRFS_IOC_ENCODED_WRITE`: stores compressed bytes as they are, unopened and unchecked.
 *
 * @returns Bytes taken: all, or 0 when there is nothing to do.
 * @throws {EncodedIoError} EINVAL, ENOSPC or ENOTTY: decode and write instead; anything else is final.
 */
export function encodedWrite(native: Native, fd: number, io: EncodedIo, data: Uint8Array): number {
  const args = argumentsFor(native, io.offset, data, io);
  const result = native.call("ioctl", [fd, ENCODED_WRITE.number, args], data);
  return result >= 0 ? result : refuse(native, fd, ENCODED_WRITE, -result, io.offset);
}

/** As `encodedWrite`, on another thread. `data` is lent until it settles. */
export async function encodedWriteAsync(native: Native, fd: number, io: EncodedIo, data: Uint8Array): Promise<number> {
  const args = argumentsFor(native, io.offset, data, io);
  const result = await native.callAsync("ioctl", [fd, ENCODED_WRITE.number, args], data);
  return result >= 0 ? result : refuse(native, fd, ENCODED_WRITE, -result, io.offset);
}

/** The argument and its one iovec in one piece of memory; the data is held by the caller of the kernel. */
function argumentsFor(native: Native, offset: bigint, data: Uint8Array, io?: EncodedIo): Uint8Array {
  const memory = scratch(EncodedIoArgs.byteLength + Iovec.byteLength).fill(0);
  const view = viewOf(memory);
  const args = new EncodedIoArgs(view);
  const iovec = new Iovec(view, EncodedIoArgs.byteLength);
  iovec.base = native.addressOf(data);
  iovec.len = BigInt(data.byteLength);
  args.iov = native.addressOf(memory) + BigInt(EncodedIoArgs.byteLength);
  args.iovcnt = 1n;
  args.offset = fits(BigInt.asIntN(64, offset), offset, "offset");
  if (io === undefined) return memory;
  args.len = fits(BigInt.asUintN(64, io.length), io.length, "length");
  args.unencodedLen = fits(BigInt.asUintN(64, io.unencodedLength), io.unencodedLength, "unencoded length");
  args.unencodedOffset = fits(BigInt.asUintN(64, io.unencodedOffset), io.unencodedOffset, "unencoded offset");
  args.compression = io.compression;
  args.encryption = io.encryption;
  return memory;
}

/** What the struct cannot hold must not wrap around into something that it can. */
function fits(stored: bigint, value: bigint, what: string): bigint {
  if (stored === value) return value;
  throw new EncodedIoError("EINVAL", `Cannot use ${what}: ${value} does not fit into 64 bits`);
}

function answerOf(native: Native, fd: number, result: number, memory: Uint8Array): EncodedAnswer {
  const args = new EncodedIoArgs(viewOf(memory));
  if (result < 0) refuse(native, fd, ENCODED_READ, -result, args.offset);
  if (args.reserved.some((byte) => byte !== 0)) {
    throw new EncodedIoError("EOPNOTSUPP", "Cannot use encoded data: the kernel tells more of it than is known here");
  }
  return {
    byteLength: result,
    offset: args.offset,
    length: args.len,
    unencodedLength: args.unencodedLen,
    unencodedOffset: args.unencodedOffset,
    compression: args.compression,
    encryption: args.encryption,
  };
}

function refuse(native: Native, fd: number, request: Request, errno: number, offset: bigint): never {
  const act = request === ENCODED_READ ? "read encoded" : "write encoded";
  const context = describe(fd, request, { act, help: HELP });
  const where = { ...whereOf(native, context), fileOffset: offset };
  throw new EncodedIoError(errnoName(errno), refusal(errno, request.name, context), { where });
}

/**
 * The encoded extents of an open file of a mounted btrfs: the same interfaces as a file of an image.
 *
 * Reads ask the kernel, except behind the data of an inline extent, where it would hand out foreign bytes: there the
 * answer is a hole up to the end of the sector, as that of an image. That takes a second look at the start of the file
 * for offsets inside the first sector. A hole of more than 128 KiB is asked for again after a flush, because the first
 * answer may leave out data that is not written yet. A file that is changed at that very moment may be seen between two
 * states.
 */
export class LiveFile implements EncodedReader, EncodedWriter {
  readonly fd: number;
  readonly #native: Native;
  readonly #sectorSize: bigint;

  /**
   * @param fd A regular file on btrfs; it stays the caller's to close.
   * @throws {BtrfsError} `kind` for anything else.
   */
  constructor(native: Native, fd: number) {
    if ((statx(native, fd, undefined).mode & constants.S_IFMT) !== constants.S_IFREG) {
      throw new BtrfsError("kind", "Cannot use encoded data: it is no regular file", {
        where: whereOf(native, { act: "", fd }),
      });
    }
    if (!isBtrfs(native, fd)) {
      throw new BtrfsError("kind", "Cannot use encoded data: the file is not on btrfs", {
        where: whereOf(native, { act: "", fd }),
      });
    }
    this.fd = fd;
    this.#native = native;
    this.#sectorSize = fstatfs(native, fd).bsize;
  }

  async readEncoded(offset: bigint, target: Uint8Array): Promise<EncodedAnswer> {
    if (offset > 0n && offset < this.#sectorSize && target.byteLength > 0) {
      const tail = await this.#inlineTail(offset);
      if (tail > 0n) return zeroes(offset, target, tail);
    }
    const answer = await encodedReadAsync(this.#native, this.fd, offset, target);
    const flushed = MAX_ENCODED_BYTES - Number(BigInt.asUintN(64, offset) % this.#sectorSize);
    if (answer.compression !== ENCODED_NONE || answer.byteLength <= flushed) return answer;
    await fsyncAsync(this.#native, this.fd);
    return encodedReadAsync(this.#native, this.fd, offset, target);
  }

  async writeEncoded(io: EncodedIo, data: Uint8Array): Promise<number> {
    return encodedWriteAsync(this.#native, this.fd, io, data);
  }

  /** Bytes from `offset` to the end of the sector or file, when the inline extent before it ends at or before `offset`; else 0. */
  async #inlineTail(offset: bigint): Promise<bigint> {
    const size = statx(this.#native, this.fd, undefined).size;
    if (offset >= size) return 0n;
    const first = await encodedReadAsync(this.#native, this.fd, 0n, new Uint8Array(MAX_ENCODED_BYTES));
    if (first.length > offset) return 0n;
    if (size <= this.#sectorSize) return size - offset;
    return this.#sectorSize - offset;
  }
}

function zeroes(offset: bigint, target: Uint8Array, available: bigint): EncodedAnswer {
  const byteLength = Math.min(target.byteLength, Number(available));
  target.fill(0, 0, byteLength);
  const length = BigInt(byteLength);
  return { byteLength, offset, length, unencodedLength: length, unencodedOffset: 0n, compression: 0, encryption: 0 };
}
