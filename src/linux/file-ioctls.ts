import { newStruct } from "../bytes/struct.ts";
import { bytesOf, ioctl, ioctlAsync } from "./ioctl.ts";
import type { Native } from "./native.ts";
import { CLONE_RANGE, ENABLE_VERITY, FIEMAP, GETFLAGS, MEASURE_VERITY, SETFLAGS } from "./requests.ts";
import { CloneRangeArgs, FiemapArgs, FiemapExtent, VerityDigest, VerityEnableArgs } from "./structs.ts";

/** `FS_*_FL` of `linux/fs.h`: inode flags as `chattr` and `lsattr` know them. */
export const FS_COMPR_FL = 0x4;
export const FS_SYNC_FL = 0x8;
export const FS_IMMUTABLE_FL = 0x10;
export const FS_APPEND_FL = 0x20;
export const FS_NODUMP_FL = 0x40;
export const FS_NOATIME_FL = 0x80;
export const FS_NOCOMP_FL = 0x400;
export const FS_DIRSYNC_FL = 0x10000;
export const FS_VERITY_FL = 0x100000;
export const FS_NOCOW_FL = 0x800000;

export function getFileFlags(native: Native, fd: number): number {
  // The kernel writes an int whatever the request's size says; the rest stays zero.
  const flags = new Uint32Array(2);
  ioctl(native, fd, GETFLAGS, new Uint8Array(flags.buffer), { act: "read inode flags" });
  return flags[0]!;
}

export function setFileFlags(native: Native, fd: number, flags: number): void {
  const args = new Uint8Array(Uint32Array.of(flags, 0).buffer);
  ioctl(native, fd, SETFLAGS, args, { act: "set inode flags", help: { EPERM: "immutable and append-only need root" } });
}

const CLONE_HELP = {
  EINVAL: "offsets and length have to be multiples of the sector size, the end of the source excepted",
  EXDEV: "both files have to be on one filesystem",
};

/** Shares bytes of `from` with `to`. A `length` of 0 means: up to the end of the source. */
export function cloneRange(
  native: Native,
  from: { fd: number; offset: bigint },
  to: { fd: number; offset: bigint },
  length: bigint,
): void {
  const args = newStruct(CloneRangeArgs);
  args.srcFd = BigInt(from.fd);
  args.srcOffset = from.offset;
  args.srcLength = length;
  args.destOffset = to.offset;
  ioctl(native, to.fd, CLONE_RANGE, bytesOf(args), { act: "clone range", help: CLONE_HELP });
}

/** `FIEMAP_EXTENT_*` flags. */
export const FIEMAP_EXTENT_LAST = 0x1;
export const FIEMAP_EXTENT_ENCODED = 0x8;
export const FIEMAP_EXTENT_DATA_INLINE = 0x200;
export const FIEMAP_EXTENT_UNWRITTEN = 0x800;
export const FIEMAP_EXTENT_SHARED = 0x2000;

/** A mapped range of a file, in bytes. On btrfs `physical` is a logical address of the filesystem. */
export interface MappedExtent {
  readonly logical: bigint;
  readonly physical: bigint;
  readonly length: bigint;
  /** `FIEMAP_EXTENT_*`. */
  readonly flags: number;
}

const FIEMAP_FLAG_SYNC = 1;
const EXTENTS_PER_CALL = 256;

/** The mapped extents of a file from `start` on; its dirty pages are written first. Holes are left out. */
export function* mappedExtents(native: Native, fd: number, start = 0n): Generator<MappedExtent> {
  const buffer = new Uint8Array(FiemapArgs.byteLength + EXTENTS_PER_CALL * FiemapExtent.byteLength);
  const view = new DataView(buffer.buffer);
  const args = new FiemapArgs(view);
  for (let next = start; ; ) {
    args.start = next;
    args.length = (1n << 64n) - 1n - next;
    args.flags = FIEMAP_FLAG_SYNC;
    args.extentCount = EXTENTS_PER_CALL;
    ioctl(native, fd, FIEMAP, buffer, { act: "map extents" });
    if (args.mappedExtents === 0) return;
    for (let slot = 0; slot < args.mappedExtents; slot++) {
      const { logical, physical, length, flags } = new FiemapExtent(
        view,
        FiemapArgs.byteLength + slot * FiemapExtent.byteLength,
      );
      yield { logical, physical, length, flags };
      if ((flags & FIEMAP_EXTENT_LAST) !== 0) return;
      next = logical + length;
    }
  }
}

/** What fs-verity hashes a file with. */
export interface VeritySettings {
  /** `FS_VERITY_HASH_ALG_*`: 1 is sha256, 2 is sha512. */
  readonly hashAlgorithm: number;
  readonly blockSize: number;
  /** At most 32 bytes. */
  readonly salt?: Uint8Array | undefined;
  readonly signature?: Uint8Array | undefined;
}

/** Seals a file for good: it becomes read-only and is verified when read. `fd` has to be open for reading only. */
export async function enableVerity(native: Native, fd: number, settings: VeritySettings): Promise<void> {
  const { hashAlgorithm, blockSize, salt, signature } = settings;
  const args = newStruct(VerityEnableArgs);
  args.version = 1;
  args.hashAlgorithm = hashAlgorithm;
  args.blockSize = blockSize;
  args.saltSize = salt?.byteLength ?? 0;
  args.saltPtr = salt?.byteLength ? native.addressOf(salt) : 0n;
  args.sigSize = signature?.byteLength ?? 0;
  args.sigPtr = signature?.byteLength ? native.addressOf(signature) : 0n;
  const context = { act: "enable verity", help: { ETXTBSY: "close every writer first", EEXIST: "it is enabled" } };
  await ioctlAsync(native, fd, ENABLE_VERITY, bytesOf(args), context, [salt, signature]);
}

/** The digest that fs-verity knows a file by. */
export function measureVerity(native: Native, fd: number): { hashAlgorithm: number; digest: Uint8Array } {
  const buffer = new Uint8Array(VerityDigest.byteLength + 64);
  const args = new VerityDigest(new DataView(buffer.buffer));
  args.digestSize = 64;
  ioctl(native, fd, MEASURE_VERITY, buffer, { act: "read verity digest", help: { ENODATA: "it is not enabled" } });
  return { hashAlgorithm: args.digestAlgorithm, digest: buffer.slice(4, 4 + args.digestSize) };
}
