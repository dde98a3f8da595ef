import { equalBytes } from "../bytes/bytes.ts";
import { BtrfsError } from "../errors.ts";
import { decodeDirEntries, FT_DIR } from "../format/dir-item.ts";
import { itemsOf, keyOf } from "../format/key.ts";
import { DIR_INDEX, ROOT_ITEM, ROOT_REF } from "../format/key-type.ts";
import { itemBytes, slotKey } from "../format/node.ts";
import { ROOT_TREE_OBJECTID } from "../format/objectid.ts";
import { decodeRootRef } from "../format/root.ts";
import { getName, nameWhere, removeEntry } from "./names.ts";
import { demandWritable, type Place } from "./place.ts";

/** Whether a name that leads to a subvolume is the subvolume's own: in a snapshot of what is around it, it is not. */
export async function isSubvolumeHere(
  { tx, tree }: Place,
  directory: bigint,
  name: Uint8Array,
  id: bigint,
): Promise<boolean> {
  const data = await tx.get(ROOT_TREE_OBJECTID, keyOf(tree, ROOT_REF, id));
  if (data === undefined) return false;
  const ref = decodeRootRef(data.slice());
  return ref.dirid === directory && equalBytes(ref.name, name);
}

/**
 * Removes the empty directory that stands where a snapshot has no copy of a nested subvolume.
 *
 * @throws {BtrfsError} `kind` for what is none.
 */
export async function removePlaceholder(at: Place, directory: bigint, name: Uint8Array): Promise<void> {
  await demandWritable(at);
  const { location, type } = await getName(at, directory, name);
  const isOne = type === FT_DIR && location.type === ROOT_ITEM;
  if (!isOne || (await isSubvolumeHere(at, directory, name, location.objectid))) {
    throw new BtrfsError("kind", "Cannot remove name: it stands for something", nameWhere(at, directory, name));
  }
  await removeEntry(at, directory, name, await indexOf(at, directory, name));
}

/** Nothing else has the index of such a name: it is looked for. */
async function indexOf(at: Place, directory: bigint, name: Uint8Array): Promise<bigint> {
  const walk = await at.tx.walk(at.tree, itemsOf(directory, DIR_INDEX));
  for (let span = await walk.next(); span !== undefined; span = await walk.next()) {
    for (let slot = span.first; slot < span.last; slot++) {
      if (decodeDirEntries(itemBytes(span.leaf, slot)).some((entry) => equalBytes(entry.name, name)))
        return slotKey(span.leaf, slot).offset;
    }
  }
  throw new BtrfsError(
    "corrupt",
    "Cannot remove name: the directory has no index of it",
    nameWhere(at, directory, name),
  );
}
