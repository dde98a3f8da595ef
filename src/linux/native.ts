import { createRequire } from "node:module";
import type { KoffiFunc } from "koffi";
import { UnsupportedError } from "../errors.ts";
import { SYSCALLS, type SyscallName, type SyscallNumbers } from "./numbers.ts";

/**
 * An argument of a system call: an integer, or memory that the kernel reads or writes in place.
 * Memory that the kernel learns by address only (an iovec's target, a pointer in a struct) goes into `hold`.
 */
export type SyscallArgument = number | bigint | Uint8Array | null;

/** The kernel of this host. Results are the kernel's own: a negative one is `-errno`. */
export interface Native {
  /** @param hold Memory that the arguments point to, kept alive until the call returns. */
  call(name: SyscallName, args: readonly SyscallArgument[], hold?: unknown): number;
  /** On a thread of the libuv pool. All memory is lent to the kernel until the promise settles. */
  callAsync(name: SyscallName, args: readonly SyscallArgument[], hold?: unknown): Promise<number>;
  /** Where the first byte of `memory` lies. True as long as `memory` is referenced and not transferred. */
  addressOf(memory: Uint8Array): bigint;
}

/**
 * Foreign calls in flight at once. The libuv pool has 4 threads unless told otherwise, and koffi keeps 8 stacks: a call
 * beyond those maps one of its own, which makes it several times as slow.
 */
const MAX_IN_FLIGHT = 8;

/** Names under which the C library is found where the program itself does not export it. */
const C_LIBRARIES = ["libc.so.6", "libc.so", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

let loaded: Native | undefined;

/**
 * The kernel of this host. Loads the foreign-function library on first use.
 *
 * @throws {UnsupportedError} on another operating system or architecture, or where the optional package `koffi` is missing.
 */
export function loadNative(): Native {
  loaded ??= createNative();
  return loaded;
}

function createNative(): Native {
  if (process.platform !== "linux") {
    throw new UnsupportedError(`Cannot call the kernel: this is ${process.platform}, its btrfs calls need Linux`);
  }
  const numbers = SYSCALLS[process.arch];
  if (numbers === undefined) {
    const known = Object.keys(SYSCALLS).join(", ");
    throw new UnsupportedError(`Cannot call the kernel: this is ${process.arch}, known are ${known}`);
  }
  const library = loadKoffi();
  return new KoffiNative(library, numbers, findSyscall(library, ANYTHING));
}

function loadKoffi(): Koffi {
  try {
    return createRequire(import.meta.url)("koffi") as Koffi;
  } catch (cause) {
    throw new UnsupportedError(
      "Cannot call the kernel: the optional package koffi does not load, npm install koffi",
      {},
      cause,
    );
  }
}

/**
 * libc's `syscall` for arguments of these types after its number: `intptr_t`, `void *`. For calls that are too many for
 * `Native.call`; it answers -1 in place of `-errno`.
 *
 * @throws {UnsupportedError} as `loadNative`.
 */
export function loadSyscall(...types: string[]): (number: number, ...args: SyscallArgument[]) => number {
  return findSyscall(loadKoffi(), types);
}

/** The `errno` of the last call of `loadSyscall` on this thread. @throws {UnsupportedError} where koffi is missing. */
export function loadErrno(): () => number {
  const library = loadKoffi();
  return () => library.errno();
}

/**
 * A shared library of the system by the name under which the loader finds it.
 *
 * @throws where it or koffi is not there.
 */
export function loadLibrary(name: string): ReturnType<Koffi["load"]> {
  return loadKoffi().load(name);
}

/** Where the first byte of memory lies, as `Native.addressOf` says it. @throws {UnsupportedError} where koffi is missing. */
export function loadAddressOf(): (memory: Uint8Array) => number {
  const library = loadKoffi();
  return (memory) => Number(library.address(memory));
}

type Koffi = typeof import("koffi");
type SyscallFunction = KoffiFunc<(number: number, ...args: SyscallArgument[]) => number>;

/** Six arguments; the type takes integers as well as memory. */
const ANYTHING: readonly string[] = new Array(6).fill("void *");

/** libc's `syscall`: glibc and musl both have it, so that no other symbol or struct of theirs matters. */
function findSyscall(library: Koffi, types: readonly string[]): SyscallFunction {
  const causes: unknown[] = [];
  for (const name of [null, ...C_LIBRARIES]) {
    try {
      return library.load(name).func("syscall", "intptr_t", ["intptr_t", ...types]) as SyscallFunction;
    } catch (cause) {
      causes.push(cause);
    }
  }
  throw new UnsupportedError("Cannot call the kernel: no C library with syscall() is found", {}, causes[0]);
}

class KoffiNative implements Native {
  readonly #library: Koffi;
  readonly #numbers: SyscallNumbers;
  readonly #syscall: SyscallFunction;
  readonly #waiting: (() => void)[] = [];
  #inFlight = 0;
  /** Written around each call, so that the engine can't drop the memory as unused while the kernel works on it. */
  held: unknown;

  constructor(library: Koffi, numbers: SyscallNumbers, syscall: SyscallFunction) {
    this.#library = library;
    this.#numbers = numbers;
    this.#syscall = syscall;
  }

  call(
    name: SyscallName,
    [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0]: readonly SyscallArgument[],
    hold?: unknown,
  ): number {
    this.held = hold;
    const result = this.#syscall(this.#numbers[name], a, b, c, d, e, f);
    const outcome = result === -1 ? -this.#library.errno() : result;
    this.held = undefined;
    return outcome;
  }

  async callAsync(name: SyscallName, args: readonly SyscallArgument[], hold?: unknown): Promise<number> {
    if (this.#inFlight >= MAX_IN_FLIGHT) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#inFlight++;
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args;
    try {
      return await new Promise<number>((resolve, reject) => {
        this.#syscall.async(this.#numbers[name], a, b, c, d, e, f, (error: unknown, result: number) => {
          keepAlive(args, hold);
          // errno of the worker is valid here only.
          if (error) reject(error);
          else resolve(result === -1 ? -this.#library.errno() : result);
        });
      });
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#inFlight--;
      else next(); // takes over this place
    }
  }

  addressOf(memory: Uint8Array): bigint {
    return BigInt(this.#library.address(memory));
  }
}

/** Uses its arguments, so that a closure holds them until here. */
function keepAlive(..._things: unknown[]): void {}
