import { appendExtent, appendInline, isEmptyFile, openEnd } from "../edit/append.ts";
import { dropExtents, insertExtent, insertInline } from "../edit/extents.ts";
import { noteWrite, prepareWrite } from "../edit/file.ts";
import { type InodeView, inodeView, readInode } from "../edit/inode.ts";
import { ceil, larger } from "../edit/offsets.ts";
import { isKnownWritable, type Place } from "../edit/place.ts";
import { maxInlineBytes } from "../edit/sectors.ts";
import { dropCapability } from "../edit/xattr.ts";
import { BtrfsError, EncodedIoError } from "../errors.ts";
import {
  ENCODED_LZO_4K,
  ENCODED_LZO_64K,
  ENCODED_NONE,
  ENCODED_ZLIB,
  type EncodedIo,
  type EncodedWriter,
  MAX_ENCODED_BYTES,
} from "../format/encoded-io.ts";
import { COMPRESS_LZO, COMPRESS_ZLIB, COMPRESS_ZSTD, DEFAULT_MAX_INLINE } from "../format/file-extent.ts";
import { INODE_APPEND, INODE_IMMUTABLE, INODE_NODATASUM, INODE_RO_VERITY, S_IFMT, S_IFREG } from "../format/inode.ts";
import { XATTR_ITEM } from "../format/key-type.ts";
import { ROOT_SUBVOL_RDONLY } from "../format/root.ts";
import type { StoredData } from "../transaction/data-store.ts";
import type { MaybePromise } from "../transaction/editor.ts";

const TWO_63 = 1n << 63n;

/**
 * Writes already compressed extents to a file of an image, unopened, by the rules and with the errnos of
 * `BTRFS_IOC_ENCODED_WRITE`. Stricter than the kernel, which looks at these when a file is opened: a read-only subvolume
 * is EROFS, an immutable file EPERM, and so is an append-only one but at its end, and one with fs-verity. The superblock
 * gets the feature bit of the algorithm. As for root, the file loses its capability and keeps setuid and setgid.
 */
export function encodedWriter(at: Place, inode: bigint): EncodedWriter {
  return { writeEncoded: (io, data) => writeEncoded(at, inode, io, data) };
}

/** As `EncodedWriter.writeEncoded`, for one file. @throws {EncodedIoError} */
export async function writeEncoded(at: Place, inode: bigint, io: EncodedIo, data: Uint8Array): Promise<number> {
  return writeEncodedNow(at, inode, io, data);
}

/** As `writeEncoded`, without waiting where nothing has to be waited for. The data is copied before this returns, or settles. */
export function writeEncodedNow(at: Place, inode: bigint, io: EncodedIo, data: Uint8Array): MaybePromise<number> {
  if (!checkRequest(io, data, failure(at, inode))) return 0;
  if (!isKnownWritable(at)) return writeLater(at, inode, io, data);
  const done = append(at, inode, io, data);
  if (done === undefined) return writeLater(at, inode, io, data);
  return done instanceof Promise ? asErrno(at, inode, io, done) : done;
}

async function writeLater(at: Place, inode: bigint, io: EncodedIo, data: Uint8Array): Promise<number> {
  const fail = failure(at, inode);
  const item = await readInode(at, inode);
  await checkSubvolume(at, fail);
  checkFile(item, io, fail);
  checkExtent(at, item, io, data, fail);
  return asErrno(
    at,
    inode,
    io,
    dropCapability(at, inode)
      .then(() => store(at, inode, item, io, data))
      .then(() => data.byteLength),
  );
}

async function asErrno<T>(at: Place, inode: bigint, io: EncodedIo, done: Promise<T>): Promise<T> {
  try {
    return await done;
  } catch (error) {
    if (!(error instanceof BtrfsError) || error.code !== "space") throw error;
    throw new EncodedIoError("ENOSPC", error.sentence, {
      where: { tree: at.tree, inode, fileOffset: io.offset },
      cause: error,
    });
  }
}

/** Puts it behind all that the file has; `undefined` where one has to look for what is there. */
function append(at: Place, inode: bigint, io: EncodedIo, data: Uint8Array): MaybePromise<number> | undefined {
  const { sectorSize } = at.tx.volume;
  const end = openEnd(at, inode, io.offset);
  // A capability goes with the old content.
  if (end === undefined || at.tx.items(at.tree).hasAny(end.inode, XATTR_ITEM)) return undefined;
  const fail = failure(at, inode);
  const item = inodeView(at, end.item);
  checkFile(item, io, fail);
  checkExtent(at, item, io, data, fail);
  const compression = onDisk(io.compression);
  if (isInline(at, item, io, data)) {
    if (!isEmptyFile(at, end)) return undefined;
    appendInline(at, end, data, Number(io.length), compression);
    return data.byteLength;
  }
  const whole = (length: bigint): number => Math.ceil(Number(length) / sectorSize) * sectorSize;
  const put = (stored: StoredData): number => {
    appendExtent(at, end, stored, {
      at: Number(io.offset),
      ramBytes: whole(io.unencodedLength),
      offset: Number(io.unencodedOffset),
      numBytes: whole(io.length),
      compression,
      end: Number(io.offset + io.length),
    });
    return data.byteLength;
  };
  const stored = at.tx.data.write(data);
  return stored instanceof Promise ? stored.then(put) : put(stored);
}

type Fail = (errno: string, why: string) => never;

function failure({ tree }: Place, inode: bigint): Fail {
  return (errno, why) => {
    throw new EncodedIoError(errno, `Cannot write encoded data: ${why}`, { where: { tree, inode } });
  };
}

