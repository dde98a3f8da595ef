import { displayName } from "../bytes/display.ts";
import { BtrfsError } from "../errors.ts";
import type { Handle } from "../restore/target.ts";
import type { DirectoryHost, HostStat } from "./directory-host.ts";
import { type Difference, type Records, xattrKey } from "./directory-records.ts";

export interface KeepOptions {
  /** What the host can't hold is an error. */
  readonly strict: boolean;
  /** Sets setuid and setgid bits also where the owner may be another than the sender's. */
  readonly preserveSetid: boolean;
}

/** Where an inode is reached: a name in an open directory, or the open file or directory itself. */
export interface Reach {
  readonly handle: Handle;
  readonly name: Uint8Array | undefined;
}

const SETID = 0o6000;
const PERMISSIONS = 0o777;
const ACL = "system.posix_acl_access";
const SECOND = 1_000_000_000n;
/** Every filesystem has times from 1970 to 2038. */
const MAX_USUAL_TIME = SECOND << 31n;

/** Sets attributes, as far as the host can hold them, and remembers the rest. */
export class AttributeKeeper {
  readonly #host: DirectoryHost;
  readonly #records: Records;
  readonly #options: KeepOptions;

  constructor(host: DirectoryHost, records: Records, options: KeepOptions) {
    this.#host = host;
    this.#records = records;
    this.#options = options;
  }

  setOwner({ handle, name }: Reach, uid: number, gid: number): void {
    const stat = this.#host.stat(handle, name);
    const isHeld = (stat.uid === uid && stat.gid === gid) || this.#host.setOwner(handle, name, uid, gid);
    this.#note(stat, "owner", isHeld ? undefined : { uid, gid }, `owner ${uid}:${gid}`);
  }

  /** @throws {BtrfsError} `kind` for a symbolic link, which has no mode. */
  setMode({ handle, name }: Reach, mode: number): void {
    const stat = this.#host.stat(handle, name);
    if (stat.kind === "symlink") throw new BtrfsError("kind", "Cannot change mode: it is a symbolic link");
    const record = this.#records.find(stat.inode);
    const trusted = this.#options.preserveSetid || (this.#host.isPrivileged && record?.owner === undefined);
    const possible = trusted ? mode : mode & ~SETID;
    const needed = neededBits(stat);
    const isLate = !this.#host.isPrivileged && (possible & needed) !== needed;
    if (isLate) this.#records.of(stat.inode).lateMode = possible;
    else if (record?.lateMode !== undefined) delete this.#records.of(stat.inode).lateMode;
    const isHeld = this.#host.setMode(handle, name, isLate ? possible | needed : possible) && possible === mode;
    const isKept = isHeld && ((mode & SETID) === 0 || (this.#host.stat(handle, name).mode & SETID) === (mode & SETID));
    this.#note(stat, "mode", isKept ? undefined : mode, `mode ${mode.toString(8)}`);
  }

  setTimes({ handle, name }: Reach, atime: bigint, mtime: bigint): void {
    const isDone = this.#host.setTimes(handle, name, atime, mtime);
    const isUsual = isUsualTime(atime) && isUsualTime(mtime);
    if (isDone && isUsual && this.#records.size === 0) return;
    const stat = this.#host.stat(handle, name);
    const isHeld = isDone && (isUsual || (isSameTime(stat.atime, atime) && isSameTime(stat.mtime, mtime)));
    this.#note(stat, "times", isHeld ? undefined : { atime, mtime }, "times");
  }

  setXattr({ handle, name }: Reach, attribute: Uint8Array, value: Uint8Array): void {
    const isHeld = this.#host.setXattr(handle, name, attribute, value);
    const mayLockOut = isHeld && !this.#host.isPrivileged && xattrKey(attribute) === ACL;
    if (isHeld && !mayLockOut && this.#records.size === 0) return;
    const stat = this.#host.stat(handle, name);
    const { inode } = stat;
    if (mayLockOut) this.#keepRights({ handle, name }, stat);
    if (isHeld) {
      this.#records.dropXattr(inode, xattrKey(attribute));
      return;
    }
    this.#refuseIfStrict(`extended attribute ${displayName(attribute)}`);
    // An earlier value must not stay behind.
    this.#host.removeXattr(handle, name, attribute);
    const record = this.#records.of(inode);
    record.xattrs ??= new Map();
    record.xattrs.set(xattrKey(attribute), value.slice());
  }

  /** An ACL is the mode as well: the rights that it takes from us have to wait. */
  #keepRights({ handle, name }: Reach, stat: HostStat): void {
    const needed = neededBits(stat);
    if ((stat.mode & needed) === needed) return;
    const record = this.#records.of(stat.inode);
    record.lateMode = ((record.lateMode ?? stat.mode) & ~PERMISSIONS) | (stat.mode & PERMISSIONS);
    this.#host.setMode(handle, name, stat.mode | needed);
  }

  removeXattr({ handle, name }: Reach, attribute: Uint8Array): void {
    const wasThere = this.#host.removeXattr(handle, name, attribute);
    const wasKept = this.#records.dropXattr(this.#host.stat(handle, name).inode, xattrKey(attribute));
    if (!wasThere && !wasKept) {
      throw new BtrfsError("missing", `Cannot remove extended attribute ${displayName(attribute)}: there is none`);
    }
  }

  /** An empty file stands in for a node that the host can't make. */
  noteNode({ handle, name }: Reach, node: NonNullable<Difference["node"]>): void {
    this.#note(this.#host.stat(handle, name), "node", node, node.kind);
  }

  noteVerity({ handle, name }: Reach, verity: NonNullable<Difference["verity"]>): void {
    this.#note(this.#host.stat(handle, name), "verity", verity, "fs-verity seal");
  }

  #note<F extends "owner" | "mode" | "node" | "times" | "verity">(
    { inode }: HostStat,
    field: F,
    value: Difference[F] | undefined,
    what: string,
  ): void {
    if (value !== undefined) {
      this.#refuseIfStrict(what);
      this.#records.of(inode)[field] = value as never;
    } else if (this.#records.find(inode)?.[field] !== undefined) delete this.#records.of(inode)[field];
  }

  #refuseIfStrict(what: string): void {
    if (!this.#options.strict) return;
    throw new BtrfsError("permission", `Cannot hold ${what}: this host, or this user, can't, and strict was asked for`);
  }
}

function isUsualTime(time: bigint): boolean {
  return time >= 0n && time < MAX_USUAL_TIME;
}

/**
 * But for how fine times are at the host. Some filesystems take the nearest time that they have, and say nothing: where that is
 * in the same second, its beginning.
 */
function isSameTime(found: bigint, wanted: bigint): boolean {
  if (found === wanted) return true;
  return found / SECOND === wanted / SECOND && found % SECOND !== 0n;
}

/** The permissions without which who receives could not go on. */
export function neededBits({ kind }: HostStat): number {
  return kind === "directory" ? 0o700 : kind === "file" ? 0o600 : 0;
}
