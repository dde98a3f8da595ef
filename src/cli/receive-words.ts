import { BtrfsError, EncodedIoError, KernelError, StreamError } from "../errors.ts";
import { CommandError } from "../receive/command-error.ts";
import { type CommandName, commandName } from "../stream/commands.ts";

/** `strerror` of the C library, for what scripts look for. */
export const REASONS: Readonly<Record<string, string>> = {
  EPERM: "Operation not permitted",
  ENOENT: "No such file or directory",
  EIO: "Input/output error",
  EACCES: "Permission denied",
  EBUSY: "Device or resource busy",
  EEXIST: "File exists",
  EXDEV: "Invalid cross-device link",
  ENOTDIR: "Not a directory",
  EISDIR: "Is a directory",
  EINVAL: "Invalid argument",
  EMFILE: "Too many open files",
  ENOTTY: "Inappropriate ioctl for device",
  ETXTBSY: "Text file busy",
  EFBIG: "File too large",
  ENOSPC: "No space left on device",
  EROFS: "Read-only file system",
  EMLINK: "Too many links",
  ERANGE: "Numerical result out of range",
  ENAMETOOLONG: "File name too long",
  ENOTEMPTY: "Directory not empty",
  ELOOP: "Too many levels of symbolic links",
  ENODATA: "No data available",
  EOPNOTSUPP: "Operation not supported",
  EDQUOT: "Disk quota exceeded",
  EPROTO: "Protocol error",
};

const FAILURES: Readonly<Partial<Record<CommandName, (path: string, other: string) => string>>> = {
  subvol: (path) => `creating subvolume ${path} failed`,
  snapshot: (path) => `creating snapshot ${path} failed`,
  mkfile: (path) => `mkfile ${path} failed`,
  mkdir: (path) => `mkdir ${path} failed`,
  mknod: (path) => `mknod ${path} failed`,
  mkfifo: (path) => `mkfifo ${path} failed`,
  mksock: (path) => `mknod ${path} failed`,
  symlink: (path, other) => `symlink ${path} -> ${other} failed`,
  rename: (path, other) => `rename ${path} -> ${other} failed`,
  link: (path, other) => `link ${path} -> ${other} failed`,
  unlink: (path) => `unlink ${path} failed`,
  rmdir: (path) => `rmdir ${path} failed`,
  setXattr: (path, other) => `lsetxattr ${path} ${other} failed`,
  removeXattr: (path, other) => `lremovexattr ${path} ${other} failed`,
  write: (path) => `writing to ${path} failed`,
  clone: (path) => `failed to clone extents to ${path}`,
  truncate: (path) => `truncate ${path} failed`,
  chmod: (path) => `chmod ${path} failed`,
  chown: (path) => `chown ${path} failed`,
  utimes: (path) => `utimes ${path} failed`,
  fallocate: (path) => `fallocate: fallocate on ${path} failed`,
  fileattr: (path) => `fileattr ${path} failed`,
  encodedWrite: (path) => `encoded_write: writing to ${path} failed`,
  enableVerity: (path) => `failed to enable verity on ${path}`,
};

/**
 * What `btrfs receive` says of a failure, where it has a sentence for it; else our own, which then names the place. The
 * peer's own bytes of names are shown escaped.
 */
export function receiveFailure(error: BtrfsError): string {
  if (error instanceof CommandError) return commandFailure(error);
  return error instanceof StreamError ? streamFailure(error) : error.message;
}

function commandFailure(error: CommandError): string {
  const { cause } = error;
  const name = commandName(error.type);
  if (cause instanceof BtrfsError && cause.code === "exists" && name !== undefined && FAILURES[name] !== undefined) {
    return `${FAILURES[name](error.where.path ?? "", error.other ?? "")}: ${REASONS.EEXIST}`;
  }
  if (!(cause instanceof KernelError || cause instanceof EncodedIoError) || name === undefined) {
    return cause instanceof Error && !/^Cannot /.test(cause.message) ? cause.message : error.message;
  }
  const failed = FAILURES[name]?.(error.where.path ?? "", error.other ?? "");
  const isOpening = cause.errno !== "ENOSPC" && cause.sentence.startsWith("Cannot open file");
  const tried = isOpening && name !== "mkfile" ? `cannot open ${error.where.path}` : failed;
  return tried === undefined ? error.message : `${tried}: ${REASONS[cause.errno] ?? cause.errno}`;
}

function streamFailure(error: StreamError): string {
  const { code, sentence, where } = error;
  const place = where.streamOffset === undefined ? "" : ` (stream offset ${where.streamOffset})`;
  if (/the input is empty/.test(sentence)) return "empty stream is not considered valid";
  if (/there is no stream header/.test(sentence)) return `unexpected header${place}`;
  if (code === "truncated") return `unexpected EOF in stream${place}`;
  if (code === "checksum") return `crc32 mismatch in command${place}`;
  const version = /version is (\d+)/.exec(sentence)?.[1];
  if (code === "unsupported" && version !== undefined) {
    return `stream version ${version} not supported, please use newer version`;
  }
  return error.message;
}
