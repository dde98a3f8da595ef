import { viewOf } from "../bytes/bytes.ts";
import { readSafe } from "../bytes/u64.ts";
import type { Where } from "../errors.ts";
import { ATTRIBUTES, attributeName } from "./attributes.ts";
import { commandWord } from "./commands.ts";
import { COMMAND_HEADER_BYTES } from "./wire.ts";

/** One stream header and what follows it up to the next. */
export interface Segment {
  /** Place among the segments of the stream, from 0. */
  readonly index: number;
  /** As the header says, 0 to 3, and 0 reads as 1. Where recovery had to guess, 1. */
  readonly version: number;
  /** Where the header lies in the stream, in bytes. */
  readonly streamOffset: number;
  /** How it ended: `open` while its commands are still being read, `missing` when the next header or the end of the input came before END. */
  readonly state: "open" | "end" | "missing";
}

/** Grows by doubling: most streams that are not large are tiny. */
const INITIAL_COMMANDS = 64;
const INITIAL_ATTRIBUTES = 256;

const DATA = ATTRIBUTES.data.number;

/**
 * Sound commands of one segment, as columns over one buffer: nothing is allocated for each of them.
 *
 * A batch is lent. It and `bytes` are used again as soon as the reader is asked for the next one.
 * Commands are named by their place `i` in the batch, from 0 to `count - 1`; positions (`...At`) count in `bytes`.
 */
export class CommandBatch {
  /** Never crosses a segment. A segment without any command gives one empty batch. */
  segment: Segment;
  count = 0;
  /** The buffer that all positions refer to. It holds more than the commands of this batch. */
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(this.bytes.buffer);
  /** Where `bytes[0]` lies in the stream. */
  baseOffset = 0;

  #types = new Uint16Array(INITIAL_COMMANDS);
  #headers = new Uint32Array(INITIAL_COMMANDS);
  #lengths = new Uint32Array(INITIAL_COMMANDS);
  #indexes = new Float64Array(INITIAL_COMMANDS);
  #firsts = new Uint32Array(INITIAL_COMMANDS + 1);
  #decoded = new Uint8Array(INITIAL_COMMANDS);
  #attributes = new Uint16Array(INITIAL_ATTRIBUTES);
  #starts = new Uint32Array(INITIAL_ATTRIBUTES);
  #sizes = new Uint32Array(INITIAL_ATTRIBUTES);
  #used = 0;

  constructor(segment: Segment) {
    this.segment = segment;
  }

  /** Number of command `i`, as `COMMANDS.write.number`. Above `MAX_COMMAND` and 0: unknown. */
  type(i: number): number {
    return this.#types[i]!;
  }

  headerAt(i: number): number {
    return this.#headers[i]!;
  }

  payloadAt(i: number): number {
    return this.#headers[i]! + COMMAND_HEADER_BYTES;
  }

  payloadLength(i: number): number {
    return this.#lengths[i]!;
  }

  /** Where the header of command `i` lies in the stream, in bytes. */
  streamOffset(i: number): number {
    return this.baseOffset + this.#headers[i]!;
  }

  /** Place of command `i` among all commands of the stream, from 0. */
  index(i: number): number {
    return this.#indexes[i]!;
  }

  /** Whether an encoded write was found to decode before it came here: see `Block`. */
  isDecoded(i: number): boolean {
    return this.#decoded[i] === 1;
  }

