import { keyOf, keysThrough } from "../../src/format/key.ts";
import { ROOT_BACKREF } from "../../src/format/key-type.ts";
import { itemBytes, slotKey } from "../../src/format/node.ts";
import { decodeRootRef } from "../../src/format/root.ts";
import type { Volume } from "../../src/volume/volume.ts";

const FIRST = keyOf(256n, 0, 0n);
const LAST = keyOf(0xffff_ffff_ffffn, 255, 0n);

/** Ids of all subvolumes but the top-level one, by the last component of their path. */
export async function subvolumeIds(volume: Volume): Promise<Map<string, bigint>> {
  const ids = new Map<string, bigint>();
  for await (const { leaf, first, last } of volume.rootTree.leaves(keysThrough(FIRST, LAST))) {
    for (let slot = first; slot < last; slot++) {
      const { objectid, type } = slotKey(leaf, slot);
      if (type !== ROOT_BACKREF) continue;
      ids.set(Buffer.from(decodeRootRef(itemBytes(leaf, slot)).name).toString("latin1"), objectid);
    }
  }
  return ids;
}
