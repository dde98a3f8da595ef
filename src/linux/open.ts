import { constants, readFileSync } from "node:fs";
import { viewOf } from "../bytes/bytes.ts";
import { struct, u64 } from "../bytes/struct.ts";
import { BtrfsError, KernelError } from "../errors.ts";
import { AT_FDCWD, call, check, cString, displayName, type Name, scratch, untilNul } from "./call.ts";
import { errnoOf } from "./errno.ts";
import type { Native } from "./native.ts";

/** Flags of `open(2)` that `node:fs` lacks; the others are in its `constants`. Values of all Linux platforms that btrkit knows. */
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20000000 | (constants.O_DIRECTORY ?? 0);

/** `RESOLVE_*` of `linux/openat2.h`. */
export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;

/** `struct open_how`. */
export const OpenHow = struct("open_how", 24, { flags: u64, mode: u64, resolve: u64 });

/**
 * Opens `name` in the open directory. The descriptor closes on exec.
 *
 * @param mode Permission bits of a file that `O_CREAT` makes.
 */
export function openat(native: Native, directory: number, name: Name, flags: number, mode = 0): number {
  return call(native, "openat", [directory, cString(name), flags | O_CLOEXEC, mode], {
    act: "open file",
    fd: directory,
    name,
  });
}

/**
 * Opens `name` with `RESOLVE_*` rules for every component.
 *
 * @throws {KernelError} ENOSYS before Linux 5.6: `openBeneath` has another way there.
 */
export function openat2(
  native: Native,
  directory: number,
  name: Name,
  how: { flags: number; mode?: number; resolve: number },
): number {
  const args = scratch(OpenHow.byteLength);
  const view = new OpenHow(viewOf(args));
  view.flags = BigInt(how.flags | O_CLOEXEC);
  view.mode = BigInt(how.mode ?? 0);
  view.resolve = BigInt(how.resolve);
  const context = { act: "open file", fd: directory, name };
  return call(native, "openat2", [directory, cString(name), args, OpenHow.byteLength], context);
}

/** Never out of the directory, never through a symbolic link, never onto another mount. */
const CONFINED = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

/**
 * Opens `path` beneath the open directory: a symbolic link on the way, or at its end, is refused, and so are `..`, `.`,
 * empty components, absolute paths and other mounts. Subvolumes on the way are no mounts and are passed.
 *
 * An `O_PATH | O_NOFOLLOW` open of a symbolic link opens the link itself.
 *
 * @throws {BtrfsError} `path`, for a path of a form that is refused.
 * @throws {KernelError} ELOOP or ENOTDIR for a symbolic link, EXDEV for another mount.
 */
export function openBeneath(native: Native, directory: number, path: Name, flags: number, mode = 0): number {
  const components = splitPath(path);
  if (hasOpenat2(native)) {
    // Unlike openat, openat2 refuses a mode where nothing can be created.
    const creates = (flags & constants.O_CREAT) !== 0 || (flags & O_TMPFILE) === O_TMPFILE;
    return openat2(native, directory, path, { flags, mode: creates ? mode : 0, resolve: CONFINED });
  }
  const parents: number[] = [];
  try {
    let parent = directory;
    for (const component of components.slice(0, -1)) {
      parent = openat(native, parent, component, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      parents.push(parent);
      refuseOtherMount(directory, parent, path);
    }
    const opened = openat(native, parent, components.at(-1)!, flags | constants.O_NOFOLLOW, mode);
    try {
      refuseOtherMount(directory, opened, path);
    } catch (error) {
      close(native, opened);
      throw error;
    }
    return opened;
  } finally {
    for (const parent of parents) close(native, parent);
  }
}

/**
 * The components of a path that stays beneath where it starts.
 *
 * @throws {BtrfsError} `path`, when it is empty or absolute, or has an empty component, `.` or `..`.
 */
export function splitPath(path: Name): Uint8Array[] {
  const bytes = cString(path).subarray(0, -1);
  const components: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at <= bytes.byteLength; at++) {
    if (at < bytes.byteLength && bytes[at] !== 0x2f) continue;
    const component = bytes.subarray(start, at);
    if (component.byteLength === 0 || isDots(component)) {
      const shown = displayName(component);
      throw new BtrfsError(
        "path",
        `Cannot open path: component ${components.length + 1} is "${shown}", a name was expected`,
        {
          where: { path: displayName(path) },
        },
      );
    }
    components.push(component);
    start = at + 1;
  }
  return components;
}

const SEEK_SET = 0;

function isDots(component: Uint8Array): boolean {
  return component.byteLength <= 2 && component.every((byte) => byte === 0x2e);
}

const openat2Known = new WeakMap<Native, boolean>();

function hasOpenat2(native: Native): boolean {
  let known = openat2Known.get(native);
  if (known === undefined) {
    // With a size of 0 a kernel that has the call says EINVAL; old ones say ENOSYS, and some sandboxes EPERM.
    known = native.call("openat2", [AT_FDCWD, null, null, 0]) === -errnoOf("EINVAL");
    openat2Known.set(native, known);
  }
  return known;
}

function refuseOtherMount(directory: number, opened: number, path: Name): void {
  if (mountOf(directory) === mountOf(opened)) return;
  throw new KernelError(
    "openat",
    "EXDEV",
    "Cannot open file: another filesystem is mounted there, the same was expected",
    {
      where: { path: displayName(path) },
    },
  );
}

function mountOf(fd: number): string | undefined {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
  return /^mnt_id:\s*(\d+)$/m.exec(info)?.[1];
}

/** Target of a symbolic link, as bytes. */
export function readlinkat(native: Native, directory: number, name: Name): Uint8Array {
  // A target is shorter than a page on every Linux filesystem.
  const target = new Uint8Array(4096);
  const args = [directory, cString(name), target, target.byteLength];
  const length = call(native, "readlinkat", args, { act: "read symbolic link", fd: directory, name });
  return target.slice(0, length);
}

/** An entry of a directory; `type` is `DT_*` of `dirent.h`, 0 where the filesystem does not say. */
export interface DirectoryEntry {
  readonly inode: bigint;
  readonly type: number;
  readonly name: Uint8Array;
}

/** The entries of an open directory, without `.` and `..`, in the order of the filesystem. */
export function* readDirectory(native: Native, directory: number): Generator<DirectoryEntry> {
  const buffer = new Uint8Array(32768);
  const view = new DataView(buffer.buffer);
  // Also for a directory just opened: btrfs shows what was there when it was opened or rewound.
  call(native, "lseek", [directory, 0, SEEK_SET], { act: "list directory", fd: directory });
  for (;;) {
    const args = [directory, buffer, buffer.byteLength];
    const end = call(native, "getdents64", args, { act: "list directory", fd: directory });
    if (end === 0) return;
    // struct linux_dirent64: u64 d_ino, s64 d_off, u16 d_reclen, u8 d_type, char d_name[]
    for (let at = 0; at < end; at += view.getUint16(at + 16, true)) {
      const name = untilNul(buffer.subarray(at + 19, at + view.getUint16(at + 16, true)));
      if (isDots(name)) continue;
      yield { inode: view.getBigUint64(at, true), type: buffer[at + 18]!, name };
    }
  }
}

/** Closes a descriptor. An error that a delayed write left behind is thrown: call `fsync` first where data matters. */
export function close(native: Native, fd: number): void {
  const result = native.call("close", [fd]);
  // The descriptor is gone after EINTR and EIO alike; only EIO says that something was lost.
  if (result !== -errnoOf("EINTR")) check(native, result, "close", { act: `close descriptor ${fd}` });
}
