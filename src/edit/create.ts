import { toBytes } from "../bytes/bytes.ts";
import { asStruct } from "../bytes/struct.ts";
import { BtrfsError } from "../errors.ts";
import { ENTRY_TYPES } from "../format/dir-item.ts";
import { InodeItem, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "../format/inode.ts";
import { INODE_REF } from "../format/key-type.ts";
import type { MaybePromise } from "../transaction/editor.ts";
import { addRefNow, type RefPlace } from "./back-refs.ts";
import { insertInline } from "./extents.ts";
import { addXattrsNow, inheritNow } from "./inherit.ts";
import { inodeKey, insertInodeNow, type NewInode } from "./inode.ts";
import { addEntryNow, demandDirectoryNow, newEntryNow } from "./names.ts";
import { demandWritableNow, nextInode, numberOf, type Place } from "./place.ts";

// What is made inherits flags, compression and ACLs from its directory, as with the kernel.

type Name = string | Uint8Array;

const MAX_TARGET_BYTES = 4095;

/** A new, empty file. @returns Its inode number. @throws {BtrfsError} `exists`, `path`. */
export async function createFile(at: Place, directory: bigint, name: Name, attributes?: NewInode): Promise<bigint> {
  return createNow(at, directory, name, S_IFREG, attributes);
}

/** A new directory. @returns Its inode number. @throws {BtrfsError} `exists`, `path`. */
export async function makeDirectory(at: Place, directory: bigint, name: Name, attributes?: NewInode): Promise<bigint> {
  return createNow(at, directory, name, S_IFDIR, { mode: 0o755, ...attributes });
}

/** What a special file is. `major` and `minor` are of devices. */
export type SpecialFile =
  | { readonly kind: "fifo" | "socket" }
  | { readonly kind: "char" | "block"; readonly major: number; readonly minor: number };

/** A new FIFO, socket or device. @returns Its inode number. @throws {BtrfsError} `exists`, `path`. */
export async function makeSpecial(
  at: Place,
  directory: bigint,
  name: Name,
  special: SpecialFile,
  attributes?: NewInode,
): Promise<bigint> {
  const type = { fifo: S_IFIFO, socket: S_IFSOCK, char: S_IFCHR, block: S_IFBLK }[special.kind];
  const rdev = "major" in special ? (BigInt(special.major) << 20n) | BigInt(special.minor) : 0n;
  return createNow(at, directory, name, type, attributes, rdev);
}

/** A new symbolic link. @returns Its inode number. @throws {BtrfsError} `exists`, `path`, `limit`. */
export async function makeSymlink(
  at: Place,
  directory: bigint,
  name: Name,
  target: Uint8Array,
  attributes?: NewInode,
): Promise<bigint> {
  if (target.byteLength === 0 || target.byteLength > MAX_TARGET_BYTES || target.includes(0)) {
    throw new BtrfsError(
      "limit",
      `Cannot make symlink: its target has ${target.byteLength} bytes, 1 to ${MAX_TARGET_BYTES} may be`,
    );
  }
  const inode = await createNow(at, directory, name, S_IFLNK, { mode: 0o777, ...attributes });
  await insertInline(at, inode, target, target.byteLength, 0);
  await at.tx.edit(at.tree, inodeKey(inode), (view) => {
    const item = asStruct(InodeItem, view);
    item.size = BigInt(target.byteLength);
    item.nbytes = BigInt(target.byteLength);
  });
  return inode;
}

/**
 * A new inode under a new name, without waiting where nothing has to be waited for.
 *
 * @param type `S_IF*`; symbolic links still lack their target.
 * @returns Its number. @throws {BtrfsError} `exists`, `path`, `kind`.
 */
export function createNow(
  at: Place,
  directory: bigint,
  name: Name,
  type: number,
  attributes: NewInode = {},
  rdev?: bigint,
): MaybePromise<bigint> {
  const bytes = toBytes(name);
  const parent = numberOf(directory);
  return at.tx.now(() => {
    demandWritableNow(at);
    demandDirectoryNow(at, parent);
    const begins = inheritNow(at, parent, type, attributes);
    const entry = newEntryNow(at, parent, bytes);
    const inode = nextInode(at);
    const location = inodeKey(BigInt(inode));
    insertInodeNow(at, inode, type, 1, begins.attributes, rdev);
    addXattrsNow(at, inode, begins.xattrs);
    addEntryNow(at, entry, { location, type: ENTRY_TYPES[type]! });
    addRefNow(at, inode, newRefPlace(parent), parent, bytes, entry.index);
    return location.objectid;
  });
}

/** Where the first name of a new inode is noted. */
function newRefPlace(offset: number): RefPlace {
  return { type: INODE_REF, offset, item: undefined };
}
