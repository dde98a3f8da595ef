import { toBytes } from "../bytes/bytes.ts";
import { FT_XATTR } from "../format/dir-item.ts";
import {
  INODE_COMPRESS,
  INODE_NOCOMPRESS,
  INODE_NODATACOW,
  INODE_NODATASUM,
  InodeItem,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
} from "../format/inode.ts";
import { keyOf } from "../format/key.ts";
import { XATTR_ITEM } from "../format/key-type.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import { encodeDirEntry } from "../transaction/new-items.ts";
import { nameHash } from "../tree/hash.ts";
import { initialAccess } from "./acl.ts";
import type { Algorithm } from "./content.ts";
import type { InodeAttributes, NewInode } from "./inode.ts";
import { inodeItem, inodeView } from "./inode.ts";
import { ACCESS_ACL, COMPRESSION_PROPERTY, DEFAULT_ACL, knownXattrNow } from "./known-xattrs.ts";
import type { Place } from "./place.ts";
import { inodePropertyNow, propertyFlags } from "./property.ts";

const S_ISGID = 0o2000;
const NOWHERE = keyOf(0n, 0, 0n);

/** An attribute. */
type Named = readonly [name: Uint8Array, value: Uint8Array];

/** What something new begins with: what was asked for, and what its directory hands down. */
export interface Beginning {
  readonly attributes: InodeAttributes;
  readonly xattrs: readonly Named[];
}

/**
 * What is made in a directory gets its flags about copy-on-write and compression, and, if a file or a directory, the
 * algorithm of its property, without a level; of a setgid directory the group; and where it has a default ACL, access is
 * what that and the mode both allow.
 *
 * @param type `S_IF*` of what is made.
 * @throws {Wait}
 */
export function inheritNow(at: Place, directory: number, type: number, asked: NewInode): Beginning {
  const parent = inodeView(at, inodeItem(at, directory));
  const items = at.tx.items(at.tree);
  const mayHaveXattrs = !items.isWhole(directory) || items.hasAny(directory, XATTR_ITEM);
  const parentFlags = parent.view.getUint32(parent.at + InodeItem.offsets.flags, true);
  const isSetgid = (parent.mode & S_ISGID) !== 0;
  if (!mayHaveXattrs && !isSetgid && (parentFlags & HANDED_DOWN) === 0) return { attributes: asked, xattrs: [] };
  const xattrs: Named[] = [];
  let attributes: InodeAttributes = asked;
  if (asked.flags === undefined) {
    const property = inodePropertyNow(at, directory);
    const flags = inheritedFlags(property === undefined ? parentFlags : withProperty(parentFlags, property), type);
    if (flags !== 0) attributes = { ...attributes, flags: BigInt(flags) };
    if ((type === S_IFREG || type === S_IFDIR) && (flags & INODE_NODATACOW) === 0) xattrs.push(...handedDown(property));
  }
  if (asked.ownAccess === true) return { attributes, xattrs };
  let mode = asked.mode ?? 0o644;
  if (isSetgid) {
    attributes = { ...attributes, gid: asked.gid ?? parent.gid };
    if (type === S_IFDIR) mode |= S_ISGID;
  }
  const defaultAcl = type === S_IFLNK ? undefined : defaultAclNow(at, directory);
  if (defaultAcl !== undefined) {
    const access = initialAccess(defaultAcl, mode);
    mode = access.mode;
    if (access.acl !== undefined) xattrs.push([ACCESS_ACL, access.acl]);
    if (type === S_IFDIR) xattrs.push([DEFAULT_ACL, defaultAcl]);
  }
  return { attributes: { ...attributes, mode }, xattrs };
}

/** Whether a directory hands anything down to what has access of its own. @throws {Wait} */
export function handsDownNow(at: Place, directory: number): boolean {
  const { attributes, xattrs } = inheritNow(at, directory, S_IFREG, OWN_ACCESS);
  return attributes !== OWN_ACCESS || xattrs.length > 0;
}

const OWN_ACCESS: NewInode = { ownAccess: true };

const HANDED_DOWN = INODE_NODATACOW | INODE_COMPRESS | INODE_NOCOMPRESS;

/** Flags of a directory, as its property has them be. */
function withProperty(flags: number, property: Algorithm | "none"): number {
  return (flags & ~(INODE_COMPRESS | INODE_NOCOMPRESS)) | propertyFlags(property);
}

function inheritedFlags(flags: number, type: number): number {
  let inherited = flags & INODE_NODATACOW;
  if (inherited !== 0 && type === S_IFREG) inherited |= INODE_NODATASUM;
  if ((flags & INODE_NOCOMPRESS) !== 0) return inherited | INODE_NOCOMPRESS;
  return inherited | (flags & INODE_COMPRESS);
}

/** The property that a directory hands down. That nothing be compressed is a flag only. */
export function handedDown(property: Algorithm | "none" | undefined): readonly Named[] {
  if (property === undefined || property === "none") return [];
  return [[COMPRESSION_PROPERTY, toBytes(property)]];
}

/** What a subvolume begins with: the property of the one that it lies in; of its directory, what the default ACL leaves of the mode. */
export function beginSubvolumeNow(at: Place, directory: number, asked: NewInode): Beginning {
  const top = Number(FIRST_FREE_OBJECTID);
  const xattrs = handedDown(inodePropertyNow(at, top));
  const defaultAcl = asked.ownAccess === true ? undefined : defaultAclNow(at, directory);
  const wanted = asked.mode ?? 0o755;
  const mode = defaultAcl === undefined ? wanted : initialAccess(defaultAcl, wanted).mode;
  return { attributes: { ...asked, mode, flags: xattrs.length === 0 ? 0n : BigInt(INODE_COMPRESS) }, xattrs };
}

function defaultAclNow(at: Place, directory: number): Uint8Array | undefined {
  return knownXattrNow(at, directory, DEFAULT_ACL)?.value.slice();
}

/** Gives a new inode its attributes. */
export function addXattrsNow({ tx, tree }: Place, inode: number, xattrs: readonly Named[]): void {
  for (const [name, value] of xattrs) {
    const entry = encodeDirEntry(NOWHERE, BigInt(tx.generation), FT_XATTR, name, value);
    tx.items(tree).insert(inode, XATTR_ITEM, nameHash(name), entry.byteLength).data!.set(entry);
  }
}
