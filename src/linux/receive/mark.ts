import { constants } from "node:fs";
import { displayName } from "../../bytes/display.ts";
import { formatUuid } from "../../bytes/uuid.ts";
import { BtrfsError, KernelError } from "../../errors.ts";
import { FIRST_FREE_OBJECTID } from "../../format/objectid.ts";
import { statx } from "../attributes.ts";
import { flock } from "../file.ts";
import type { Native } from "../native.ts";
import { close, openat, readDirectory } from "../open.ts";
import { deleteSubvolume } from "../subvolume.ts";
import { findXattr, removeXattr, setXattr } from "../xattr.ts";

/** On the root of a subvolume while it is being received: set first, removed last. */
export const MARK = "user.btrkit.receiving";

/** Beginning of the name that a subvolume has until it bears the mark. */
const PREFIX = ".btrkit-receiving-";

/** A name that nobody else has. */
export function temporaryName(): Uint8Array {
  return new TextEncoder().encode(`${PREFIX}${crypto.randomUUID()}`);
}

export function setMark(native: Native, root: number, uuid: Uint8Array): void {
  setXattr(native, root, undefined, MARK, new TextEncoder().encode(formatUuid(uuid)));
}

export function removeMark(native: Native, root: number): void {
  removeXattr(native, root, undefined, MARK);
}

export function hasMark(native: Native, root: number): boolean {
  return findXattr(native, root, undefined, MARK) !== undefined;
}

/** A subvolume that was being received when that ended too early. */
export interface UnfinishedSubvolume {
  readonly name: Uint8Array;
  /** What the sender knows it by, as text; absent where it ended before that was noted. */
  readonly uuid: string | undefined;
}

/** The subvolumes in an open directory that bear the mark of an unfinished receive, those being received included. */
export function listUnfinished(native: Native, directory: number): UnfinishedSubvolume[] {
  const found: UnfinishedSubvolume[] = [];
  for (const { name } of readDirectory(native, directory)) {
    const root = openSubvolume(native, directory, name);
    if (root === undefined) continue;
    try {
      const mark = findXattr(native, root, undefined, MARK);
      if (mark !== undefined) found.push({ name, uuid: displayName(mark) });
      else if (isTemporary(name)) found.push({ name, uuid: undefined });
    } finally {
      close(native, root);
    }
  }
  return found;
}

/**
 * Deletes a subvolume that `listUnfinished` found, with all that is in it.
 *
 * @throws {BtrfsError} `busy` while it is being received, `kind` when it does not bear the mark.
 */
export function deleteUnfinished(native: Native, directory: number, name: Uint8Array): void {
  const root = openSubvolume(native, directory, name);
  const where = { path: displayName(name) };
  if (root === undefined) throw new BtrfsError("kind", "Cannot clean up: it is no subvolume", { where });
  try {
    if (!hasMark(native, root) && !isTemporary(name)) {
      throw new BtrfsError("kind", `Cannot clean up: the subvolume does not bear ${MARK}`, { where });
    }
    if (!flock(native, root, "exclusive")) {
      throw new BtrfsError("busy", "Cannot clean up: it is being received right now", { where });
    }
    deleteSubvolume(native, directory, name);
  } finally {
    close(native, root);
  }
}

function isTemporary(name: Uint8Array): boolean {
  return Buffer.from(name).toString("latin1").startsWith(PREFIX);
}

/** The root of the subvolume `name`; `undefined` for whatever is none. */
export function openSubvolume(native: Native, directory: number, name: Uint8Array): number | undefined {
  const { mode, ino } = statx(native, directory, name);
  if ((mode & constants.S_IFMT) !== constants.S_IFDIR || ino !== FIRST_FREE_OBJECTID) return undefined;
  try {
    return openat(native, directory, name, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (error instanceof KernelError && ["ENOENT", "ENOTDIR", "ELOOP"].includes(error.errno)) return undefined;
    throw error;
  }
}
