import { concatBytes, equalBytes, toBytes } from "../bytes/bytes.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { decodeDirEntries, FT_XATTR, NAME_LEN } from "../format/dir-item.ts";
import { S_IFLNK, S_IFMT } from "../format/inode.ts";
import { keyOf } from "../format/key.ts";
import { XATTR_ITEM } from "../format/key-type.ts";
import { encodeDirEntry, setTime } from "../transaction/new-items.ts";
import { nameHash } from "../tree/hash.ts";
import { type Access, accessOf } from "./acl.ts";
import { editInode, readInode } from "./inode.ts";
import { ACCESS_ACL, DEFAULT_ACL } from "./known-xattrs.ts";
import { maxItemBytes, nameWhere } from "./names.ts";
import { demandWritable, type Place } from "./place.ts";
import { applyProperty, hasProperties, isProperty, propertyChange } from "./property.ts";

const NOWHERE = keyOf(0n, 0, 0n);
const NOTHING = new Uint8Array(0);
const CAPABILITY = toBytes("security.capability");

/**
 * Gives an inode an extended attribute, in place of the one of this name if there is one.
 *
 * @param name With its prefix, as `user.comment`. ACLs and capabilities are in the form in which they are stored. What
 * `btrfs.compression` says holds for what is written from then on; empty, it is removed. The mode says what an access ACL
 * says, which is not kept where that is all.
 * @throws {BtrfsError} `limit` when it does not fit into a leaf; `kind` for a property or an ACL that can't be had.
 */
export async function setXattr(at: Place, inode: bigint, name: string | Uint8Array, value: Uint8Array): Promise<void> {
  const bytes = toBytes(name);
  if (equalBytes(bytes, ACCESS_ACL)) return setAccessAcl(at, inode, value);
  if (!isProperty(bytes)) return put(at, inode, bytes, value);
  await demandWritable(at);
  const change = propertyChange(at, inode, await readInode(at, inode), bytes, value);
  if (change === "nothing") return;
  if (change === "set") await put(at, inode, bytes, value);
  else await take(at, inode, bytes);
  await editInode(at, inode, (item) => applyProperty(item, value));
}

async function setAccessAcl(at: Place, inode: bigint, value: Uint8Array): Promise<void> {
  await demandWritable(at);
  const { mode, acl } = accessFor(at, inode, value, (await readInode(at, inode)).mode);
  if (acl !== undefined) await put(at, inode, ACCESS_ACL, acl);
  else await take(at, inode, ACCESS_ACL);
  await editInode(at, inode, (item) => {
    item.mode = mode;
    setTime(item.ctime, at.now);
  });
}

function accessFor({ tree }: Place, inode: bigint, value: Uint8Array, mode: number): Access {
  const type = mode & S_IFMT;
  const refuse = (why: string): never => {
    throw new BtrfsError("kind", `Cannot set access ACL: ${why}`, { where: { tree, inode } });
  };
  if (type === S_IFLNK) refuse("symbolic links have none");
  try {
    return accessOf(value, mode);
  } catch (error) {
    if (error instanceof CorruptError) refuse(`these ${value.byteLength} bytes are none`);
    throw error;
  }
}

async function put(at: Place, inode: bigint, bytes: Uint8Array, value: Uint8Array): Promise<void> {
  if (bytes.byteLength === 0 || bytes.byteLength > NAME_LEN || bytes.includes(0)) {
    throw new BtrfsError(
      "limit",
      `Cannot set attribute: its name has ${bytes.byteLength} bytes, 1 to ${NAME_LEN} may be`,
      nameWhere(at, inode, bytes),
    );
  }
  await demandWritable(at);
  const others = await otherEntries(at, inode, bytes);
  const entry = encodeDirEntry(NOWHERE, BigInt(at.tx.generation), FT_XATTR, bytes, value);
  const data = concatBytes([...(others ?? []), entry]);
  if (data.byteLength > maxItemBytes(at)) {
    throw new BtrfsError(
      "limit",
      `Cannot set attribute: it has ${data.byteLength} bytes, ${maxItemBytes(at)} fit`,
      nameWhere(at, inode, bytes),
    );
  }
  at.tx.adds = true;
  const key = keyOf(inode, XATTR_ITEM, BigInt(nameHash(bytes)));
  if (others === undefined) await at.tx.insert(at.tree, key, data);
  else await at.tx.replace(at.tree, key, data);
  await editInode(at, inode, (item) => setTime(item.ctime, at.now));
}

/** An ACL that is not there may be removed, as with the kernel. @throws {BtrfsError} `missing`. */
export async function removeXattr(at: Place, inode: bigint, name: string | Uint8Array): Promise<void> {
  const bytes = toBytes(name);
  await demandWritable(at);
  if (isProperty(bytes) && !hasProperties((await readInode(at, inode)).mode)) return;
  const isAcl = equalBytes(bytes, ACCESS_ACL) || equalBytes(bytes, DEFAULT_ACL);
  if (!(await take(at, inode, bytes)) && !isAcl) {
    throw new BtrfsError("missing", "Cannot remove attribute: there is none of this name", nameWhere(at, inode, bytes));
  }
  if (isProperty(bytes)) await editInode(at, inode, (item) => applyProperty(item, NOTHING));
}

/** @returns Whether it was there. */
async function take(at: Place, inode: bigint, name: Uint8Array): Promise<boolean> {
  const key = keyOf(inode, XATTR_ITEM, BigInt(nameHash(name)));
  const before = (await at.tx.get(at.tree, key))?.byteLength;
  const others = await otherEntries(at, inode, name);
  const data = concatBytes(others ?? []);
  if (before === undefined || data.byteLength === before) return false;
  if (data.byteLength === 0) await at.tx.remove(at.tree, key);
  else await at.tx.replace(at.tree, key, data);
  await editInode(at, inode, (item) => setTime(item.ctime, at.now));
  return true;
}

/** A file whose content is changed loses its capability, as with the kernel: who may do what was granted to the old one. */
export async function dropCapability(at: Place, inode: bigint): Promise<void> {
  await take(at, inode, CAPABILITY);
}

/** The entries of other names with the same hash, as they are stored; `undefined` where there is no item. */
async function otherEntries({ tx, tree }: Place, inode: bigint, name: Uint8Array): Promise<Uint8Array[] | undefined> {
  const data = (await tx.get(tree, keyOf(inode, XATTR_ITEM, BigInt(nameHash(name)))))?.slice();
  if (data === undefined) return undefined;
  return decodeDirEntries(data)
    .filter((entry) => !equalBytes(entry.name, name))
    .map(({ location, transid, type, name: other, data: value }) =>
      encodeDirEntry(location, transid, type, other, value),
    );
}
