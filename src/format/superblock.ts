import { bytes, nested, struct, u8, u16, u32, u64 } from "../bytes/struct.ts";
import { DevItem } from "./chunk.ts";

export const SUPERBLOCK_BYTES = 4096;

/** Where the copies lie on each device, in bytes. A copy exists where the device is longer than its end. */
export const SUPERBLOCK_OFFSETS: readonly number[] = [0x1_0000, 0x400_0000, 0x40_0000_0000];

/** `_BHRfS_M` as a little-endian u64. */
export const SUPERBLOCK_MAGIC = 0x4d5f_5366_5248_425fn;

/** Bytes in front of what a checksum covers: the checksum's own field. The same in tree blocks. */
export const CHECKSUM_FIELD_BYTES = 32;

export const MIN_SECTOR_BYTES = 4096;
export const MAX_NODE_BYTES = 65536;
export const MAX_LEVELS = 8;

/** Bytes of `sysChunkArray`. */
export const SYSTEM_CHUNK_ARRAY_BYTES = 2048;

/** `struct btrfs_root_backup`: roots of a recent commit. A hint: the blocks may have been used again since. */
export const RootBackup = struct("btrfs_root_backup", 168, {
  treeRoot: u64,
  treeRootGeneration: u64,
  chunkRoot: u64,
  chunkRootGeneration: u64,
  extentRoot: u64,
  extentRootGeneration: u64,
  fsRoot: u64,
  fsRootGeneration: u64,
  devRoot: u64,
  devRootGeneration: u64,
  csumRoot: u64,
  csumRootGeneration: u64,
  totalBytes: u64,
  bytesUsed: u64,
  numDevices: u64,
  unused: bytes(32),
  treeRootLevel: u8,
  chunkRootLevel: u8,
  extentRootLevel: u8,
  fsRootLevel: u8,
  devRootLevel: u8,
  csumRootLevel: u8,
  padding: bytes(10),
});

/** `struct btrfs_super_block`. */
export const Superblock = struct("btrfs_super_block", SUPERBLOCK_BYTES, {
  /** Covers everything behind this field. */
  csum: bytes(CHECKSUM_FIELD_BYTES),
  fsid: bytes(16),
  /** Byte offset of this copy on its device. */
  bytenr: u64,
  /** `SUPER_FLAG_*`. */
  flags: u64,
  magic: u64,
  generation: u64,
  /** Logical address of the root tree's root. */
  root: u64,
  chunkRoot: u64,
  /** Logical address of the log trees' root, 0 when there is no log. */
  logRoot: u64,
  logRootTransid: u64,
  /** Sum of the sizes of all devices. */
  totalBytes: u64,
  /** Logical bytes in extents. */
  bytesUsed: u64,
  rootDirObjectid: u64,
  numDevices: u64,
  sectorSize: u32,
  nodeSize: u32,
  leafSize: u32,
  stripeSize: u32,
  /** Bytes of `sysChunkArray` in use. */
  sysChunkArraySize: u32,
  chunkRootGeneration: u64,
  compatFlags: u64,
  compatRoFlags: u64,
  incompatFlags: u64,
  csumType: u16,
  rootLevel: u8,
  chunkRootLevel: u8,
  logRootLevel: u8,
  /** The device that this superblock lies on. */
  devItem: nested(DevItem),
  /** NUL-terminated. */
  label: bytes(256),
  cacheGeneration: u64,
  uuidTreeGeneration: u64,
  /** The UUID inside tree blocks, with `METADATA_UUID`. */
  metadataUuid: bytes(16),
  nrGlobalRoots: u64,
  remapRoot: u64,
  remapRootGeneration: u64,
  remapRootLevel: u8,
  reserved: bytes(199),
  /** Keys and chunks of the SYSTEM chunks, one after the other. */
  sysChunkArray: bytes(SYSTEM_CHUNK_ARRAY_BYTES),
  backup0: nested(RootBackup),
  backup1: nested(RootBackup),
  backup2: nested(RootBackup),
  backup3: nested(RootBackup),
  padding: bytes(565),
});

