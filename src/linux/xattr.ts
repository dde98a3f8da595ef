import { type CallContext, check, cString, displayName, type Name, procPath, untilNul } from "./call.ts";
import { errnoOf } from "./errno.ts";
import type { Native } from "./native.ts";
import type { SyscallName } from "./numbers.ts";

/**
 * Extended attributes of a name in an open directory, of a symbolic link itself and not of what it leads to; or, with
 * `undefined` as the name, of the open file.
 *
 * There is no `*at` call for them before Linux 6.13, so a name is reached through `/proc/self/fd`: it has to be one
 * component where links on the way must not be followed. `AT_FDCWD` needs no `/proc`.
 */

/** Longest value that Linux takes (`XATTR_SIZE_MAX`), in bytes. Lists of names may reach it too. */
export const XATTR_SIZE_MAX = 65536;

type Operation = "setxattr" | "getxattr" | "listxattr" | "removexattr";

/** The variant of the call and its first argument. */
function reach(operation: Operation, fd: number, name: Name | undefined): [SyscallName, number | Uint8Array] {
  if (name === undefined) return [`f${operation}`, fd];
  return [`l${operation}`, pathThrough(fd, name)];
}

function pathThrough(directory: number, name: Name): Uint8Array {
  const path = cString(name);
  if (directory < 0 || path[0] === 0x2f) return path;
  const prefix = new TextEncoder().encode(`${procPath(directory)}/`);
  const whole = new Uint8Array(prefix.byteLength + path.byteLength);
  whole.set(prefix);
  whole.set(path, prefix.byteLength);
  return whole;
}

function contextOf(act: string, fd: number, name: Name | undefined, attribute?: Name): CallContext {
  return { act: attribute === undefined ? act : `${act} ${displayName(attribute)}`, fd, name };
}

/** `XATTR_CREATE` and `XATTR_REPLACE` of `sys/xattr.h`. */
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

/** @param flags `XATTR_CREATE` or `XATTR_REPLACE`; without one, either happens. */
export function setXattr(
  native: Native,
  fd: number,
  name: Name | undefined,
  attribute: Name,
  value: Uint8Array,
  flags = 0,
): void {
  const [variant, target] = reach("setxattr", fd, name);
  const args = [target, cString(attribute), value, value.byteLength, flags];
  const result = native.call(variant, args);
  if (result < 0) check(native, result, variant, contextOf("set xattr", fd, name, attribute));
}

export function removeXattr(native: Native, fd: number, name: Name | undefined, attribute: Name): void {
  const [variant, target] = reach("removexattr", fd, name);
  const result = native.call(variant, [target, cString(attribute)]);
  if (result < 0) check(native, result, variant, contextOf("remove xattr", fd, name, attribute));
}

/** The value, or undefined where there is no such attribute. */
export function findXattr(native: Native, fd: number, name: Name | undefined, attribute: Name): Uint8Array | undefined {
  const [variant, target] = reach("getxattr", fd, name);
  const attributeBytes = cString(attribute);
  for (const size of [256, XATTR_SIZE_MAX]) {
    const value = new Uint8Array(size);
    const result = native.call(variant, [target, attributeBytes, value, size]);
    if (result === -errnoOf("ENODATA")) return undefined;
    if (result === -errnoOf("ERANGE") && size < XATTR_SIZE_MAX) continue;
    if (result < 0) check(native, result, variant, contextOf("read xattr", fd, name, attribute));
    return value.subarray(0, result);
  }
  return undefined;
}

/** Names of all attributes that the caller may see, in the order in which the filesystem keeps them. */
export function listXattrs(native: Native, fd: number, name: Name | undefined): Uint8Array[] {
  const [variant, target] = reach("listxattr", fd, name);
  for (const size of [256, XATTR_SIZE_MAX]) {
    const list = new Uint8Array(size);
    const result = native.call(variant, [target, list, size]);
    if (result === -errnoOf("ERANGE") && size < XATTR_SIZE_MAX) continue;
    if (result < 0) check(native, result, variant, contextOf("list xattrs", fd, name));
    return splitNames(list.subarray(0, result));
  }
  return [];
}

function splitNames(list: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  for (let at = 0; at < list.byteLength; ) {
    const name = untilNul(list.subarray(at));
    names.push(name);
    at += name.byteLength + 1;
  }
  return names;
}
