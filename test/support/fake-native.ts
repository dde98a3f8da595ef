import type { Native, SyscallArgument } from "../../src/linux/native.ts";
import type { SyscallName } from "../../src/linux/numbers.ts";

export interface FakeCall {
  readonly name: SyscallName;
  readonly args: readonly SyscallArgument[];
}

type Answer = number | ((args: readonly SyscallArgument[], fake: FakeNative) => number);

/** A kernel of a few answers: each call is noted, and what has no answer is `-ENOSYS`. */
export class FakeNative implements Native {
  readonly calls: FakeCall[] = [];
  readonly answers: Partial<Record<SyscallName, Answer>>;
  readonly #memory = new Map<bigint, Uint8Array>();
  #nextAddress = 0x1000n;

  constructor(answers: Partial<Record<SyscallName, Answer>>) {
    this.answers = answers;
  }

  call(name: SyscallName, args: readonly SyscallArgument[]): number {
    this.calls.push({ name, args: args.map((arg) => (arg instanceof Uint8Array ? Uint8Array.from(arg) : arg)) });
    const answer = this.answers[name] ?? -38;
    return typeof answer === "number" ? answer : answer(args, this);
  }

  async callAsync(name: SyscallName, args: readonly SyscallArgument[]): Promise<number> {
    return this.call(name, args);
  }

  addressOf(memory: Uint8Array): bigint {
    const address = this.#nextAddress;
    this.#nextAddress += BigInt(memory.byteLength) + 0x1000n;
    this.#memory.set(address, memory);
    return address;
  }

  /** The memory whose address was asked for. */
  memoryAt(address: bigint): Uint8Array {
    const memory = this.#memory.get(address);
    if (memory === undefined) throw new Error(`nobody asked for the address ${address}`);
    return memory;
  }
}