export const INCOMPAT_MIXED_BACKREF = 1n << 0n;
export const INCOMPAT_DEFAULT_SUBVOL = 1n << 1n;
export const INCOMPAT_MIXED_GROUPS = 1n << 2n;
export const INCOMPAT_COMPRESS_LZO = 1n << 3n;
export const INCOMPAT_COMPRESS_ZSTD = 1n << 4n;
export const INCOMPAT_BIG_METADATA = 1n << 5n;
export const INCOMPAT_EXTENDED_IREF = 1n << 6n;
export const INCOMPAT_RAID56 = 1n << 7n;
export const INCOMPAT_SKINNY_METADATA = 1n << 8n;
export const INCOMPAT_NO_HOLES = 1n << 9n;
export const INCOMPAT_METADATA_UUID = 1n << 10n;
export const INCOMPAT_SIMPLE_QUOTA = 1n << 16n;

export const COMPAT_RO_FREE_SPACE_TREE = 1n << 0n;
export const COMPAT_RO_FREE_SPACE_TREE_VALID = 1n << 1n;
export const COMPAT_RO_BLOCK_GROUP_TREE = 1n << 3n;

export const SUPER_FLAG_WRITTEN = 1n << 0n;
export const SUPER_FLAG_ERROR = 1n << 2n;
export const SUPER_FLAG_SEEDING = 1n << 32n;
export const SUPER_FLAG_METADUMP = 1n << 33n;
export const SUPER_FLAG_METADUMP_V2 = 1n << 34n;
export const SUPER_FLAG_CHANGING_FSID = 1n << 35n;
export const SUPER_FLAG_CHANGING_FSID_V2 = 1n << 36n;
export const SUPER_FLAG_CHANGING_BG_TREE = 1n << 38n;
export const SUPER_FLAG_CHANGING_DATA_CSUM = 1n << 39n;
export const SUPER_FLAG_CHANGING_META_CSUM = 1n << 40n;

/** Names of feature bits, in the spelling of `btrfs inspect-internal dump-super`, lower case with hyphens. */
export const INCOMPAT_NAMES: readonly (readonly [bigint, string])[] = [
  [1n << 0n, "mixed-backref"],
  [1n << 1n, "default-subvol"],
  [1n << 2n, "mixed-groups"],
  [1n << 3n, "compress-lzo"],
  [1n << 4n, "compress-zstd"],
  [1n << 5n, "big-metadata"],
  [1n << 6n, "extended-iref"],
  [1n << 7n, "raid56"],
  [1n << 8n, "skinny-metadata"],
  [1n << 9n, "no-holes"],
  [1n << 10n, "metadata-uuid"],
  [1n << 11n, "raid1c34"],
  [1n << 12n, "zoned"],
  [1n << 13n, "extent-tree-v2"],
  [1n << 14n, "raid-stripe-tree"],
  [1n << 16n, "simple-quota"],
  [1n << 17n, "remap-tree"],
];

/** Incompatible features that are known here and cannot be read: their bytes lie or mean something else. */
export const REFUSED_INCOMPAT = (1n << 12n) | (1n << 13n) | (1n << 14n) | (1n << 17n);

export const COMPAT_RO_NAMES: readonly (readonly [bigint, string])[] = [
  [1n << 0n, "free-space-tree"],
  [1n << 1n, "free-space-tree-valid"],
  [1n << 2n, "verity"],
  [1n << 3n, "block-group-tree"],
];

export const SUPER_FLAG_NAMES: readonly (readonly [bigint, string])[] = [
  [1n << 0n, "written"],
  [1n << 1n, "reloc"],
  [1n << 2n, "error"],
  [1n << 32n, "seeding"],
  [1n << 33n, "metadump"],
  [1n << 34n, "metadump-v2"],
  [1n << 35n, "changing-fsid"],
  [1n << 36n, "changing-fsid-v2"],
  [1n << 38n, "changing-bg-tree"],
  [1n << 39n, "changing-data-csum"],
  [1n << 40n, "changing-meta-csum"],
];
