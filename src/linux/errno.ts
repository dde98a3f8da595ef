/** Names and words of Linux error numbers (`asm-generic/errno-base.h`, `asm-generic/errno.h`). */
const ERRNOS: Readonly<Record<number, readonly [name: string, words: string]>> = {
  1: ["EPERM", "operation not permitted"],
  2: ["ENOENT", "no such file or directory"],
  4: ["EINTR", "interrupted"],
  5: ["EIO", "input/output error"],
  6: ["ENXIO", "no such device or address"],
  7: ["E2BIG", "argument too long"],
  9: ["EBADF", "bad file descriptor"],
  11: ["EAGAIN", "try again"],
  12: ["ENOMEM", "out of memory"],
  13: ["EACCES", "permission denied"],
  14: ["EFAULT", "bad address"],
  16: ["EBUSY", "busy"],
  17: ["EEXIST", "exists already"],
  18: ["EXDEV", "crosses a mount point or filesystem"],
  19: ["ENODEV", "no such device"],
  20: ["ENOTDIR", "not a directory"],
  21: ["EISDIR", "is a directory"],
  22: ["EINVAL", "invalid argument"],
  23: ["ENFILE", "too many open files in the system"],
  24: ["EMFILE", "too many open files"],
  25: ["ENOTTY", "unknown ioctl for this file"],
  26: ["ETXTBSY", "file in use"],
  27: ["EFBIG", "file too large"],
  28: ["ENOSPC", "no space left"],
  29: ["ESPIPE", "not seekable"],
  30: ["EROFS", "read-only filesystem or subvolume"],
  31: ["EMLINK", "too many links"],
  32: ["EPIPE", "the reader went away"],
  34: ["ERANGE", "out of range"],
  36: ["ENAMETOOLONG", "name too long"],
  38: ["ENOSYS", "unknown system call"],
  39: ["ENOTEMPTY", "directory not empty"],
  40: ["ELOOP", "a symbolic link is in the way"],
  61: ["ENODATA", "no data"],
  71: ["EPROTO", "unsupported protocol version"],
  75: ["EOVERFLOW", "does not fit"],
  84: ["EILSEQ", "invalid byte sequence"],
  95: ["EOPNOTSUPP", "not supported"],
  105: ["ENOBUFS", "buffer too small"],
  110: ["ETIMEDOUT", "timed out"],
  116: ["ESTALE", "stale file handle"],
  117: ["EUCLEAN", "corrupt filesystem structure"],
  122: ["EDQUOT", "quota exceeded"],
  125: ["ECANCELED", "canceled"],
  126: ["ENOKEY", "required key not available"],
};

/** Name of an error number, as `EPERM`; `errno 133` where it has none here. */
export function errnoName(errno: number): string {
  return ERRNOS[errno]?.[0] ?? `errno ${errno}`;
}

export function errnoWords(errno: number): string {
  return ERRNOS[errno]?.[1] ?? "unnamed error";
}

const NUMBERS: ReadonlyMap<string, number> = new Map(
  Object.entries(ERRNOS).map(([errno, [name]]) => [name, Number(errno)]),
);

/** The number of a name, for comparing results: `errnoOf("ENOENT")` is 2. */
export function errnoOf(name: string): number {
  const found = NUMBERS.get(name);
  if (found === undefined) throw new RangeError(`Cannot find errno: ${name} is not in the table`);
  return found;
}
