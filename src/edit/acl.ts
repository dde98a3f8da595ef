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

/** The owner's, the group's and others' bits of a mode. */
const OWNER_SHIFT = 6;
const GROUP_SHIFT = 3;
const OTHER_SHIFT = 0;

export interface Access {
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
export function initialAccess(defaultAcl: Uint8Array, mode: number): Access {
  return combined(defaultAcl, mode, (ofEntry, ofMode) => ofEntry & ofMode);
}

/** The access of what gets an access ACL: its mode says what the ACL says. @throws {CorruptError} when it is no ACL. */
export function accessOf(accessAcl: Uint8Array, mode: number): Access {
  return combined(accessAcl, mode, (ofEntry) => ofEntry);
}

/** The access of what has an access ACL and gets another mode: the ACL says what the mode says. @throws {CorruptError} when it is no ACL. */
export function accessAfterChmod(accessAcl: Uint8Array, mode: number): Access {
  return combined(accessAcl, mode, (_ofEntry, ofMode) => ofMode);
}

/** @param both What both an entry and the mode say of one class from now on: of the owner, of the mask or else the group, of others. */
function combined(stored: Uint8Array, mode: number, both: (ofEntry: number, ofMode: number) => number): Access {
  const entries = (stored.byteLength - HEADER_BYTES) / ENTRY_BYTES;
  const acl = stored.slice();
  const view = viewOf(acl);
  if (!Number.isInteger(entries) || entries < 0 || view.getUint32(0, true) !== VERSION) {
    throw new CorruptError(`Cannot apply ACL: its ${acl.byteLength} bytes are no ACL of version ${VERSION}`);
  }
  if (entries === 0) return { mode, acl: undefined };
  let group: number | undefined;
  let mask: number | undefined;
  let isNeeded = false;
  let left = mode;
  const combine = (at: number, shift: number): void => {
    const allowed = both(view.getUint16(at + PERMISSIONS_AT, true) & 7, (left >> shift) & 7);
    view.setUint16(at + PERMISSIONS_AT, allowed, true);
    left = (left & ~(7 << shift)) | (allowed << shift);
  };
  for (let at = HEADER_BYTES; at < acl.byteLength; at += ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    if (tag === USER_OBJ) combine(at, OWNER_SHIFT);
    else if (tag === OTHER) combine(at, OTHER_SHIFT);
    else if (tag === GROUP_OBJ) group = at;
    else if (tag === MASK) mask = at;
    else if (tag !== USER && tag !== GROUP) {
      throw new CorruptError(`Cannot apply ACL: an entry has the tag ${tag}, which is none's`);
    }
    isNeeded ||= tag === USER || tag === GROUP || tag === MASK;
  }
  const ofGroup = mask ?? group;
  if (ofGroup === undefined) throw new CorruptError("Cannot apply ACL: it has no entry for the group");
  combine(ofGroup, GROUP_SHIFT);
  return { mode: left, acl: isNeeded ? acl : undefined };
}
