import { StreamError } from "../errors.ts";
import { ATTRIBUTE_SIZES, ATTRIBUTES, attributeName, MAX_ATTRIBUTE } from "./attributes.ts";
import type { CommandBatch } from "./batch.ts";
import {
  attributesOf,
  COMMANDS,
  commandName,
  commandWord,
  MAX_COMMAND,
  NO_SLOT,
  REQUIRED_SLOTS,
  SLOTS,
} from "./commands.ts";
import { commandCrc } from "./crc.ts";
import type { InputWindow } from "./input.ts";
import {
  ATTRIBUTE_HEADER_BYTES,
  BARE_ATTRIBUTE_HEADER_BYTES,
  BARE_DATA_VERSION,
  beginsLikeMagic,
  COMMAND_HEADER_BYTES,
} from "./wire.ts";

/** Where the parser is more lenient than it is by default. */
export interface Leniency {
  /** Largest whole command in bytes; 64 MiB by default. Memory grows with it, only as the bytes really arrive. */
  readonly maxCommandBytes?: number;
  /** Don't compute CRCs. */
  readonly ignoreChecksums?: boolean;
  /** Pass on commands with a number that no protocol version has, but not 0; `btrfs receive` ignores them. */
  readonly allowUnknownCommands?: boolean;
  /** Pass on attributes with a number that no protocol version has. */
  readonly allowUnknownAttributes?: boolean;
  /** Pass on commands whose attributes are absent, or have another size than their type: the caller checks them. */
  readonly uncheckedAttributes?: boolean;
}

/** Why filling a batch stopped. */
export type Stop =
  /** The next command is not complete: `wanted` bytes would be. */
  | "more"
  /** The batch is full. */
  | "full"
  /** END came. */
  | "end"
  /** A stream header stands where a command should. */
  | "header"
  /** The next command is unsound: `fault` says how. */
  | "fault";

const DATA = ATTRIBUTES.data.number;
const END = COMMANDS.end.number;

/** The kernel writes at most 8. The bound keeps the columns of a batch small against a payload of empty attributes. */
const MAX_ATTRIBUTES_PER_COMMAND = 256;

/** Keeps the columns of a batch in the processor's cache. */
const MAX_BATCH_COMMANDS = 4096;

/** Finds and checks commands. It knows nothing of waiting: what it needs is in the window, or it stops. */
export class CommandParser {
  /** Index of the next command in the stream. */
  nextIndex = 0;
  /** After `more`. */
  wanted = 0;
  /** After `fault`. */
  fault: StreamError | undefined;
  /** After `fault`: length of the whole command in bytes as its header says, and whether its checksum vouches for that. */
  frameBytes = 0;
  frameIsSound = false;
  /** After `fault`: number of the attribute that is at fault, where it is one. */
  faultyAttribute: number | undefined;
  /** After `fault`: the version that the segment probably has, where that explains the fault. */
  likelyVersion: number | undefined;
  /** Longer ones are a fault. May change between two calls of `fill`. */
  maxCommandBytes: number;

  readonly #checksums: boolean;
  readonly #unknownCommands: boolean;
  readonly #unknownAttributes: boolean;
  readonly #unchecked: boolean;

  constructor(leniency: Leniency, maxCommandBytes: number) {
    this.maxCommandBytes = maxCommandBytes;
    this.#checksums = leniency.ignoreChecksums !== true;
    this.#unknownCommands = leniency.allowUnknownCommands === true;
    this.#unknownAttributes = leniency.allowUnknownAttributes === true;
    this.#unchecked = leniency.uncheckedAttributes === true;
  }

