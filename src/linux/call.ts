import { BtrfsError, KernelError, type Where } from "../errors.ts";
import { errnoName, errnoWords } from "./errno.ts";
import type { Native, SyscallArgument } from "./native.ts";
import type { SyscallName } from "./numbers.ts";

/** A file name, a path or an xattr name: bytes, or text that becomes UTF-8. */
export type Name = string | Uint8Array;

/** "Relative to the working directory", in place of a directory's descriptor. */
export const AT_FDCWD = -100;

/** What an error should say about the call that it is about. */
export interface CallContext {
  /** What the caller wanted, as `create directory`. */
  readonly act: string;
  /** The system call or ioctl, where it is not the name of the system call. */
  readonly call?: string;
  /** Descriptor that the call was about; its path is looked up when an error is made. */
  readonly fd?: number | undefined;
  /** Name or path relative to `fd`. */
  readonly name?: Name | undefined;
  /** What a person can do, by errno. */
  readonly help?: Readonly<Record<string, string>>;
}

/** @throws {KernelError} for a negative result. */
export function check(native: Native, result: number, call: string, context: CallContext): number {
  if (result >= 0) return result;
  throw kernelError(native, -result, call, context);
}

/** Calls and checks. */
export function call(
  native: Native,
  name: SyscallName,
  args: readonly SyscallArgument[],
  context: CallContext,
  hold?: unknown,
): number {
  const result = native.call(name, args, hold);
  return result >= 0 ? result : check(native, result, context.call ?? name, context);
}

/** Calls on another thread and checks. */
export async function callAsync(
  native: Native,
  name: SyscallName,
  args: readonly SyscallArgument[],
  context: CallContext,
  hold?: unknown,
): Promise<number> {
  return check(native, await native.callAsync(name, args, hold), context.call ?? name, context);
}

const GENERAL_HELP: Readonly<Record<string, string>> = {
  EPERM: "the owner or root can do it",
  EACCES: "check the permissions, or run as root",
  EROFS: "make it writable first",
  ENOSPC: "free some space first",
  EDQUOT: "raise the quota or free some space first",
  EMFILE: "raise the limit of open files (ulimit -n)",
  EBUSY: "wait until nobody uses it",
  ETXTBSY: "wait until nobody runs it, or swapoff first",
  ENOSYS: "a newer kernel has it",
  EIO: "look for the cause in the kernel's log (dmesg)",
  EUCLEAN: "run btrfs check on the unmounted filesystem",
};

/** The error of a refused call: what was wanted, what the kernel says, what a person can do, and where. */
export function kernelError(native: Native, errno: number, call: string, context: CallContext): KernelError {
  const name = errnoName(errno);
  return new KernelError(call, name, refusal(errno, call, context), { where: whereOf(native, context) });
}

/** The sentence of a refusal. */
export function refusal(errno: number, call: string, context: CallContext): string {
  const name = errnoName(errno);
  const help = context.help?.[name] ?? GENERAL_HELP[name];
  const advice = help === undefined ? "" : `: ${help}`;
  return `Cannot ${context.act}: ${call} answers ${name}, ${errnoWords(errno)}${advice}`;
}

/** The path that a call was about, as far as the kernel still knows it. */
export function whereOf(native: Native, { fd, name }: CallContext): Where {
  const directory = fd === undefined || fd === AT_FDCWD ? "" : (pathOf(native, fd) ?? `descriptor ${fd}`);
  const shown = name === undefined ? "" : displayName(name);
  const file = shown === "" || shown.startsWith("/") || directory === "" ? shown || directory : `${directory}/${shown}`;
  return file === "" ? {} : { file };
}

/** Path of an open descriptor, or undefined where `/proc` does not say. */
export function pathOf(native: Native, fd: number): string | undefined {
  const target = new Uint8Array(4096);
  const length = native.call("readlinkat", [AT_FDCWD, cString(procPath(fd)), target, target.byteLength]);
  return length > 0 ? displayName(target.subarray(0, length)) : undefined;
}

/** A path that leads to an open descriptor, also to one opened with `O_PATH`. Needs `/proc`. */
export function procPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export function displayName(name: Name): string {
  return typeof name === "string" ? name : decoder.decode(name);
}

/**
 * The NUL-terminated bytes that the kernel wants.
 *
 * @throws {BtrfsError} `path`, when `name` holds a NUL byte: the kernel would silently stop there.
 */
export function cString(name: Name): Uint8Array {
  const bytes = typeof name === "string" ? encoder.encode(name) : name;
  const nul = bytes.indexOf(0);
  if (nul !== -1) {
    throw new BtrfsError(
      "path",
      `Cannot use name ${JSON.stringify(displayName(name))}: byte ${nul} is NUL, which ends a name`,
    );
  }
  const terminated = scratch(bytes.byteLength + 1);
  terminated.set(bytes);
  terminated[bytes.byteLength] = 0;
  return terminated;
}

/**
 * Memory for a small argument, not cleared. It comes out of Node's pool: memory of its own would cost as much as a
 * system call does.
 */
export function scratch(length: number): Uint8Array {
  return Buffer.allocUnsafe(length);
}

/** The bytes before the first NUL, or all of them: a copy. */
export function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return bytes.slice(0, end === -1 ? bytes.byteLength : end);
}
