import { setTime } from "../transaction/new-items.ts";
import { accessAfterChmod } from "./acl.ts";
import { changeInode, type InodeAttributes, inodeItem } from "./inode.ts";
import { ACCESS_ACL, knownXattrNow } from "./known-xattrs.ts";
import { demandWritableNow, numberOf, type Place } from "./place.ts";

/** Changes of an inode's attributes; what is not named stays. Times are nanoseconds since 1970. */
export interface AttributeChanges extends InodeAttributes {}

/**
 * Permissions, owner, flags and times, any of them; ctime becomes `now` unless it is given. An access ACL says what a new
 * mode says, as after `chmod`.
 */
export async function setAttributes(at: Place, inode: bigint, changes: AttributeChanges): Promise<void> {
  await setAttributesNow(at, inode, changes);
}

/** As `setAttributes`, without waiting where nothing has to be waited for. */
export function setAttributesNow(at: Place, inode: bigint, changes: AttributeChanges): void | Promise<void> {
  const number = numberOf(inode);
  return at.tx.now(() => {
    demandWritableNow(at);
    const there = inodeItem(at, number);
    const acl = changes.mode === undefined ? undefined : knownXattrNow(at, number, ACCESS_ACL);
    const changed = acl && accessAfterChmod(acl.value, changes.mode!).acl;
    at.tx.adds = true;
    if (acl !== undefined && changed !== undefined) {
      at.tx.items(at.tree).mark(acl.item);
      acl.value.set(changed);
    }
    const item = changeInode(at, there);
    if (changes.mode !== undefined) item.mode = (item.mode & ~0o7777) | (changes.mode & 0o7777);
    if (changes.uid !== undefined) item.uid = changes.uid;
    if (changes.gid !== undefined) item.gid = changes.gid;
    if (changes.flags !== undefined) item.flags = changes.flags;
    if (changes.atime !== undefined) setTime(item.atime, changes.atime);
    if (changes.mtime !== undefined) setTime(item.mtime, changes.mtime);
    if (changes.otime !== undefined) setTime(item.otime, changes.otime);
    setTime(item.ctime, changes.ctime ?? at.now);
  });
}
