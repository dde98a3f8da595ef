import { bytes, struct, u8, u16, u32, u64 } from "../bytes/struct.ts";

/** `struct btrfs_dev_item`: a device of the filesystem, in the chunk tree and in its own superblock. */
export const DevItem = struct("btrfs_dev_item", 98, {
  devid: u64,
  totalBytes: u64,
  /** Bytes in chunks. */
  bytesUsed: u64,
  ioAlign: u32,
  ioWidth: u32,
  sectorSize: u32,
  type: u64,
  generation: u64,
  startOffset: u64,
  devGroup: u32,
  seekSpeed: u8,
  bandwidth: u8,
  uuid: bytes(16),
  /** The metadata UUID of the filesystem that the device was made for: a seed device keeps its own. */
  fsid: bytes(16),
});

/** `struct btrfs_stripe`: where on which device a chunk's stripe begins. */
export const Stripe = struct("btrfs_stripe", 32, {
  devid: u64,
  /** Byte offset on the device. */
  offset: u64,
  devUuid: bytes(16),
});

/** `struct btrfs_chunk` without its `numStripes` stripes, which follow. */
export const ChunkItem = struct("btrfs_chunk", 48, {
  /** Logical bytes. */
  length: u64,
  owner: u64,
  /** Bytes on one device before the next one's turn. */
  stripeLen: u64,
  /** `BLOCK_GROUP_*`. */
  type: u64,
  ioAlign: u32,
  ioWidth: u32,
  sectorSize: u32,
  numStripes: u16,
  /** Copies of each stripe of raid10. */
  subStripes: u16,
});

/** `BTRFS_STRIPE_LEN`, the only stripe length there is. */
export const STRIPE_BYTES = 65536;

export const CHUNK_TREE_OWNER = 2n;

export const BLOCK_GROUP_DATA = 0x1;
export const BLOCK_GROUP_SYSTEM = 0x2;
export const BLOCK_GROUP_METADATA = 0x4;
export const BLOCK_GROUP_RAID0 = 0x8;
export const BLOCK_GROUP_RAID1 = 0x10;
export const BLOCK_GROUP_DUP = 0x20;
export const BLOCK_GROUP_RAID10 = 0x40;
export const BLOCK_GROUP_RAID5 = 0x80;
export const BLOCK_GROUP_RAID6 = 0x100;
export const BLOCK_GROUP_RAID1C3 = 0x200;
export const BLOCK_GROUP_RAID1C4 = 0x400;

export const BLOCK_GROUP_TYPE_MASK = BLOCK_GROUP_DATA | BLOCK_GROUP_SYSTEM | BLOCK_GROUP_METADATA;

/** How a chunk spreads its bytes over its stripes. */
export type Profile = "single" | "raid0" | "raid1" | "dup" | "raid10" | "raid5" | "raid6" | "raid1c3" | "raid1c4";

/** What each profile demands: `factor` stripes hold each byte, `parity` stripes of a row hold none. */
export interface ProfileRule {
  readonly bit: number;
  readonly minStripes: number;
  readonly maxStripes: number;
  /** Stripes that hold the same bytes. */
  readonly factor: number;
  readonly parity: number;
  /** Whether 64 KiB pieces alternate between stripes. */
  readonly striped: boolean;
}

const MANY = 65535;

export const PROFILES: Readonly<Record<Profile, ProfileRule>> = {
  single: { bit: 0, minStripes: 1, maxStripes: 1, factor: 1, parity: 0, striped: false },
  raid0: { bit: BLOCK_GROUP_RAID0, minStripes: 1, maxStripes: MANY, factor: 1, parity: 0, striped: true },
  raid1: { bit: BLOCK_GROUP_RAID1, minStripes: 2, maxStripes: 2, factor: 2, parity: 0, striped: false },
  dup: { bit: BLOCK_GROUP_DUP, minStripes: 2, maxStripes: 2, factor: 2, parity: 0, striped: false },
  raid10: { bit: BLOCK_GROUP_RAID10, minStripes: 2, maxStripes: MANY, factor: 2, parity: 0, striped: true },
  raid5: { bit: BLOCK_GROUP_RAID5, minStripes: 2, maxStripes: MANY, factor: 1, parity: 1, striped: true },
  // The field of Q has 255 powers of two.
  raid6: { bit: BLOCK_GROUP_RAID6, minStripes: 3, maxStripes: 257, factor: 1, parity: 2, striped: true },
  raid1c3: { bit: BLOCK_GROUP_RAID1C3, minStripes: 3, maxStripes: 3, factor: 3, parity: 0, striped: false },
  raid1c4: { bit: BLOCK_GROUP_RAID1C4, minStripes: 4, maxStripes: 4, factor: 4, parity: 0, striped: false },
};
