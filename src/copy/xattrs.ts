import { displayName } from "../bytes/display.ts";
import type { Place } from "../edit/place.ts";
import { setXattr } from "../edit/xattr.ts";
import { BtrfsError } from "../errors.ts";
import { isHeldXattr } from "../format/xattr-names.ts";
import type { Xattr } from "../fs/xattr.ts";

/** Gives an inode extended attributes. @param tell What can't be held, in words. */
export async function keepXattrs(
  at: Place,
  inode: bigint,
  xattrs: readonly Xattr[],
  tell: (why: string) => void,
): Promise<void> {
  for (const { name, value } of xattrs) {
    const shown = displayName(name);
    if (!isHeldXattr(shown)) {
      tell(`btrfs has no attribute ${shown}`);
      continue;
    }
    try {
      await setXattr(at, inode, name, value);
    } catch (error) {
      // Too long for a leaf, or no value that the property can have: that is found before anything is changed.
      if (!(error instanceof BtrfsError) || (error.code !== "limit" && error.code !== "kind")) throw error;
      tell(`attribute ${shown}: ${error.sentence}`);
    }
  }
}