/** What is wrong whatever the file. @returns Whether there is anything to do. */
function checkRequest(io: EncodedIo, data: Uint8Array, fail: Fail): boolean {
  const { offset, length, unencodedLength, unencodedOffset, compression, encryption } = io;
  if (compression === ENCODED_NONE && encryption === 0) fail("EINVAL", "it is neither compressed nor encrypted");
  if (compression > ENCODED_LZO_64K || encryption !== 0) {
    fail("EINVAL", `compression ${compression} and encryption ${encryption} are not known`);
  }
  if (unencodedOffset > unencodedLength || length > unencodedLength - unencodedOffset) {
    fail("EINVAL", `${length} bytes from ${unencodedOffset} are more than the ${unencodedLength} that it decodes to`);
  }
  if (data.byteLength === 0) return false;
  if (offset < 0n || length >= TWO_63 || offset + length >= TWO_63) {
    fail("EINVAL", `${length} bytes at ${offset} do not lie in a file`);
  }
  return length > 0n;
}

function checkFile({ mode, flags, size }: InodeView, { offset }: EncodedIo, fail: Fail): void {
  if ((mode & S_IFMT) !== S_IFREG) fail("EINVAL", "it is no regular file");
  if ((flags & BigInt(INODE_IMMUTABLE)) !== 0n) fail("EPERM", "the file is immutable");
  if ((flags & BigInt(INODE_APPEND)) !== 0n && offset !== size) fail("EPERM", "the file is append-only");
  if (((flags >> 32n) & BigInt(INODE_RO_VERITY)) !== 0n) fail("EPERM", "fs-verity protects the file");
}

async function checkSubvolume({ tx, tree }: Place, fail: Fail): Promise<void> {
  const root = await tx.rootItem(tree);
  if (root !== undefined && (root.item.flags & ROOT_SUBVOL_RDONLY) !== 0n) fail("EROFS", "the subvolume is read-only");
}

function checkExtent({ tx }: Place, item: InodeView, io: EncodedIo, data: Uint8Array, fail: Fail): void {
  const { sectorSize } = tx.volume;
  const sector = BigInt(sectorSize);
  const { offset, length, unencodedLength, unencodedOffset, compression } = io;
  const end = offset + length;
  if (compression >= ENCODED_LZO_4K && 4096 << (compression - ENCODED_LZO_4K) !== sectorSize) {
    fail(
      "EINVAL",
      `it is lzo for sectors of ${4096 << (compression - ENCODED_LZO_4K)} bytes, those here have ${sectorSize}`,
    );
  }
  if ((item.flags & BigInt(INODE_NODATASUM)) !== 0n) fail("EINVAL", "the file has no checksums");
  if (unencodedLength > MAX_ENCODED_BYTES || data.byteLength > MAX_ENCODED_BYTES) {
    fail("EINVAL", `${data.byteLength} bytes that decode to ${unencodedLength} are over ${MAX_ENCODED_BYTES}`);
  }
  if (BigInt(data.byteLength) >= unencodedLength) {
    fail("EINVAL", `${data.byteLength} bytes that decode to ${unencodedLength} are not compressed`);
  }
  if (offset % sector !== 0n) fail("EINVAL", `file offset ${offset} is not a multiple of ${sector}`);
  if (end < item.size && end % sector !== 0n) {
    fail("EINVAL", `it ends at ${end}, before the file and not at a multiple of ${sector}`);
  }
  if (unencodedOffset % sector !== 0n) fail("EINVAL", `offset ${unencodedOffset} in it is not a multiple of ${sector}`);
}

async function store(at: Place, inode: bigint, item: InodeView, io: EncodedIo, data: Uint8Array): Promise<void> {
  const { sectorSize } = at.tx.volume;
  const sector = BigInt(sectorSize);
  const { offset, length, unencodedLength, unencodedOffset } = io;
  const compression = onDisk(io.compression);
  const numBytes = ceil(length, sector);
  // At the start of a file all that is inline lies within.
  let added = offset === 0n ? 0n : await prepareWrite(at, inode, item, offset, offset);
  added -= await dropExtents(at, inode, offset, offset + numBytes);
  if (isInline(at, item, io, data)) {
    await insertInline(at, inode, data, Number(length), compression);
    added += length;
  } else {
    const { logical, length: stored } = await at.tx.data.write(data);
    const ramBytes = ceil(unencodedLength, sector);
    const extent = { at: offset, numBytes, logical, length: stored, ramBytes, offset: unencodedOffset, compression };
    await insertExtent(at, inode, extent);
    added += numBytes;
  }
  await noteWrite(at, inode, larger(item.size, offset + length), added);
}

/** Whether the kernel would put it into the tree: the whole of a file of one sector at most. */
function isInline(at: Place, { size }: InodeView, io: EncodedIo, data: Uint8Array): boolean {
  const { offset, length, unencodedLength, unencodedOffset } = io;
  if (offset !== 0n || unencodedOffset !== 0n || length !== unencodedLength || length < size) return false;
  if (length > at.tx.volume.sectorSize) return false;
  return data.byteLength <= Math.min(DEFAULT_MAX_INLINE, maxInlineBytes(at));
}

/** The number in file extent items. */
function onDisk(compression: number): number {
  if (compression === ENCODED_ZLIB) return COMPRESS_ZLIB;
  return compression >= ENCODED_LZO_4K ? COMPRESS_LZO : COMPRESS_ZSTD;
}
