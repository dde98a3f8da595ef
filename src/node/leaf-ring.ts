import { foldableIn } from "#checksum";
import { type SharedMemory, sharedMemory } from "../checksum/shared-memory.ts";
import type { ChildPlace, LeavesAhead } from "../tree/source.ts";
import type { Volume } from "../volume/volume.ts";
import { copyShared } from "./shared-copy.ts";

/** Leaves that are on their way. */
const SLOTS = 128;
/** Leaves are taken roughly in the order in which they were announced: one that was left so far behind will not be. */
const BEHIND = 16;
/** So many are asked for at once: waking the other thread takes as long as reading one. */
const AT_ONCE = 32;

/** How many have been asked for. */
const ASKED = 0;
const COMMON_WORDS = 1;

// The state of a slot is four times the number of what was asked for, plus one of these.
const WANTED = 0;
const BEING_READ = 1;
const GOOD = 2;
/** It can't be read so, or is not wanted any more. */
const LEFT = 3;

/** Of each slot: address, generation and owner of the leaf. */
const FIELDS = 3;

/** What both threads are given. */
export interface SharedLeaves {
  readonly nodeSize: number;
  readonly words: Int32Array;
  readonly places: Float64Array;
  readonly memory: SharedMemory;
}

export function sharedLeaves(nodeSize: number): SharedLeaves {
  return {
    nodeSize,
    words: new Int32Array(new SharedArrayBuffer((COMMON_WORDS + SLOTS) * 4)),
    places: new Float64Array(new SharedArrayBuffer(SLOTS * FIELDS * 8)),
    memory: sharedMemory(SLOTS * nodeSize),
  };
}

/** The bytes of each slot. @param user See `foldableIn`. */
function slotsOf({ memory, nodeSize }: SharedLeaves, user: 0 | 1): Uint8Array[] {
  const bytes = foldableIn(memory, user);
  return Array.from({ length: SLOTS }, (_, slot) => bytes.subarray(slot * nodeSize, (slot + 1) * nodeSize));
}

/** The side of the thread that wants leaves. Leaf `n` of those it asked for is in slot `n % SLOTS`. */
export class WantedLeaves implements LeavesAhead {
  readonly #shared: SharedLeaves;
  readonly #slots: readonly Uint8Array[];
  readonly #wake: () => void;
  /** Announced, but not asked for so far. */
  #waiting: readonly ChildPlace[] = [];
  /** The first of them. */
  #next = 0;
  #asked = 0;
  /** Those before it are not in use any more. */
  #oldest = 0;
  /** By address. */
  readonly #numbers = new Map<number, number>();
  readonly #addresses = new Float64Array(SLOTS);

  /** @param wake Lets the other thread know that there is something to read. */
  constructor(shared: SharedLeaves, wake: () => void) {
    this.#shared = shared;
    this.#slots = slotsOf(shared, 0);
    this.#wake = wake;
  }

  announce(leaves: readonly ChildPlace[]): void {
    this.#waiting = [...this.#waiting.slice(this.#next), ...leaves];
    this.#next = 0;
    this.#ask();
  }

  take(logical: number, generation: number, bytes: Uint8Array): boolean {
    const number = this.#numbers.get(logical);
    if (number === undefined) return false;
    const slot = number % SLOTS;
    const { words, places } = this.#shared;
    const isGood =
      Atomics.load(words, COMMON_WORDS + slot) === number * 4 + GOOD && places[slot * FIELDS + 1] === generation;
    if (isGood) copyShared(bytes, this.#slots[slot]!);
    this.#leave(number);
    for (let behind = this.#oldest; behind < number - BEHIND; behind++) this.#leave(behind);
    this.#ask();
    return isGood;
  }

  /** The leaf is taken, or will not be. */
  #leave(number: number): void {
    const slot = number % SLOTS;
    const at = COMMON_WORDS + slot;
    const { words } = this.#shared;
    const logical = this.#addresses[slot]!;
    if (this.#numbers.get(logical) === number) this.#numbers.delete(logical);
    // The other thread does not begin with it; what it has begun with it ends.
    Atomics.compareExchange(words, at, number * 4 + WANTED, number * 4 + LEFT);
  }

  #isFree(number: number): boolean {
    const slot = number % SLOTS;
    if (this.#numbers.get(this.#addresses[slot]!) === number) return false;
    return (Atomics.load(this.#shared.words, COMMON_WORDS + slot) & 3) >= GOOD;
  }

  /** Asks for what there is room for. */
  #ask(): void {
    while (this.#oldest < this.#asked && this.#isFree(this.#oldest)) this.#oldest++;
    const left = this.#waiting.length - this.#next;
    const room = SLOTS - (this.#asked - this.#oldest);
    if (left === 0 || room < Math.min(left, AT_ONCE)) return;
    const { words, places } = this.#shared;
    for (let count = Math.min(left, room); count > 0; count--) {
      const { logical, generation, owner } = this.#waiting[this.#next++]!;
      const number = this.#asked++;
      const slot = number % SLOTS;
      places[slot * FIELDS] = logical;
      places[slot * FIELDS + 1] = generation;
      places[slot * FIELDS + 2] = Number(owner);
      this.#addresses[slot] = logical;
      this.#numbers.set(logical, number);
      Atomics.store(words, COMMON_WORDS + slot, number * 4 + WANTED);
    }
    Atomics.store(words, ASKED, this.#asked);
    this.#wake();
  }
}

/** The side of the thread that reads them. */
export class LeafReading {
  readonly #shared: SharedLeaves;
  readonly #volume: Volume;
  readonly #slots: readonly Uint8Array[];
  #next = 0;

  constructor(shared: SharedLeaves, volume: Volume) {
    this.#shared = shared;
    this.#volume = volume;
    this.#slots = slotsOf(shared, 1);
  }

  /** Reads and verifies what has been asked for, as the first copy has it. */
  read(): void {
    const { words, places } = this.#shared;
    for (; this.#next < Atomics.load(words, ASKED); this.#next++) {
      const state = this.#next * 4;
      const slot = this.#next % SLOTS;
      const at = COMMON_WORDS + slot;
      if (Atomics.compareExchange(words, at, state + WANTED, state + BEING_READ) !== state + WANTED) continue;
      const [logical, generation, owner] = places.subarray(slot * FIELDS, (slot + 1) * FIELDS) as unknown as number[];
      const expect = { level: 0, generation: generation!, owner: BigInt(owner!) };
      const leaf = this.#volume.lend(logical!, expect, this.#slots[slot]!);
      Atomics.store(words, at, state + (leaf === undefined ? LEFT : GOOD));
    }
  }
}
