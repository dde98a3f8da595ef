import { readSafe } from "../bytes/u64.ts";
import { KEY_BYTES, keyOf, writeKey } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { keyAt, type Leaf, slotType } from "../format/node.ts";
import type { LeafSpan, Tree } from "../tree/source.ts";
import { type FileItem, readFileItem } from "./file-item.ts";

const searchKey = new DataView(new ArrayBuffer(KEY_BYTES));

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

/**
 * Shows these items to `visit` until it returns true. A promise only where they are not all in one leaf that is at hand;
 * then, `visit` has been shown none so far.
 */
export function visitFileItems(
  tree: Tree,
  ino: number,
  from: number,
  sectorSize: number,
  visit: (item: FileItem) => boolean,
): void | Promise<void> {
  const span = findFileItem(tree, ino, from);
  if (span !== null && span !== undefined) {
    const { leaf, first } = span;
    const start = isFileItem(leaf, first, ino) ? first : first + 1;
    let last = start;
    while (last < leaf.count && isFileItem(leaf, last, ino)) last++;
    // At the end of the leaf, the file may go on in the next one.
    if (last < leaf.count) {
      for (let slot = start; slot < last; slot++) if (visit(readFileItem(leaf, slot, sectorSize))) return;
      return;
    }
  }
  return visitWaiting(tree, ino, from, sectorSize, visit);
}

async function visitWaiting(
  tree: Tree,
  ino: number,
  from: number,
  sectorSize: number,
  visit: (item: FileItem) => boolean,
): Promise<void> {
  for await (const item of fileItems(tree, ino, from, sectorSize)) if (visit(item)) return;
}

/** The item at or before that of a file at `offset`, which may be another kind of item; `null` when it has to be waited for. */
export function findFileItem(tree: Tree, ino: number, offset: number): LeafSpan | undefined | null {
  writeKey(searchKey, ino, EXTENT_DATA, offset);
  return tree.findNow(searchKey, "atOrBefore");
}

export function isFileItem(leaf: Leaf, slot: number, ino: number): boolean {
  return slotType(leaf, slot) === EXTENT_DATA && readSafe(leaf.view, keyAt(leaf, slot)) === ino;
}