  /** Moves complete and sound commands from the window into the batch. */
  fill(window: InputWindow, batch: CommandBatch): Stop {
    const maxPayload = this.maxCommandBytes - COMMAND_HEADER_BYTES;
    while (batch.count < MAX_BATCH_COMMANDS) {
      const { view, at, end } = window;
      if (end - at < COMMAND_HEADER_BYTES) return this.#more(COMMAND_HEADER_BYTES);
      const length = view.getUint32(at, true);
      const type = view.getUint16(at + 4, true);
      if (length > maxPayload) {
        if (beginsLikeMagic(window.bytes, at)) return "header";
        return this.#stopAt(
          window,
          false,
          "limit",
          `its payload has ${length} bytes, at most ${maxPayload} are allowed`,
        );
      }
      if (end - at < COMMAND_HEADER_BYTES + length) return this.#more(COMMAND_HEADER_BYTES + length);
      const stop = at + COMMAND_HEADER_BYTES + length;
      const isSound = at === window.soundFrom && stop <= window.soundTo;
      if (isSound) window.soundFrom = stop;
      else if (this.#checksums && commandCrc(window.bytes, at, length) !== view.getUint32(at + 6, true)) {
        return this.#badChecksum(window, length);
      }
      if (!this.#readAttributes(window, batch, type, at + COMMAND_HEADER_BYTES, length)) {
        batch.dropAttributes();
        if (batch.segment.version < BARE_DATA_VERSION) this.#suspectBareData(window, at + COMMAND_HEADER_BYTES, length);
        return "fault";
      }
      batch.addCommand(type, at, length, this.nextIndex++, isSound && stop <= window.decodedTo);
      window.at = stop;
      if (type === END) return "end";
    }
    return "full";
  }

  #readAttributes(window: InputWindow, batch: CommandBatch, type: number, start: number, length: number): boolean {
    const view = window.view;
    const stop = start + length;
    const bareData = batch.segment.version >= BARE_DATA_VERSION;
    const known = type !== 0 && type <= MAX_COMMAND;
    let seen = 0;
    let count = 0;
    let at = start;
    while (at < stop) {
      const attribute = stop - at >= BARE_ATTRIBUTE_HEADER_BYTES ? view.getUint16(at, true) : -1;
      let value: number;
      let size: number;
      if (attribute === DATA && bareData) {
        value = at + BARE_ATTRIBUTE_HEADER_BYTES;
        size = stop - value;
        if (batch.segment.version === 3 && size >= 2 && view.getUint16(value, true) === size - 2) {
          return this.#countedData(window, value);
        }
      } else {
        value = at + ATTRIBUTE_HEADER_BYTES;
        size = value <= stop ? view.getUint16(at + 2, true) : 0;
      }
      if (value + size > stop) return this.#overrun(window, length, attribute, value + size - start);
      if (attribute === 0 || attribute > MAX_ATTRIBUTE) {
        if (!this.#unknownAttributes) return this.#unknownAttribute(window, attribute);
      } else if (!this.#unchecked) {
        const expected = ATTRIBUTE_SIZES[attribute]!;
        if (expected >= 0 && expected !== size) return this.#badSize(window, attribute, size, expected);
        const slot = known ? SLOTS[type * 64 + attribute]! : NO_SLOT;
        if (slot !== NO_SLOT) seen |= 1 << slot;
      }
      if (++count > MAX_ATTRIBUTES_PER_COMMAND) return this.#tooMany(window);
      batch.addAttribute(attribute, value, size);
      at = value + size;
    }
    if (this.#unchecked && known) return true;
    // Ten zeros are a command 0 with the right checksum: damage, though `btrfs receive` passes over it.
    if (!known) return (this.#unknownCommands && (type !== 0 || this.#unchecked)) || this.#unknownCommand(window, type);
    const missing = REQUIRED_SLOTS[type]! & ~seen;
    return missing === 0 || this.#missing(window, type, missing);
  }

  #more(wanted: number): Stop {
    this.wanted = wanted;
    return "more";
  }

  // From here on faults, each off the path of sound commands.

  #badChecksum(window: InputWindow, length: number): Stop {
    const stored = window.view.getUint32(window.at + 6, true);
    const actual = commandCrc(window.bytes, window.at, length);
    return this.#stopAt(window, false, "checksum", `checksum is ${hex32(actual)}, header says ${hex32(stored)}`);
  }

  #overrun(window: InputWindow, length: number, attribute: number, needed: number): false {
    const sentence = `attribute ends at byte ${needed} of the payload, which has ${length}`;
    return this.#unsound(window, "corrupt", sentence, attribute < 0 ? undefined : attribute);
  }

  #unknownAttribute(window: InputWindow, attribute: number): false {
    const sentence = `attribute has number ${attribute}, known are 1 to ${MAX_ATTRIBUTE}`;
    return this.#unsound(window, attribute === 0 ? "corrupt" : "unsupported", sentence, attribute);
  }

  #badSize(window: InputWindow, attribute: number, size: number, expected: number): false {
    const sentence = `${attributeName(attribute)} has ${size} bytes, its type has ${expected}`;
    return this.#unsound(window, "corrupt", sentence, attribute);
  }

  #tooMany(window: InputWindow): false {
    return this.#unsound(window, "limit", `it has more than ${MAX_ATTRIBUTES_PER_COMMAND} attributes`);
  }

  #unknownCommand(window: InputWindow, type: number): false {
    // Zeros are a command 0 with the right checksum: its length is nothing to go by.
    const frameIsSound = this.#checksums && type !== 0;
    this.#stopAt(window, frameIsSound, "unsupported", `its number is ${type}, known are 1 to ${MAX_COMMAND}`);
    return false;
  }

  /**
   * Nothing covers the version with a checksum, and one flipped bit makes 3 of 1: the length in front of DATA would become its first
   * two bytes. A version 3 stream whose data begin so is refused too, rather than that one wrong byte gets through.
   */
  #countedData(window: InputWindow, value: number): false {
    this.likelyVersion = 1;
    const sentence = `DATA begins with its own length, ${window.view.getUint16(value, true)}, as in version 1, the header says version 3`;
    return this.#unsound(window, "corrupt", sentence, DATA);
  }

  /** The opposite: in a stream of version 2 that says 1, the first bytes of DATA are taken for its length. */
  #suspectBareData(window: InputWindow, start: number, length: number): void {
    if (!this.#checksums || this.#unchecked || !dataIsBare(window.view, start, start + length)) return;
    this.likelyVersion = BARE_DATA_VERSION;
    const { sentence, where } = this.fault!;
    const likely = "DATA fits if it has no length of its own, as in version 2, the header says version 1";
    this.fault = new StreamError("corrupt", `${sentence}; ${likely}`, { where: { ...where, attribute: "DATA" } });
  }

  #missing(window: InputWindow, type: number, missing: number): false {
    const { field } = attributesOf(commandName(type)!)[31 - Math.clz32(missing & -missing)]!;
    const attribute = ATTRIBUTES[field].number;
    return this.#unsound(window, "corrupt", `${attributeName(attribute)} is absent`, attribute);
  }

  #unsound(
    window: InputWindow,
    code: "corrupt" | "unsupported" | "limit",
    sentence: string,
    attribute?: number,
  ): false {
    this.#stopAt(window, this.#checksums, code, sentence, attribute);
    return false;
  }

  #stopAt(
    window: InputWindow,
    frameIsSound: boolean,
    code: "corrupt" | "checksum" | "unsupported" | "limit",
    what: string,
    attribute?: number,
  ): Stop {
    this.fault = new StreamError(code, `Cannot read command: ${what}`, {
      where: {
        streamOffset: window.streamOffset,
        commandIndex: this.nextIndex,
        command: commandWord(window.view.getUint16(window.at + 4, true)),
        ...(attribute === undefined ? {} : { attribute: attributeName(attribute) }),
      },
    });
    this.frameBytes = COMMAND_HEADER_BYTES + window.view.getUint32(window.at, true);
    this.frameIsSound = frameIsSound;
    this.faultyAttribute = attribute;
    return "fault";
  }
}

/** Whether the attributes are sound up to DATA, and what follows there is none with a length in front. */
function dataIsBare(view: DataView, start: number, stop: number): boolean {
  let seen = false;
  let at = start;
  while (stop - at >= ATTRIBUTE_HEADER_BYTES) {
    const attribute = view.getUint16(at, true);
    const size = view.getUint16(at + 2, true);
    const expected = ATTRIBUTE_SIZES[attribute];
    if (attribute === 0 || expected === undefined || (expected >= 0 && expected !== size)) return seen;
    if (attribute === DATA) seen = true;
    at += ATTRIBUTE_HEADER_BYTES + size;
  }
  return seen && at !== stop;
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
