import { bytes, nested, s64, struct, u8, u16, u32, u64 } from "../bytes/struct.ts";

// Arguments of the ioctls as `linux/btrfs.h`, `linux/fs.h`, `linux/fiemap.h` and `linux/fsverity.h` lay them out for
// 64-bit processes. They are aligned and not packed: padding is a field here. A pointer is a u64.

/** `struct btrfs_ioctl_vol_args`. */
export const VolArgs = struct("btrfs_ioctl_vol_args", 4096, { fd: s64, name: bytes(4088) });

/** `struct btrfs_ioctl_vol_args_v2`, with a name. */
export const VolArgsV2 = struct("btrfs_ioctl_vol_args_v2", 4096, {
  /** Snapshot: the subvolume to take it of. */
  fd: s64,
  transid: u64,
  flags: u64,
  unused: bytes(32),
  name: bytes(4040),
});

/** `struct btrfs_ioctl_vol_args_v2`, with a subvolume id in place of the name. */
export const VolArgsById = struct("btrfs_ioctl_vol_args_v2", 4096, {
  fd: s64,
  transid: u64,
  flags: u64,
  unused: bytes(32),
  subvolid: u64,
  rest: bytes(4032),
});

/** `struct btrfs_ioctl_timespec`. */
export const IoctlTimespec = struct("btrfs_ioctl_timespec", 16, { sec: s64, nsec: u32, padding: u32 });

/** `struct btrfs_ioctl_get_subvol_info_args`. */
export const SubvolInfoArgs = struct("btrfs_ioctl_get_subvol_info_args", 504, {
  treeid: u64,
  name: bytes(256),
  parentId: u64,
  dirid: u64,
  generation: u64,
  flags: u64,
  uuid: bytes(16),
  parentUuid: bytes(16),
  receivedUuid: bytes(16),
  ctransid: u64,
  otransid: u64,
  stransid: u64,
  rtransid: u64,
  ctime: nested(IoctlTimespec),
  otime: nested(IoctlTimespec),
  stime: nested(IoctlTimespec),
  rtime: nested(IoctlTimespec),
  reserved: bytes(64),
});

/** `struct btrfs_ioctl_get_subvol_rootref_args`: 255 pairs of treeid and dirid. */
export const SubvolRootrefArgs = struct("btrfs_ioctl_get_subvol_rootref_args", 4096, {
  minTreeid: u64,
  rootref: bytes(4080),
  numItems: u8,
  align: bytes(7),
});

/** `struct btrfs_ioctl_received_subvol_args`. */
export const ReceivedSubvolArgs = struct("btrfs_ioctl_received_subvol_args", 200, {
  uuid: bytes(16),
  stransid: u64,
  rtransid: u64,
  stime: nested(IoctlTimespec),
  rtime: nested(IoctlTimespec),
  flags: u64,
  reserved: bytes(128),
});

/** `struct btrfs_ioctl_fs_info_args`. */
export const FsInfoArgs = struct("btrfs_ioctl_fs_info_args", 1024, {
  maxId: u64,
  numDevices: u64,
  fsid: bytes(16),
  nodesize: u32,
  sectorsize: u32,
  cloneAlignment: u32,
  csumType: u16,
  csumSize: u16,
  flags: u64,
  generation: u64,
  metadataUuid: bytes(16),
  reserved: bytes(944),
});

/** `struct btrfs_ioctl_dev_info_args`. */
export const DevInfoArgs = struct("btrfs_ioctl_dev_info_args", 4096, {
  devid: u64,
  uuid: bytes(16),
  bytesUsed: u64,
  totalBytes: u64,
  /** Filesystem of the device, since Linux 6.3; zero before. */
  fsid: bytes(16),
  unused: bytes(3016),
  path: bytes(1024),
});

/** `struct btrfs_ioctl_get_dev_stats`: values in the order of `enum btrfs_dev_stat_values`, and room for more. */
export const GetDevStats = struct("btrfs_ioctl_get_dev_stats", 1032, {
  devid: u64,
  nrItems: u64,
  flags: u64,
  values: bytes(40),
  unused: bytes(968),
});

/** `struct btrfs_ioctl_space_args`; as many `SpaceInfo` as `spaceSlots` follow. */
export const SpaceArgs = struct("btrfs_ioctl_space_args", 16, { spaceSlots: u64, totalSpaces: u64 });
/** `struct btrfs_ioctl_space_info`. */
export const SpaceInfo = struct("btrfs_ioctl_space_info", 24, { flags: u64, totalBytes: u64, usedBytes: u64 });

