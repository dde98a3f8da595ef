import type { InodeKind } from "../fs/inode.ts";
import type { HostXattr } from "./directory-host.ts";

/** How an inode should be and is not, because the host can't hold it. All fields are those of the sender. */
export interface Difference {
  owner?: { readonly uid: number; readonly gid: number };
  /** Permission bits, with setuid, setgid and sticky. */
  mode?: number;
  /** An empty file stands in for it. */
  node?: {
    readonly kind: Exclude<InodeKind, "file" | "directory" | "symlink">;
    readonly major: number;
    readonly minor: number;
  };
  /** Nanoseconds since 1970. */
  times?: { readonly atime: bigint; readonly mtime: bigint };
  /** By name, a character for a byte. */
  xattrs?: Map<string, Uint8Array>;
  /** The sender had the file sealed with fs-verity. */
  verity?: { readonly algorithm: number; readonly blockSize: number };
}

interface InodeRecord extends Difference {
  /** To be set when all is done: who receives would lock himself out with it. */
  lateMode?: number;
}

/** How many inodes differ in what. */
export interface NotHeld {
  owners: number;
  modes: number;
  nodes: number;
  times: number;
  xattrs: number;
  verity: number;
}

/** What is to be remembered of inodes while a subvolume is received, by their numbers at the host. */
export class Records {
  readonly #records = new Map<bigint, InodeRecord>();

  get size(): number {
    return this.#records.size;
  }

  find(inode: bigint): Readonly<InodeRecord> | undefined {
    return this.#records.get(inode);
  }

  /** The record of an inode, to be written to. */
  of(inode: bigint): InodeRecord {
    let record = this.#records.get(inode);
    if (record === undefined) {
      record = {};
      this.#records.set(inode, record);
    }
    return record;
  }

  /** Takes over what an earlier subvolume says of a path. */
  adopt(inode: bigint, difference: Difference): void {
    const xattrs = difference.xattrs === undefined ? {} : { xattrs: new Map(difference.xattrs) };
    Object.assign(this.of(inode), difference, xattrs);
  }

  /** The inode is no more; its number may come again. */
  forget(inode: bigint): void {
    this.#records.delete(inode);
  }

  dropXattr(inode: bigint, name: string): boolean {
    const record = this.#records.get(inode);
    if (record?.xattrs?.delete(name) !== true) return false;
    if (record.xattrs.size === 0) delete record.xattrs;
    return true;
  }

  count(): NotHeld {
    const counts: NotHeld = { owners: 0, modes: 0, nodes: 0, times: 0, xattrs: 0, verity: 0 };
    for (const { owner, mode, node, times, xattrs, verity } of this.#records.values()) {
      if (owner !== undefined) counts.owners++;
      if (mode !== undefined) counts.modes++;
      if (node !== undefined) counts.nodes++;
      if (times !== undefined) counts.times++;
      if (verity !== undefined) counts.verity++;
      counts.xattrs += xattrs?.size ?? 0;
    }
    return counts;
  }
}

export function differs({ owner, mode, node, times, xattrs, verity }: Difference): boolean {
  return [owner, mode, node, times, xattrs, verity].some((field) => field !== undefined);
}

export function xattrKey(name: HostXattr["name"]): string {
  return Buffer.from(name).toString("latin1");
}
