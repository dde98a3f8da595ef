import { StreamError, type Where } from "../errors.ts";
import { MAX_PATH_BYTES } from "./encode.ts";

/** `BTRFS_NAME_LEN`, and `NAME_MAX` of Linux. */
export const MAX_NAME_BYTES = 255;

const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * What keeps a path of a stream from being safe, in words; `undefined` where nothing does.
 *
 * Safe is what stays below the subvolume it is given to: names of 1 to 255 bytes, joined by single slashes, none of them `.` or `..`,
 * without NUL, at most 4095 bytes in all. The empty path is the subvolume itself. Symlinks on the way are not seen here.
 */
export function pathFault(bytes: Uint8Array, start = 0, end: number = bytes.byteLength): string | undefined {
  if (start === end) return undefined;
  if (end - start > MAX_PATH_BYTES) return `it has ${end - start} bytes, at most ${MAX_PATH_BYTES} are allowed`;
  let name = start;
  for (let at = start; at <= end; at++) {
    const byte = at === end ? SLASH : bytes[at]!;
    if (byte === 0) return `byte ${at - start} is NUL`;
    if (byte !== SLASH) continue;
    const fault = nameFault(bytes, name, at);
    if (fault !== undefined) return at === start ? "it begins with a slash" : fault;
    name = at + 1;
  }
  return undefined;
}

function nameFault(bytes: Uint8Array, start: number, end: number): string | undefined {
  const length = end - start;
  if (length === 0) return "a name in it is empty";
  if (length > MAX_NAME_BYTES) return `a name in it has ${length} bytes, at most ${MAX_NAME_BYTES} are allowed`;
  if (length <= 2 && bytes[start] === DOT && bytes[end - 1] === DOT)
    return `a name in it is ${length === 1 ? "." : ".."}`;
  return undefined;
}

/** @throws {StreamError} `path`, unless `pathFault` finds nothing. */
export function checkPath(path: Uint8Array, where: Where = {}): void {
  const fault = pathFault(path);
  if (fault !== undefined) throw unsafe(fault, path, where);
}

/**
 * For the path of SUBVOL and SNAPSHOT, which is a single name.
 *
 * @throws {StreamError} `path`, unless it is a safe path of exactly one name.
 */
export function checkName(name: Uint8Array, where: Where = {}): void {
  const fault =
    pathFault(name) ?? (name.byteLength === 0 ? "it is empty" : name.includes(SLASH) ? "it has a slash" : undefined);
  if (fault !== undefined) throw unsafe(fault, name, where);
}

function unsafe(fault: string, path: Uint8Array, where: Where): StreamError {
  return new StreamError("path", `Cannot use path: ${fault}`, { where: { ...where, path: forDisplay(path) } });
}

/** One line, and not longer than an error should be. */
function forDisplay(path: Uint8Array): string {
  const text = new TextDecoder().decode(path.subarray(0, 100));
  const quoted = JSON.stringify(text).slice(1, -1);
  return path.byteLength > 100 ? `${quoted}…` : quoted;
}
