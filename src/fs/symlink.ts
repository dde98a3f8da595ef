import { CorruptError } from "../errors.ts";
import { decodeFileExtent, FILE_EXTENT_INLINE } from "../format/file-extent.ts";
import { keyOf } from "../format/key.ts";
import { EXTENT_DATA } from "../format/key-type.ts";
import { readInline } from "./inline.ts";
import type { Inode } from "./inode.ts";

/** `PATH_MAX` of Linux without its NUL. */
const MAX_TARGET_BYTES = 4095n;

export async function readSymlink(inode: Inode): Promise<Uint8Array> {
  inode.demand("symlink", "read link");
  const { size } = inode.stat;
  if (size > MAX_TARGET_BYTES) {
    throw new CorruptError(`Cannot read link: its target has ${size} bytes, at most 4095 are possible`, inode.where);
  }
  const target = new Uint8Array(Number(size));
  const span = await inode.subvolume.tree.find(keyOf(inode.number, EXTENT_DATA, 0n), "exact");
  const extent = span === undefined ? undefined : decodeFileExtent(span.leaf, span.first);
  // mkfs.btrfs --rootdir stores the NUL behind the target too, which the size does not count.
  const holdsTarget = extent?.type === FILE_EXTENT_INLINE && extent.ramBytes >= size && extent.ramBytes <= size + 1n;
  if (!holdsTarget) {
    const found = extent?.type === FILE_EXTENT_INLINE ? `${extent.ramBytes} bytes of it` : "none of it";
    throw new CorruptError(`Cannot read link: its target has ${size} bytes, ${found} lie inline`, inode.where);
  }
  await readInline(inode, extent, 0, target);
  return target;
}
