import { viewOf } from "../bytes/bytes.ts";
import { CorruptError } from "../errors.ts";

// An ACL as attributes hold it: a version, and then entries of a tag (u16), permissions (u16) and an id (u32).

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const PERMISSIONS_AT = 2;

const USER_OBJ = 0x01;
const USER = 0x02;
const GROUP_OBJ = 0x04;
const GROUP = 0x08;
const MASK = 0x10;
const OTHER = 0x20;

export interface InitialAccess {
  /** Permissions. */
  readonly mode: number;
  /** `undefined` where the mode says all. */
  readonly acl: Uint8Array | undefined;
}

/**
 * The access of what is made with `mode` in a directory that has a default ACL: nobody gets more than both allow.
 *
 * @param defaultAcl As it is stored.
 * @throws {CorruptError} when it is no ACL.
 */
export function initialAccess(defaultAcl: Uint8Array, mode: number): InitialAccess {
  const entries = (defaultAcl.byteLength - HEADER_BYTES) / ENTRY_BYTES;
  const acl = defaultAcl.slice();
  const view = viewOf(acl);
  if (!Number.isInteger(entries) || entries < 0 || view.getUint32(0, true) !== VERSION) {
    throw new CorruptError(`Cannot apply default ACL: its ${acl.byteLength} bytes are no ACL of version ${VERSION}`);
  }
  if (entries === 0) return { mode, acl: undefined };
  let group: number | undefined;
  let mask: number | undefined;
  let isNeeded = false;
  let left = mode;
  /** Both the entry and the class of the mode keep what both allow. */
  const limit = (at: number, shift: number): void => {
    const allowed = view.getUint16(at + PERMISSIONS_AT, true) & 7 & (left >> shift);
    view.setUint16(at + PERMISSIONS_AT, allowed, true);
    left = (left & ~(7 << shift)) | (allowed << shift);
  };
  for (let at = HEADER_BYTES; at < acl.byteLength; at += ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    if (tag === USER_OBJ) limit(at, 6);
    else if (tag === OTHER) limit(at, 0);
    else if (tag === GROUP_OBJ) group = at;
    else if (tag === MASK) mask = at;
    else if (tag !== USER && tag !== GROUP) {
      throw new CorruptError(`Cannot apply default ACL: an entry has the tag ${tag}, which is none's`);
    }
    isNeeded ||= tag === USER || tag === GROUP || tag === MASK;
  }
  const limited = mask ?? group;
  if (limited === undefined) throw new CorruptError("Cannot apply default ACL: it has no entry for the group");
  limit(limited, 3);
  return { mode: left, acl: isNeeded ? acl : undefined };
}