  /** Slot of an attribute of command `i`, for `valueAt` and `valueLength`; -1 when it is absent. Of several, the last. */
  find(i: number, attribute: number): number {
    for (let slot = this.#firsts[i + 1]! - 1; slot >= this.#firsts[i]!; slot--) {
      if (this.#attributes[slot] === attribute) return slot;
    }
    return -1;
  }

  /** The slots of command `i` go from here up to `firstSlot(i + 1)`, in the order of the stream. */
  firstSlot(i: number): number {
    return this.#firsts[i]!;
  }

  slotAttribute(slot: number): number {
    return this.#attributes[slot]!;
  }

  valueAt(slot: number): number {
    return this.#starts[slot]!;
  }

  /** Length in bytes. Numbers, uuids and times have the length of their type. */
  valueLength(slot: number): number {
    return this.#sizes[slot]!;
  }

  has(i: number, attribute: number): boolean {
    return this.find(i, attribute) >= 0;
  }

  /**
   * A number of 64 bits, without a bigint on the way. 0 when it is absent.
   *
   * @throws {BtrfsError} `limit`, above 2^53 - 1.
   */
  safe(i: number, attribute: number): number {
    const slot = this.find(i, attribute);
    return slot < 0 ? 0 : readSafe(this.view, this.#starts[slot]!, attributeName(attribute));
  }

  /** A number of 64 bits. 0 when it is absent. */
  u64(i: number, attribute: number): bigint {
    const slot = this.find(i, attribute);
    return slot < 0 ? 0n : this.view.getBigUint64(this.#starts[slot]!, true);
  }

  /** A number of 32 bits, or the low half of one of 64. 0 when it is absent. */
  u32(i: number, attribute: number): number {
    const slot = this.find(i, attribute);
    return slot < 0 ? 0 : this.view.getUint32(this.#starts[slot]!, true);
  }

  /** The value as a view, lent like the batch. `undefined` when it is absent. */
  value(i: number, attribute: number): Uint8Array | undefined {
    const slot = this.find(i, attribute);
    if (slot < 0) return undefined;
    return this.bytes.subarray(this.#starts[slot]!, this.#starts[slot]! + this.#sizes[slot]!);
  }

  /** For errors about command `i`. */
  where(i: number): Where {
    return { streamOffset: this.streamOffset(i), commandIndex: this.index(i), command: commandWord(this.type(i)) };
  }

  /**
   * Becomes commands `first` up to `last`, exclusive, of another batch, in memory of its own: with all but the bytes of DATA of those
   * of one type.
   *
   * @param type Number of the commands whose data are not wanted.
   */
  take(from: CommandBatch, first: number, last: number, type: number): void {
    const start = first === last ? 0 : from.headerAt(first);
    const end = first === last ? 0 : from.payloadAt(last - 1) + from.payloadLength(last - 1);
    const bytes = end - start <= this.bytes.byteLength ? this.bytes : new Uint8Array(end - start);
    const view = bytes === this.bytes ? this.view : viewOf(bytes);
    this.reset(from.segment, { bytes, view, baseOffset: from.baseOffset + start });
    let done = start;
    const copyTo = (to: number): void => bytes.set(from.bytes.subarray(done, to), done - start);
    for (let i = first; i < last; i++) {
      for (let slot = from.firstSlot(i); slot < from.firstSlot(i + 1); slot++) {
        this.addAttribute(from.slotAttribute(slot), from.valueAt(slot) - start, from.valueLength(slot));
      }
      this.addCommand(from.type(i), from.headerAt(i) - start, from.payloadLength(i), from.index(i), from.isDecoded(i));
      const data = from.type(i) === type ? from.find(i, DATA) : -1;
      if (data < 0) continue;
      copyTo(from.valueAt(data));
      done = from.valueAt(data) + from.valueLength(data);
    }
    copyTo(end);
  }

  /** For the reader: begins anew, over other bytes. */
  reset(segment: Segment, window: { bytes: Uint8Array; view: DataView; baseOffset: number }): void {
    this.segment = segment;
    this.bytes = window.bytes;
    this.view = window.view;
    this.baseOffset = window.baseOffset;
    this.count = 0;
    this.#used = 0;
  }

  /** For the reader: the attributes added since the last command belong to this one. */
  addCommand(type: number, header: number, length: number, index: number, isDecoded: boolean): void {
    const i = this.count;
    if (i === this.#types.length) this.#growCommands();
    this.#types[i] = type;
    this.#headers[i] = header;
    this.#lengths[i] = length;
    this.#indexes[i] = index;
    this.#firsts[i + 1] = this.#used;
    this.#decoded[i] = isDecoded ? 1 : 0;
    this.count = i + 1;
  }

  addAttribute(attribute: number, start: number, size: number): void {
    const slot = this.#used;
    if (slot === this.#attributes.length) this.#growAttributes();
    this.#attributes[slot] = attribute;
    this.#starts[slot] = start;
    this.#sizes[slot] = size;
    this.#used = slot + 1;
  }

  /** For the reader: forgets the attributes of a command that turned out to be unsound. */
  dropAttributes(): void {
    this.#used = this.#firsts[this.count]!;
  }

  #growCommands(): void {
    const length = this.#types.length * 2;
    this.#types = grown(this.#types, new Uint16Array(length));
    this.#headers = grown(this.#headers, new Uint32Array(length));
    this.#lengths = grown(this.#lengths, new Uint32Array(length));
    this.#indexes = grown(this.#indexes, new Float64Array(length));
    this.#firsts = grown(this.#firsts, new Uint32Array(length + 1));
    this.#decoded = grown(this.#decoded, new Uint8Array(length));
  }

  #growAttributes(): void {
    const length = this.#attributes.length * 2;
    this.#attributes = grown(this.#attributes, new Uint16Array(length));
    this.#starts = grown(this.#starts, new Uint32Array(length));
    this.#sizes = grown(this.#sizes, new Uint32Array(length));
  }
}

function grown<A extends Uint8Array | Uint16Array | Uint32Array | Float64Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
