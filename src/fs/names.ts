import { decodeInodeExtrefs, decodeInodeRefs, type InodeName } from "../format/inode-ref.ts";
import { keyOf, keysThrough, MAX_U64 } from "../format/key.ts";
import { INODE_EXTREF, INODE_REF } from "../format/key-type.ts";
import { itemBytes, slotKey } from "../format/node.ts";
import type { Inode } from "./inode.ts";
import { spansOf } from "./spans.ts";

export async function readNames(inode: Inode): Promise<InodeName[]> {
  const names: InodeName[] = [];
  if (inode.isPlaceholder) return names;
  const range = keysThrough(keyOf(inode.number, INODE_REF, 0n), keyOf(inode.number, INODE_EXTREF, MAX_U64));
  await spansOf(inode.subvolume.tree, range, ({ leaf, first, last }) => {
    for (let slot = first; slot < last; slot++) {
      const { type, offset } = slotKey(leaf, slot);
      const data = itemBytes(leaf, slot);
      const found =
        type === INODE_REF ? decodeInodeRefs(data, offset, leaf.where) : decodeInodeExtrefs(data, leaf.where);
      for (const { parent, index, name } of found) names.push({ parent, index, name: name.slice() });
    }
  });
  return names;
}
