import { NumberSet } from "../bytes/number-set.ts";

/** Up to so many names have a table of their own; more go where growing needs little room. */
const SMALL_SLOTS = 1 << 16;
const FIRST_SLOTS = 128;
/** At most 128 MiB are spent: names after so many are not watched. */
const MOST = 1 << 23;
const SEEDS = [Math.random(), Math.random()].map((part) => Math.floor(part * 0x1_0000_0000)) as [number, number];

/** Directories are many, and often of one size: making a table takes longer than filling it. */
let spare: Float64Array<ArrayBuffer> | undefined;

/**
 * Tells a name that may have come before, in 16 bytes a name, where a `Set` of strings takes about 80: names are told
 * apart by 53 bits, so what is said to be new is new, and what is not has to be looked for.
 */
export class NameWatch {
  #table: Float64Array<ArrayBuffer>;
  #count = 0;
  #large: NumberSet | undefined;

  /** @param expected How many names there may be. */
  constructor(expected: number) {
    let slots = FIRST_SLOTS;
    while (slots < SMALL_SLOTS && slots < expected * 2) slots *= 2;
    this.#table = spare?.length === slots ? spare.fill(0) : new Float64Array(slots);
    spare = undefined;
  }

  /** No more names come: the next one may have its table. */
  end(): void {
    spare = this.#table;
  }

  /** @returns Whether no name like it has come. */
  add(name: Uint8Array): boolean {
    const value = fingerprint(name);
    if (this.#large !== undefined) return this.#large.size >= MOST || this.#large.add(value);
    const table = this.#table;
    const mask = table.length - 1;
    let slot = value & mask;
    for (let at = table[slot]!; at !== 0; at = table[slot]!) {
      if (at === value) return false;
      slot = (slot + 1) & mask;
    }
    table[slot] = value;
    if (++this.#count > table.length / 2) this.#grow();
    return true;
  }

  #grow(): void {
    const before = this.#table;
    if (before.length >= SMALL_SLOTS) {
      const large = new NumberSet();
      for (const value of before) if (value !== 0) large.add(value);
      this.#large = large;
      this.#table = new Float64Array(0);
      return;
    }
    const table = new Float64Array(before.length * 4);
    const mask = table.length - 1;
    for (const value of before) {
      if (value === 0) continue;
      let slot = value & mask;
      while (table[slot] !== 0) slot = (slot + 1) & mask;
      table[slot] = value;
    }
    this.#table = table;
  }
}

/** From 1 to 2^53 - 1. */
function fingerprint(name: Uint8Array): number {
  let [a, b] = SEEDS;
  for (let at = 0; at < name.length; at++) {
    const byte = name[at]!;
    a = Math.imul(a ^ byte, 0x0100_0193);
    b = Math.imul((b ^ (b >>> 15)) + byte, 0x2c1b_3c6d);
  }
  a ^= a >>> 16;
  b ^= b >>> 13;
  return (a & 0x1f_ffff) * 0x1_0000_0000 + (b >>> 0) || 1;
}
