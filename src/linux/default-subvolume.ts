import { equalBytes, toBytes } from "../bytes/bytes.ts";
import { decodeDirEntries } from "../format/dir-item.ts";
import { keyOf } from "../format/key.ts";
import { DIR_ITEM } from "../format/key-type.ts";
import { FS_TREE_OBJECTID, ROOT_TREE_DIR_OBJECTID, ROOT_TREE_OBJECTID } from "../format/objectid.ts";
import { nameHash } from "../tree/hash.ts";
import type { Native } from "./native.ts";
import { searchTree } from "./search.ts";

const DEFAULT = toBytes("default");

/** Which subvolume a mount without an option shows. @throws {KernelError} EPERM without root. */
export function getDefaultSubvolume(native: Native, fd: number): bigint {
  const key = keyOf(ROOT_TREE_DIR_OBJECTID, DIR_ITEM, BigInt(nameHash(DEFAULT)));
  for (const { data } of searchTree(native, fd, { tree: ROOT_TREE_OBJECTID, min: key, max: key })) {
    const entry = decodeDirEntries(data).find(({ name }) => equalBytes(name, DEFAULT));
    if (entry !== undefined) return entry.location.objectid;
  }
  return FS_TREE_OBJECTID;
}
