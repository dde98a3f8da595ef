import { equalBytes, toBytes } from "../bytes/bytes.ts";
import { BtrfsError } from "../errors.ts";
import { NAME_LEN } from "../format/dir-item.ts";
import {
  INODE_COMPRESS,
  INODE_NOCOMPRESS,
  INODE_NODATACOW,
  INODE_NODATASUM,
  InodeItem,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
} from "../format/inode.ts";
import type { Algorithm } from "./content.ts";
import type { InodeView } from "./inode.ts";
import { COMPRESSION_PROPERTY, knownXattrNow } from "./known-xattrs.ts";
import type { Place } from "./place.ts";
import type { WriteCompress } from "./sectors.ts";

// The one property that inodes have: which algorithm compresses what is written to a file, or to what is made in a
// directory. It is an attribute, and two flags of the inode say the same; where they differ, the attribute is right.

const PREFIX = toBytes("btrfs.");
const ALGORITHMS = ["zlib", "lzo", "zstd"] as const;
const COMPRESSIBLE = BigInt(INODE_COMPRESS | INODE_NOCOMPRESS);

/** Whether an attribute of this name is a property, which is more than the bytes that are stored. */
export function isProperty(name: Uint8Array): boolean {
  return equalBytes(name.subarray(0, PREFIX.byteLength), PREFIX);
}

/** What a value of the property says; `undefined` where the kernel does not take it. A level behind the name is ignored there. */
export function propertyAlgorithm(value: Uint8Array): Algorithm | "none" | undefined {
  const text = String.fromCharCode(...value.subarray(0, NAME_LEN));
  if (text === "no" || text === "none") return "none";
  return ALGORITHMS.find((algorithm) => text.startsWith(algorithm));
}

/** @returns `"none"` where it says not to compress; `undefined` where there is no property. @throws {Wait} */
export function inodePropertyNow(at: Place, inode: number): Algorithm | "none" | undefined {
  const found = knownXattrNow(at, inode, COMPRESSION_PROPERTY);
  return found && propertyAlgorithm(found.value);
}

/**
 * What a write to a file compresses with, as with the kernel: the property says more than `asked`, which stands for
 * the mount option; flags forbid it, or ask for what has no other wish to be zlib.
 *
 * @throws {Wait}
 */
export function compressionNow(
  at: Place,
  inode: number,
  item: InodeView,
  asked: WriteCompress | undefined,
): WriteCompress | undefined {
  const flags = item.view.getUint32(item.at + InodeItem.offsets.flags, true);
  if ((flags & (INODE_NODATACOW | INODE_NODATASUM)) !== 0) return undefined;
  const property = inodePropertyNow(at, inode);
  if (property === "none") return undefined;
  if (property !== undefined) return asked?.algorithm === property ? asked : { algorithm: property };
  if ((flags & INODE_NOCOMPRESS) !== 0) return undefined;
  return asked ?? ((flags & INODE_COMPRESS) !== 0 ? { algorithm: "zlib" } : undefined);
}

/** What setting a property comes to. */
export type PropertyChange = "set" | "remove" | "nothing";

/**
 * What setting a property comes to, by the kernel's rules: an empty value removes it, and what is neither file nor directory
 * has none, which is no error.
 *
 * @throws {BtrfsError} `kind` for a value or a name that does not exist, and where data is never compressed.
 */
export function propertyChange(
  { tree }: Place,
  inode: bigint,
  { mode, flags }: InodeView,
  name: Uint8Array,
  value: Uint8Array,
): PropertyChange {
  const refuse = (why: string): never => {
    throw new BtrfsError("kind", `Cannot set property: ${why}`, { where: { tree, inode } });
  };
  if (!equalBytes(name, COMPRESSION_PROPERTY)) refuse("there is none of this name, only btrfs.compression");
  if (value.byteLength > 0) {
    if (propertyAlgorithm(value) === undefined) refuse("compression is zlib, lzo, zstd, no or none");
    if ((flags & BigInt(INODE_NODATACOW | INODE_NODATASUM)) !== 0n) {
      refuse("what is not copied on write, or has no checksums, is never compressed");
    }
  }
  if (!hasProperties(mode)) return "nothing";
  return value.byteLength === 0 ? "remove" : "set";
}

/** Whether what has this mode can have properties. */
export function hasProperties(mode: number): boolean {
  const type = mode & S_IFMT;
  return type === S_IFREG || type === S_IFDIR;
}

/** Lets the flags of an inode say what its property, which has this value, says. */
export function applyProperty(item: InodeView, value: Uint8Array): void {
  const says = propertyAlgorithm(value);
  item.flags = (item.flags & ~COMPRESSIBLE) | BigInt(propertyFlags(says));
}

export function propertyFlags(says: Algorithm | "none" | undefined): number {
  if (says === undefined) return 0;
  return says === "none" ? INODE_NOCOMPRESS : INODE_COMPRESS;
}
