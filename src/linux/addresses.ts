import { loadAddressOf } from "./native.ts";

/** Address of byte `at` of `memory`, which has `length` bytes from there on. */
export type AddressBook = (memory: Uint8Array, at: number, length: number) => number;

/**
 * Addresses for calls whose arguments are integers: those cost a fraction of what memory costs. It knows two arrays at a time
 * and holds on to them, so that they stay where they are until the call is over.
 */
export function addressBook(): AddressBook {
  const addressOf = loadAddressOf();
  let [memory, base]: [Uint8Array, number] = [new Uint8Array(0), 0];
  let [other, otherBase] = [memory, 0];
  return (wanted, at, length) => {
    if (!(at >= 0 && at + length <= wanted.byteLength)) {
      throw new RangeError(`Cannot lend ${length} bytes from ${at} on: there are ${wanted.byteLength}`);
    }
    if (wanted !== memory) {
      [memory, base, other, otherBase] = [other, otherBase, memory, base];
      if (wanted !== memory) {
        memory = wanted;
        base = addressOf(wanted);
      }
    }
    return base + at;
  };
}
