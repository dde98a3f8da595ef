import { readSafe } from "../bytes/u64.ts";
import { keyOf } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { keyAt, type Leaf, slotType } from "../format/node.ts";
import type { Tree } from "../tree/source.ts";
import { type FileItem, readFileItem } from "./file-item.ts";

/** The EXTENT_DATA items of a file: first the last one that begins at or before `from`, or the next. */
export async function* fileItems(tree: Tree, ino: number, from: number, sectorSize: number): AsyncGenerator<FileItem> {
  const number = BigInt(ino);
  let first = keyOf(number, EXTENT_DATA, BigInt(from));
  const before = await tree.find(first, "atOrBefore");
  if (before !== undefined && isFileItem(before.leaf, before.first, ino)) {
    // What follows in the same leaf needs no other search.
    const { leaf } = before;
    let slot = before.first;
    let item: FileItem | undefined;
    for (; slot < leaf.count; slot++) {
      if (!isFileItem(leaf, slot, ino)) return;
      item = readFileItem(leaf, slot, sectorSize);
      yield item;
    }
    first = keyOf(number, EXTENT_DATA, BigInt(item!.start) + 1n);
  }
  for await (const span of tree.leaves({ first, last: keyOf(number, EXTENT_DATA + 1, 0n) })) {
    for (let slot = span.first; slot < span.last; slot++) yield readFileItem(span.leaf, slot, sectorSize);
  }
}

export function isFileItem(leaf: Leaf, slot: number, ino: number): boolean {
  return slotType(leaf, slot) === EXTENT_DATA && readSafe(leaf.view, keyAt(leaf, slot)) === ino;
}
