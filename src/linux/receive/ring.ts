/**
 * Commands on their way to another thread, in shared memory: slots that one thread fills and the other empties, in order.
 *
 * A slot holds whole commands as they lie in a stream, and two numbers. The counts of slots filled and emptied are what
 * the threads wait on.
 */
export class Ring {
  static readonly slotCount = 8;
  static readonly slotBytes = 320 * 1024;

  readonly memory: SharedArrayBuffer;
  readonly #control: Int32Array;
  readonly #slots: readonly Uint8Array[];

  constructor(memory = new SharedArrayBuffer(CONTROL_BYTES + Ring.slotCount * Ring.slotBytes)) {
    this.memory = memory;
    this.#control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
    this.#slots = Array.from(
      { length: Ring.slotCount },
      (_, index) => new Uint8Array(memory, CONTROL_BYTES + index * Ring.slotBytes, Ring.slotBytes),
    );
  }

  /** Slots filled so far. */
  get filled(): number {
    return Atomics.load(this.#control, FILLED);
  }

  /** Slots emptied so far. */
  get emptied(): number {
    return Atomics.load(this.#control, EMPTIED);
  }

  get isReady(): boolean {
    return Atomics.load(this.#control, READY) !== 0;
  }

  setReady(): void {
    Atomics.store(this.#control, READY, 1);
  }

  slot(index: number): Uint8Array {
    return this.#slots[index % Ring.slotCount]!;
  }

  /** What the slot holds: bytes of commands, stream version, `SLOT_*`. */
  facts(index: number): { bytes: number; version: number; flags: number } {
    const at = FACTS + (index % Ring.slotCount) * 3;
    return { bytes: this.#control[at]!, version: this.#control[at + 1]!, flags: this.#control[at + 2]! };
  }

  /** The next slot is full. */
  publish(bytes: number, version: number, flags: number): void {
    const at = FACTS + (this.filled % Ring.slotCount) * 3;
    this.#control.set([bytes, version, flags], at);
    Atomics.add(this.#control, FILLED, 1);
    Atomics.notify(this.#control, FILLED);
  }

  /** The oldest full slot has been worked off. */
  release(): void {
    Atomics.add(this.#control, EMPTIED, 1);
    Atomics.notify(this.#control, EMPTIED);
  }

  /** Blocks until another slot than the first `count` is filled. */
  waitFilled(count: number): void {
    // The filler counts first and wakes then: what wakes this thread may be about a slot that is emptied already.
    while (this.filled === count) Atomics.wait(this.#control, FILLED, count);
  }

  /** Blocks until another slot than the first `count` is emptied; false when that takes longer than `milliseconds`. */
  waitEmptied(count: number, milliseconds: number): boolean {
    return Atomics.wait(this.#control, EMPTIED, count, milliseconds) !== "timed-out";
  }
}

const FILLED = 0;
const EMPTIED = 1;
const READY = 2;
const FACTS = 3;
const CONTROL_BYTES = 256;

/** The slot holds no commands, but the subvolume that the next ones are for, as JSON. */
export const SLOT_BEGIN = 1;
/** After the commands: close the file at work and forget all that is known of directories. */
export const SLOT_FORGET = 2;
/** After the commands: close the file at work and forget what is known of it. */
export const SLOT_RELEASE = 16;
/** After the commands: close everything, and tell what became of encoded writes. */
export const SLOT_END = 4;
/** Leave. */
export const SLOT_STOP = 8;
