import { concatBytes, equalBytes, toBytes } from "../bytes/bytes.ts";
import { BtrfsError } from "../errors.ts";
import { decodeDirEntries, FT_XATTR, NAME_LEN } from "../format/dir-item.ts";
import { keyOf } from "../format/key.ts";
import { XATTR_ITEM } from "../format/key-type.ts";

import { encodeDirEntry, setTime } from "../transaction/new-items.ts";
import { nameHash } from "../tree/hash.ts";
import { editInode } from "./inode.ts";
import { maxItemBytes, nameWhere } from "./names.ts";
import { demandWritable, type Place } from "./place.ts";

const NOWHERE = keyOf(0n, 0, 0n);
const CAPABILITY = toBytes("security.capability");

/**
 * Gives an inode an extended attribute, in place of the one of this name if there is one.
 *
 * @param name With its prefix, as `user.comment`. ACLs and capabilities are in the form in which they are stored.
 * @throws {BtrfsError} `limit` when it does not fit into a leaf.
 */
export async function setXattr(at: Place, inode: bigint, name: string | Uint8Array, value: Uint8Array): Promise<void> {
  const bytes = toBytes(name);
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

/** @throws {BtrfsError} `missing`. */
export async function removeXattr(at: Place, inode: bigint, name: string | Uint8Array): Promise<void> {
  const bytes = toBytes(name);
  await demandWritable(at);
  const key = keyOf(inode, XATTR_ITEM, BigInt(nameHash(bytes)));
  const before = (await at.tx.get(at.tree, key))?.byteLength;
  const others = await otherEntries(at, inode, bytes);
  const data = concatBytes(others ?? []);
  if (before === undefined || data.byteLength === before) {
    throw new BtrfsError("missing", "Cannot remove attribute: there is none of this name", nameWhere(at, inode, bytes));
  }
  if (data.byteLength === 0) await at.tx.remove(at.tree, key);
  else await at.tx.replace(at.tree, key, data);
  await editInode(at, inode, (item) => setTime(item.ctime, at.now));
}

/** A file whose content is changed loses its capability, as with the kernel: who may do what was granted to the old one. */
export async function dropCapability(at: Place, inode: bigint): Promise<void> {
  if ((await at.tx.get(at.tree, keyOf(inode, XATTR_ITEM, BigInt(nameHash(CAPABILITY))))) === undefined) return;
  try {
    await removeXattr(at, inode, CAPABILITY);
  } catch (error) {
    // Another name has its hash.
    if (!(error instanceof BtrfsError) || error.code !== "missing") throw error;
  }
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
