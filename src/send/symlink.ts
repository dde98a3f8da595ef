import { CorruptError } from "../errors.ts";
import { COMPRESS_NONE } from "../format/file-extent.ts";
import { itemsOf } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { readFileItem } from "./file-item.ts";
import type { Snapshot } from "./snapshot.ts";

/** Target of a symlink, as bytes of the leaf. @throws {CorruptError} when it has none, or it is not plainly inline. */
export async function readSymlink(snapshot: Snapshot, ino: number): Promise<Uint8Array> {
  for await (const { leaf, first } of snapshot.tree.leaves(itemsOf(BigInt(ino), EXTENT_DATA))) {
    const { inline, compression } = readFileItem(leaf, first, 1);
    if (inline !== undefined && compression === COMPRESS_NONE) return inline;
    throw new CorruptError("Cannot send symlink: its target is not inline as it is", snapshot.where(ino));
  }
  throw new CorruptError("Cannot send symlink: it has no target", snapshot.where(ino));
}
