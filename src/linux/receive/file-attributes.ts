import { constants } from "node:fs";
import {
  INODE_APPEND,
  INODE_COMPRESS,
  INODE_DIRSYNC,
  INODE_IMMUTABLE,
  INODE_NOATIME,
  INODE_NOCOMPRESS,
  INODE_NODATACOW,
  INODE_NODUMP,
  INODE_SYNC,
} from "../../format/inode.ts";
import { statx } from "../attributes.ts";
import {
  FS_COMPR_FL,
  FS_DIRSYNC_FL,
  FS_NOATIME_FL,
  FS_NOCOMP_FL,
  FS_NOCOW_FL,
  FS_NODUMP_FL,
  FS_SYNC_FL,
  getFileFlags,
  setFileFlags,
} from "../file-ioctls.ts";
import type { Native } from "../native.ts";
import { close, openat } from "../open.ts";

/** Flags of an inode item, and what `chattr` knows them by. */
const FLAGS: readonly (readonly [number, number])[] = [
  [INODE_NODATACOW, FS_NOCOW_FL],
  [INODE_NOCOMPRESS, FS_NOCOMP_FL],
  [INODE_SYNC, FS_SYNC_FL],
  [INODE_NODUMP, FS_NODUMP_FL],
  [INODE_NOATIME, FS_NOATIME_FL],
  [INODE_DIRSYNC, FS_DIRSYNC_FL],
  [INODE_COMPRESS, FS_COMPR_FL],
];

const SETTABLE = FLAGS.reduce((all, [, flag]) => all | flag, 0);

/**
 * Gives a file or directory the flags of an inode item.
 *
 * @returns False where not all of them can be had: NODATACOW of a file that has data already, and immutable and
 * append-only, with which the commands after this one could not be carried out.
 */
export function setFileAttributes(
  native: Native,
  fd: number,
  name: Uint8Array | undefined,
  inodeFlags: bigint,
): boolean {
  const low = Number(inodeFlags & 0xffff_ffffn);
  const opened = name === undefined ? fd : openObject(native, fd, name);
  if (opened === undefined) return true;
  try {
    const before = getFileFlags(native, opened);
    const wanted = FLAGS.reduce((all, [bit, flag]) => ((low & bit) === 0 ? all : all | flag), before & ~SETTABLE);
    if (wanted !== before) setFileFlags(native, opened, wanted);
    return getFileFlags(native, opened) === wanted && (low & (INODE_IMMUTABLE | INODE_APPEND)) === 0;
  } finally {
    if (name !== undefined) close(native, opened);
  }
}

/** Only files and directories have flags that can be set. */
function openObject(native: Native, fd: number, name: Uint8Array): number | undefined {
  const type = statx(native, fd, name).mode & constants.S_IFMT;
  if (type !== constants.S_IFREG && type !== constants.S_IFDIR) return undefined;
  return openat(native, fd, name, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}
