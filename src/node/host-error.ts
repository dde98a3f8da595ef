import { BtrfsError, type ErrorCode } from "../errors.ts";

/** What each error of the host means to us; `io` where nothing else is said. */
export const HOST_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "missing",
  ENOTDIR: "missing",
  EEXIST: "exists",
  EISDIR: "kind",
  EACCES: "permission",
  EPERM: "permission",
  EROFS: "permission",
  ENOSPC: "space",
  EDQUOT: "space",
  EBUSY: "busy",
  ETXTBSY: "busy",
};

/** The reader of what is written went away. Node's own pipes are sockets, which say ECONNRESET where bytes lay unread. */
export function isBrokenPipe(error: unknown): boolean {
  const { code } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  return code === "EPIPE" || code === "ECONNRESET";
}

/**
 * An error of the host as ours: `Cannot open /x: no such file or directory`. Any other error, and a broken pipe that was
 * written to, whose meaning is the caller's, comes back as it is.
 */
export function hostError(error: unknown, action: string, file: string): unknown {
  if (!(error instanceof Error)) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined || code === "ABORT_ERR" || (action === "write" && isBrokenPipe(error))) return error;
  // Node's message: `ENOENT: no such file or directory, open '/x'`.
  const reason = /^\w+: ([^,]*)/.exec(message)?.[1] ?? message;
  return new BtrfsError(HOST_CODES[code] ?? "io", `Cannot ${action} ${file}: ${reason}`, { cause: error });
}
