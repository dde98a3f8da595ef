import { constants } from "node:fs";
import { TIMES_BYTES } from "../restore/files-job.ts";
import type { FileCalls } from "../restore/target.ts";
import { addressBook } from "./addresses.ts";
import { RENAME_NOREPLACE } from "./entries.ts";
import { errnoOf } from "./errno.ts";
import { loadErrno, loadSyscall } from "./native.ts";
import { NOT_HELD, XATTR_NOT_HELD } from "./not-held.ts";
import { SYSCALLS } from "./numbers.ts";
import { O_CLOEXEC } from "./open.ts";

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | O_CLOEXEC;
const INTEGER = "intptr_t";

let loaded: FileCalls | undefined;

/** The calls of a plain file, straight into the kernel. @throws {UnsupportedError} as `loadNative`. */
export function loadFileCalls(): FileCalls {
  loaded ??= makeFileCalls();
  return loaded;
}

function makeFileCalls(): FileCalls {
  const numbers = SYSCALLS[process.arch]!;
  const openat = loadSyscall(INTEGER, INTEGER, INTEGER, INTEGER);
  const pwrite = loadSyscall(INTEGER, INTEGER, INTEGER, INTEGER);
  const one = loadSyscall(INTEGER);
  const two = loadSyscall(INTEGER, INTEGER);
  const three = loadSyscall(INTEGER, INTEGER, INTEGER);
  const utimensat = loadSyscall(INTEGER, INTEGER, INTEGER, INTEGER);
  const fsetxattr = loadSyscall(INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
  const renameat2 = loadSyscall(INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
  const errno = loadErrno();
  const notHeld = new Set([...NOT_HELD, ...XATTR_NOT_HELD].map(errnoOf));
  const names = addressBook();
  const data = addressBook();
  return {
    create: (directory, name) => openat(numbers.openat, directory, names(name, 0, 1), NEW_FILE, 0o600),
    write: (file, bytes, from, length, offset) =>
      pwrite(numbers.pwrite64, file, data(bytes, from, length), length, offset),
    truncate: (file, size) => two(numbers.ftruncate, file, size),
    setOwner: (file, uid, gid) => three(numbers.fchown, file, uid, gid),
    setMode: (file, mode) => two(numbers.fchmod, file, mode),
    setXattr: (file, bytes, nameAt, valueAt, length) => {
      const name = names(bytes, nameAt, 1);
      const value = names(bytes, valueAt, length);
      if (fsetxattr(numbers.fsetxattr, file, name, value, length, 0) >= 0) return 1;
      return notHeld.has(errno()) ? 0 : -1;
    },
    setTimes: (file, bytes, at) => utimensat(numbers.utimensat, file, 0, names(bytes, at, TIMES_BYTES), 0),
    close: (file) => one(numbers.close, file),
    rename: (directory, from, bytes, at, replace) =>
      renameat2(
        numbers.renameat2,
        directory,
        names(from, 0, 1),
        directory,
        names(bytes, at, 1),
        replace ? 0 : RENAME_NOREPLACE,
      ),
    remove: (directory, name) => three(numbers.unlinkat, directory, names(name, 0, 1), 0),
  };
}
