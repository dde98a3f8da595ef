import type { Inode } from "../fs/inode.ts";
import type { Xattr } from "../fs/xattr.ts";
import type { RestoreCounts } from "./report.ts";
import type { Handle, RestoreTarget } from "./target.ts";

const SETUID_SETGID = 0o6000;

/**
 * Gives a restored name, or with `undefined` the open file or directory, its owner, mode, xattrs and times, in this
 * order: a change of owner takes away setuid and capabilities, and all of them change ctime only.
 */
export function applyAttributes(
  target: RestoreTarget,
  handle: Handle,
  name: Uint8Array | undefined,
  { stat }: Inode,
  xattrs: readonly Xattr[],
  counts: RestoreCounts,
): void {
  const isOwned = target.setOwner(handle, name, stat.uid, stat.gid);
  if (!isOwned) counts.ownersNotHeld++;
  if (stat.kind !== "symlink") {
    // Who runs a setuid file of somebody else's becomes whoever restored it.
    const mode = isOwned || stat.kind === "directory" ? stat.mode : stat.mode & ~SETUID_SETGID;
    if (!target.setMode(handle, name, mode) || mode !== stat.mode) counts.modesNotHeld++;
  }
  for (const xattr of xattrs) {
    if (!target.setXattr(handle, name, xattr.name, xattr.value)) counts.xattrsNotHeld++;
  }
  if (!target.setTimes(handle, name, stat.atime, stat.mtime)) counts.timesNotHeld++;
}
