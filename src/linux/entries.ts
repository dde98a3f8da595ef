import { AT_FDCWD, call, cString, type Name, procPath } from "./call.ts";
import type { Native } from "./native.ts";

/** `RENAME_*` of `linux/fs.h`. */
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;

/** @param mode Permission bits, less those of the umask. */
export function mkdirat(native: Native, directory: number, name: Name, mode: number): void {
  call(native, "mkdirat", [directory, cString(name), mode], { act: "create directory", fd: directory, name });
}

/**
 * Makes a device, fifo, socket or empty regular file.
 *
 * @param mode Type (`S_IFMT`) and permission bits, the latter less those of the umask.
 * @param device For devices: `makeDevice(major, minor)`.
 */
export function mknodat(native: Native, directory: number, name: Name, mode: number, device = 0): void {
  call(native, "mknodat", [directory, cString(name), mode, device], { act: "create node", fd: directory, name });
}

/** The device number that `mknodat` takes: 12 bits of major, 20 bits of minor, as the kernel packs them. */
export function makeDevice(major: number, minor: number): number {
  if (major >>> 12 !== 0 || minor >>> 20 !== 0) {
    throw new RangeError(`Cannot make device number: ${major}:${minor} is over 4095:1048575`);
  }
  return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

/** @param target What the link says; it is not looked up. */
export function symlinkat(native: Native, target: Name, directory: number, name: Name): void {
  const context = { act: "create symbolic link", fd: directory, name };
  call(native, "symlinkat", [cString(target), directory, cString(name)], context);
}

/** Gives the file `from` another name. A symbolic link is linked itself, not what it leads to. */
export function linkat(native: Native, fromDirectory: number, from: Name, directory: number, name: Name): void {
  const context = { act: "create link", fd: directory, name };
  call(native, "linkat", [fromDirectory, cString(from), directory, cString(name), 0], context);
}

/** Gives the open file a name; it may have none so far (`O_TMPFILE`). */
export function linkDescriptor(native: Native, fd: number, directory: number, name: Name): void {
  const args = [AT_FDCWD, cString(procPath(fd)), directory, cString(name), AT_SYMLINK_FOLLOW];
  call(native, "linkat", args, { act: "create link", fd: directory, name });
}

/** @param flags `RENAME_*`; without any, what has the new name is replaced. */
export function renameat2(
  native: Native,
  fromDirectory: number,
  from: Name,
  directory: number,
  name: Name,
  flags = 0,
): void {
  const context = { act: "rename", fd: fromDirectory, name: from };
  call(native, "renameat2", [fromDirectory, cString(from), directory, cString(name), flags], context);
}

/** Removes a name that is not a directory. */
export function unlinkat(native: Native, directory: number, name: Name): void {
  call(native, "unlinkat", [directory, cString(name), 0], { act: "remove", fd: directory, name });
}

/** Removes an empty directory, or an empty subvolume. */
export function rmdirat(native: Native, directory: number, name: Name): void {
  const context = { act: "remove directory", fd: directory, name };
  call(native, "unlinkat", [directory, cString(name), AT_REMOVEDIR], context);
}
