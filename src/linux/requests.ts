/** Where `_IOC` of `asm/ioctl.h` puts the direction, and how many bits the size has. */
export interface IocLayout {
  readonly sizeBits: number;
  readonly none: number;
  readonly read: number;
  readonly write: number;
}

const COMMON: IocLayout = { sizeBits: 14, none: 0, write: 1, read: 2 };
/** MIPS, PowerPC, SPARC, Alpha: one bit less for the size, and other directions. */
const OTHER: IocLayout = { sizeBits: 13, none: 1, read: 2, write: 4 };

/** @param arch As `process.arch` says it. */
export function iocLayoutOf(arch: string): IocLayout {
  return /^(mips|ppc|sparc|alpha)/.test(arch) ? OTHER : COMMON;
}

/** `_IOC`: the number of an ioctl from its parts. 8 bits of number, 8 of type, then size and direction. */
export function ioc(layout: IocLayout, direction: number, type: number, number: number, size: number): number {
  if (size >>> layout.sizeBits !== 0) throw new RangeError(`Cannot number ioctl: a size of ${size} does not fit`);
  return ((direction << (16 + layout.sizeBits)) | (size << 16) | (type << 8) | number) >>> 0;
}

/** An ioctl: its number, and what its errors should tell. */
export interface Request {
  /** As `BTRFS_IOC_SEND`. */
  readonly name: string;
  readonly number: number;
  /** First Linux that has it, where that is a fact to tell. */
  readonly since?: string | undefined;
  /** The kernel wants CAP_SYS_ADMIN for all of it. */
  readonly root?: boolean | undefined;
}

const layout = iocLayoutOf(process.arch);
const BTRFS = 0x94;
const FILE = 0x66; // 'f'

interface Facts {
  readonly type?: number;
  readonly since?: string;
  readonly root?: boolean;
}

function request(direction: number, name: string, number: number, size: number, facts: Facts): Request {
  const { type = BTRFS, since, root } = facts;
  return { name, number: ioc(layout, direction, type, number, size), since, root };
}

/** An ioctl without an argument. */
const io = (name: string, number: number, facts: Facts = {}) => request(layout.none, name, number, 0, facts);
/** The kernel reads the argument of `size` bytes. */
const iow = (name: string, number: number, size: number, facts: Facts = {}) =>
  request(layout.write, name, number, size, facts);
/** The kernel fills the argument. */
const ior = (name: string, number: number, size: number, facts: Facts = {}) =>
  request(layout.read, name, number, size, facts);
const iowr = (name: string, number: number, size: number, facts: Facts = {}) =>
  request(layout.read | layout.write, name, number, size, facts);

const root = { root: true };

// Sizes are those of the C structs: the layouts are in structs.ts, and a test holds both against the headers.
export const SNAP_DESTROY = iow("BTRFS_IOC_SNAP_DESTROY", 15, 4096);
export const SNAP_DESTROY_V2 = iow("BTRFS_IOC_SNAP_DESTROY_V2", 63, 4096, { since: "5.7" });
export const SUBVOL_CREATE_V2 = iow("BTRFS_IOC_SUBVOL_CREATE_V2", 24, 4096);
export const SNAP_CREATE_V2 = iow("BTRFS_IOC_SNAP_CREATE_V2", 23, 4096);
export const SUBVOL_GETFLAGS = ior("BTRFS_IOC_SUBVOL_GETFLAGS", 25, 8);
export const SUBVOL_SETFLAGS = iow("BTRFS_IOC_SUBVOL_SETFLAGS", 26, 8);
export const GET_SUBVOL_INFO = ior("BTRFS_IOC_GET_SUBVOL_INFO", 60, 504, { since: "4.18" });
export const GET_SUBVOL_ROOTREF = iowr("BTRFS_IOC_GET_SUBVOL_ROOTREF", 61, 4096, { since: "4.18" });
export const SET_RECEIVED_SUBVOL = iowr("BTRFS_IOC_SET_RECEIVED_SUBVOL", 37, 200);
export const DEFAULT_SUBVOL = iow("BTRFS_IOC_DEFAULT_SUBVOL", 19, 8, root);

export const SYNC = io("BTRFS_IOC_SYNC", 8);
export const START_SYNC = ior("BTRFS_IOC_START_SYNC", 24, 8);
export const WAIT_SYNC = iow("BTRFS_IOC_WAIT_SYNC", 22, 8);
export const FS_INFO = ior("BTRFS_IOC_FS_INFO", 31, 1024);
export const DEV_INFO = iowr("BTRFS_IOC_DEV_INFO", 30, 4096, root);
export const GET_DEV_STATS = iowr("BTRFS_IOC_GET_DEV_STATS", 52, 1032);
export const SPACE_INFO = iowr("BTRFS_IOC_SPACE_INFO", 20, 16);
export const GET_FEATURES = ior("BTRFS_IOC_GET_FEATURES", 57, 24);

export const TREE_SEARCH_V2 = iowr("BTRFS_IOC_TREE_SEARCH_V2", 17, 112, root);
export const INO_LOOKUP = iowr("BTRFS_IOC_INO_LOOKUP", 18, 4096);
export const INO_PATHS = iowr("BTRFS_IOC_INO_PATHS", 35, 56, root);
export const LOGICAL_INO_V2 = iowr("BTRFS_IOC_LOGICAL_INO_V2", 59, 56, { since: "4.15", root: true });

export const SEND = iow("BTRFS_IOC_SEND", 38, 72, root);
export const ENCODED_READ = ior("BTRFS_IOC_ENCODED_READ", 64, 128, { since: "5.18", root: true });
export const ENCODED_WRITE = iow("BTRFS_IOC_ENCODED_WRITE", 64, 128, { since: "5.18", root: true });

export const CLONE_RANGE = iow("FICLONERANGE", 13, 32);
/** Numbered with the size of a long, though the kernel moves an int. */
export const GETFLAGS = ior("FS_IOC_GETFLAGS", 1, 8, { type: FILE });
export const SETFLAGS = iow("FS_IOC_SETFLAGS", 2, 8, { type: FILE });
export const FIEMAP = iowr("FS_IOC_FIEMAP", 11, 32, { type: FILE });
export const ENABLE_VERITY = iow("FS_IOC_ENABLE_VERITY", 133, 128, { type: FILE, since: "5.15" });
export const MEASURE_VERITY = iowr("FS_IOC_MEASURE_VERITY", 134, 4, { type: FILE, since: "5.15" });
