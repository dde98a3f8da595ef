import * as fs from "node:fs";
import type { InodeKind } from "../fs/inode.ts";
import { type Handle, TargetError } from "../restore/target.ts";
import { copyBytes, type DirectoryHost, type HostSegment, type HostStat, type HostXattr } from "./directory-host.ts";
import { hostNameFault } from "./host-names.ts";
import { NodeRestoreTarget, refused } from "./restore-target.ts";

const { O_NOFOLLOW = 0, O_NONBLOCK = 0, O_RDONLY, O_RDWR } = fs.constants;

/** A directory of any host, by what Node has: no xattrs, no devices, no sharing, no holes to be seen. */
export class NodeDirectoryHost extends NodeRestoreTarget implements DirectoryHost {
  readonly isPrivileged = process.getuid?.() === 0;
  readonly uid = process.getuid?.() ?? 0;

  nameFault(name: Uint8Array): string | undefined {
    return hostNameFault(name, process.platform);
  }

  below(directory: Handle): DirectoryHost {
    return new NodeDirectoryHost(this.pathOf(directory, undefined), this.paths);
  }

  openRegular(directory: Handle, name: Uint8Array, access: "read" | "write"): Handle {
    const { kind } = this.stat(directory, name);
    if (kind !== "file") throw noFile(kind);
    const path = this.pathOf(directory, name);
    const flags = (access === "read" ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK;
    const file = refused("open", path, () => fs.openSync(path, flags));
    const opened = kindOf(fs.fstatSync(file));
    if (opened === "file") return file;
    fs.closeSync(file);
    throw noFile(opened);
  }

  read(file: Handle, target: Uint8Array, at: bigint): number {
    return refused("read", file, () => fs.readSync(file, target, 0, target.byteLength, at));
  }

  stat(handle: Handle, name: Uint8Array | undefined): HostStat {
    const open = this.descriptor(handle, name);
    const found = refused("look at", open ?? this.pathOf(handle, name), () =>
      open === undefined
        ? fs.lstatSync(this.pathOf(handle, name), { bigint: true })
        : fs.fstatSync(open, { bigint: true }),
    );
    const { mode, uid, gid, nlink, ino, dev, size, atimeNs, mtimeNs, rdev } = found;
    const kind = kindOf(found);
    const device = Number(rdev);
    return {
      kind,
      mode: Number(mode) & 0o7777,
      uid: Number(uid),
      gid: Number(gid),
      nlink: Number(nlink),
      inode: ino,
      device: `${dev}`,
      size,
      atime: atimeNs,
      mtime: mtimeNs,
      rdev: kind === "char" || kind === "block" ? { major: (device >>> 8) & 0xfff, minor: device & 0xff } : undefined,
    };
  }

  override setOwner(handle: Handle, name: Uint8Array | undefined, uid: number, gid: number): boolean {
    // There a call changes nothing and says that it went well.
    return process.platform !== "win32" && super.setOwner(handle, name, uid, gid);
  }

  list(directory: Handle): Uint8Array[] {
    const path = this.pathOf(directory, undefined);
    return refused("list", path, () => fs.readdirSync(path, { encoding: "buffer" }));
  }

  readLink(directory: Handle, name: Uint8Array): Uint8Array {
    const path = this.pathOf(directory, name);
    return refused("read symbolic link", path, () => fs.readlinkSync(path, { encoding: "buffer" }));
  }

  move(fromDirectory: Handle, from: Uint8Array, directory: Handle, name: Uint8Array): void {
    const path = this.pathOf(directory, name);
    refused("rename", path, () => fs.renameSync(this.pathOf(fromDirectory, from), path));
  }

  unlink(directory: Handle, name: Uint8Array): void {
    const path = this.pathOf(directory, name);
    refused("remove", path, () => fs.unlinkSync(path));
  }

  removeDirectory(directory: Handle, name: Uint8Array): void {
    const path = this.pathOf(directory, name);
    refused("remove directory", path, () => fs.rmdirSync(path));
  }

  xattrs(): HostXattr[] {
    return [];
  }

  removeXattr(): boolean {
    return false;
  }

  punch(): boolean {
    return false;
  }

  allocate(): boolean {
    return false;
  }

  share(): boolean {
    return false;
  }

  copy(from: Handle, fromAt: bigint, to: Handle, at: bigint, length: bigint): void {
    copyBytes(this, from, fromAt, to, at, length);
  }

  /** Holes are not to be seen, but a file without any block is one. */
  *segments(file: Handle, start: bigint, end: bigint): Generator<HostSegment> {
    const { blocks } = refused("look at", file, () => fs.fstatSync(file));
    if (start < end) yield { start, end, isHole: blocks === 0 && process.platform !== "win32" };
  }

  lock(): boolean {
    return true;
  }

  syncFile(file: Handle): void {
    refused("flush", file, () => fs.fsyncSync(file));
  }

  /** There is no call for a whole filesystem; the files that were written are left to the system. */
  async flush(): Promise<void> {}
}

function kindOf(stat: fs.Stats | fs.BigIntStats): InodeKind {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return "symlink";
  if (stat.isCharacterDevice()) return "char";
  if (stat.isBlockDevice()) return "block";
  return stat.isFIFO() ? "fifo" : "socket";
}

function noFile(kind: InodeKind): TargetError {
  return new TargetError("kind", `Cannot open file: it is a ${kind}, a regular file was expected`);
}
