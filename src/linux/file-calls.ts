import { constants } from "node:fs";
import type { FileCalls } from "../restore/target.ts";
import { RENAME_NOREPLACE } from "./entries.ts";
import { loadSyscall } from "./native.ts";
import { SYSCALLS } from "./numbers.ts";
import { O_CLOEXEC } from "./open.ts";

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | O_CLOEXEC;
const INTEGER = "intptr_t";
const MEMORY = "void *";

let loaded: FileCalls | undefined;

/** The calls of a plain file, straight into the kernel. @throws {UnsupportedError} as `loadNative`. */
export function loadFileCalls(): FileCalls {
  loaded ??= makeFileCalls();
  return loaded;
}

function makeFileCalls(): FileCalls {
  const numbers = SYSCALLS[process.arch]!;
  const openat = loadSyscall(INTEGER, MEMORY, INTEGER, INTEGER);
  const pwrite = loadSyscall(INTEGER, MEMORY, INTEGER, INTEGER);
  const one = loadSyscall(INTEGER);
  const two = loadSyscall(INTEGER, INTEGER);
  const three = loadSyscall(INTEGER, INTEGER, INTEGER);
  const utimensat = loadSyscall(INTEGER, MEMORY, MEMORY, INTEGER);
  const renameat2 = loadSyscall(INTEGER, MEMORY, INTEGER, MEMORY, INTEGER);
  const unlinkat = loadSyscall(INTEGER, MEMORY, INTEGER);
  return {
    create: (directory, name) => openat(numbers.openat, directory, name, NEW_FILE, 0o600),
    write: (file, data, length, offset) => pwrite(numbers.pwrite64, file, data, length, offset),
    truncate: (file, size) => two(numbers.ftruncate, file, size),
    setOwner: (file, uid, gid) => three(numbers.fchown, file, uid, gid),
    setMode: (file, mode) => two(numbers.fchmod, file, mode),
    setTimes: (file, times) => utimensat(numbers.utimensat, file, null, times, 0),
    close: (file) => one(numbers.close, file),
    rename: (directory, from, name, replace) =>
      renameat2(numbers.renameat2, directory, from, directory, name, replace ? 0 : RENAME_NOREPLACE),
    remove: (directory, name) => unlinkat(numbers.unlinkat, directory, name, 0),
  };
}