/** `struct btrfs_ioctl_feature_flags`. */
export const FeatureFlags = struct("btrfs_ioctl_feature_flags", 24, {
  compatFlags: u64,
  compatRoFlags: u64,
  incompatFlags: u64,
});

/** `struct btrfs_ioctl_search_args_v2`: the key's fields, and the size of the buffer that follows. */
export const SearchArgsV2 = struct("btrfs_ioctl_search_args_v2", 112, {
  treeId: u64,
  minObjectid: u64,
  maxObjectid: u64,
  minOffset: u64,
  maxOffset: u64,
  minTransid: u64,
  maxTransid: u64,
  minType: u32,
  maxType: u32,
  nrItems: u32,
  unused: bytes(36),
  bufSize: u64,
});

/** `struct btrfs_ioctl_search_header`; `len` bytes of the item follow. */
export const SearchHeader = struct("btrfs_ioctl_search_header", 32, {
  transid: u64,
  objectid: u64,
  offset: u64,
  type: u32,
  len: u32,
});

/** `struct btrfs_ioctl_ino_lookup_args`. */
export const InoLookupArgs = struct("btrfs_ioctl_ino_lookup_args", 4096, {
  treeid: u64,
  objectid: u64,
  name: bytes(4080),
});

/** `struct btrfs_ioctl_ino_path_args`. */
export const InoPathArgs = struct("btrfs_ioctl_ino_path_args", 56, {
  inum: u64,
  size: u64,
  reserved: bytes(32),
  fspath: u64,
});

/** `struct btrfs_ioctl_logical_ino_args`. */
export const LogicalInoArgs = struct("btrfs_ioctl_logical_ino_args", 56, {
  logical: u64,
  size: u64,
  reserved: bytes(24),
  flags: u64,
  inodes: u64,
});

/** `struct btrfs_data_container`; u64 values follow. */
export const DataContainer = struct("btrfs_data_container", 16, {
  bytesLeft: u32,
  bytesMissing: u32,
  elemCnt: u32,
  elemMissed: u32,
});

/** `struct btrfs_ioctl_send_args`. */
export const SendArgs = struct("btrfs_ioctl_send_args", 72, {
  sendFd: s64,
  cloneSourcesCount: u64,
  cloneSources: u64,
  parentRoot: u64,
  flags: u64,
  version: u32,
  reserved: bytes(28),
});

/** `struct btrfs_ioctl_encoded_io_args`. */
export const EncodedIoArgs = struct("btrfs_ioctl_encoded_io_args", 128, {
  iov: u64,
  iovcnt: u64,
  offset: s64,
  flags: u64,
  len: u64,
  unencodedLen: u64,
  unencodedOffset: u64,
  compression: u32,
  encryption: u32,
  reserved: bytes(64),
});

/** `struct iovec`. */
export const Iovec = struct("iovec", 16, { base: u64, len: u64 });

/** `struct file_clone_range`. */
export const CloneRangeArgs = struct("file_clone_range", 32, {
  srcFd: s64,
  srcOffset: u64,
  srcLength: u64,
  destOffset: u64,
});

/** `struct fiemap`; `struct fiemap_extent`s follow. */
export const FiemapArgs = struct("fiemap", 32, {
  start: u64,
  length: u64,
  flags: u32,
  mappedExtents: u32,
  extentCount: u32,
  reserved: u32,
});

/** `struct fiemap_extent`. On btrfs `physical` is a logical address, and `length` counts decoded bytes. */
export const FiemapExtent = struct("fiemap_extent", 56, {
  logical: u64,
  physical: u64,
  length: u64,
  reserved64: bytes(16),
  flags: u32,
  reserved: bytes(12),
});

/** `struct fsverity_enable_arg`. */
export const VerityEnableArgs = struct("fsverity_enable_arg", 128, {
  version: u32,
  hashAlgorithm: u32,
  blockSize: u32,
  saltSize: u32,
  saltPtr: u64,
  sigSize: u32,
  reserved1: u32,
  sigPtr: u64,
  reserved2: bytes(88),
});

/** `struct fsverity_digest`; the digest follows. */
export const VerityDigest = struct("fsverity_digest", 4, { digestAlgorithm: u16, digestSize: u16 });
