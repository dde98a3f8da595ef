import type { CommandBatch } from "../stream/batch.ts";
import { COMMANDS, MAX_COMMAND } from "../stream/commands.ts";
import { LINES, type Line, PATH_PLACE, SHOW } from "./dump-lines.ts";
import type { LineBuffer } from "./line-buffer.ts";
import { LocalTime, type TimeZone } from "./local-time.ts";

/** Why a command could not be shown: the sentence of `btrfs receive`, and the error that it ends with. */
export interface DumpFault {
  readonly sentence: Uint8Array;
  /** Empty where `btrfs receive` says the sentence and counts no error. */
  readonly reason: string;
}

/** Linux's PATH_MAX. */
const MAX_PATH = 4096;
const PATH_COLUMN = 32;

/** A line has three strings of at most 65535 bytes, each escaped to four times that, and little else. */
export const MAX_LINE_BYTES = 3 * 4 * 65536;

/** No command asks for more attributes. */
const MAX_NEEDED = 8;

const SUBVOL = COMMANDS.subvol.number;
const SNAPSHOT = COMMANDS.snapshot.number;
const UTIMES = COMMANDS.utimes.number;
const NEWLINE = 10;
const DASH = 45;
const SLASH = 47;

const encoder = new TextEncoder();
const HEX = encoder.encode("0123456789abcdef");

/** Writes commands as the lines of `btrfs receive --dump` (btrfs-progs 6.2). */
export class DumpFormatter {
  readonly #out: LineBuffer;
  readonly #time: LocalTime;
  /** The subvolume that the commands are in, with `./` in front: its length, and what stands before a path in it. */
  #subvolumeLength = 1;
  #prefix = encoder.encode("./");
  #escapedPrefix = this.#prefix;
  /** The path that was shown last, and where in the buffer, if that still holds it. */
  readonly #lastPath = new Uint8Array(MAX_PATH);
  #lastLength = -1;
  #lastStart = 0;
  #lastEnd = 0;
  #lastClears = 0;
  /** Slots of the attributes that the command needs, by their place in `needed`. */
  readonly #slots = new Int32Array(MAX_NEEDED);

  constructor(out: LineBuffer, zone: TimeZone) {
    this.#out = out;
    this.#time = new LocalTime(zone);
  }

  /** One line, or none for what has no line. Attributes are checked here, as and when `btrfs receive` does. */
  put(batch: CommandBatch, i: number): DumpFault | undefined {
    const type = batch.type(i);
    const line = type <= MAX_COMMAND ? LINES[type] : undefined;
    if (line === undefined) return undefined;
    const wrong = this.#locate(batch, i, line);
    if (wrong >= 0) return this.#missingOrOdd(batch, line, wrong);
    if (type === SUBVOL || type === SNAPSHOT) return this.#enter(batch, line);
    if (type === UTIMES) {
      const fault = this.#checkTimes(batch, line);
      if (fault !== undefined) return fault;
    }
    if (line.otherPath >= 0 && !this.#fits(batch, line.otherPath)) return this.#tooLong(batch, line, line.otherPath);
    if (!this.#fits(batch, PATH_PLACE)) return this.#pathTooLong(batch, line);
    const out = this.#out;
    out.text(line.name);
    const start = out.at;
    this.#putFirstPath(batch);
    this.#putFields(batch, line, start);
    return undefined;
  }

  /** Commands of one file follow each other: its path is copied from the line before. */
  #putFirstPath(batch: CommandBatch): void {
    const out = this.#out;
    const slot = this.#slots[PATH_PLACE]!;
    const start = out.at;
    if (this.#isLastPath(batch, slot)) {
      out.again(this.#lastStart, this.#lastEnd);
      return;
    }
    this.#putPath(batch, slot);
    const at = batch.valueAt(slot);
    const length = batch.valueLength(slot);
    this.#lastLength = length <= MAX_PATH ? length : -1;
    this.#lastStart = start;
    this.#lastEnd = out.at;
    this.#lastClears = out.clears;
    for (let i = 0; i < this.#lastLength; i++) this.#lastPath[i] = batch.bytes[at + i]!;
  }

  #isLastPath(batch: CommandBatch, slot: number): boolean {
    const length = batch.valueLength(slot);
    if (length !== this.#lastLength || this.#lastClears !== this.#out.clears) return false;
    const { bytes } = batch;
    const at = batch.valueAt(slot);
    const last = this.#lastPath;
    // From the end, where paths differ.
    for (let i = length - 1; i >= 0; i--) if (bytes[at + i] !== last[i]) return false;
    return true;
  }

  /** Finds what the command needs. Gives the place of the first that is absent or of the wrong size, or -1. */
  #locate(batch: CommandBatch, i: number, line: Line): number {
    const { needed, order } = line;
    const first = batch.firstSlot(i);
    const count = batch.firstSlot(i + 1) - first;
    let inOrder = count <= order.length;
    for (let n = 0; inOrder && n < count; n++) inOrder = batch.slotAttribute(first + n) === order[n];
    for (let n = 0; n < needed.length; n++) {
      const guess = line.guesses[n]!;
      const slot = inOrder ? (guess < count ? first + guess : -1) : batch.find(i, needed[n]!);
      this.#slots[n] = slot;
      const size = line.sizes[n]!;
      if (slot < 0 ? line.optional[n] === 0 : size >= 0 && size !== batch.valueLength(slot)) return n;
    }
    return -1;
  }

  #missingOrOdd(batch: CommandBatch, line: Line, place: number): DumpFault {
    const slot = this.#slots[place]!;
    if (slot < 0)
      return fault(`attribute ${line.needed[place]} requested but not present`, "No such file or directory");
    return invalid(`invalid size for attribute, expected = ${line.sizes[place]}, got = ${batch.valueLength(slot)}`);
  }

  #putFields(batch: CommandBatch, { fields }: Line, pathStart: number): void {
    const out = this.#out;
    if (fields.length > 0) {
      out.pad(pathStart, PATH_COLUMN);
      for (let f = 0; f < fields.length; f++) {
        const { label, place, show } = fields[f]!;
        out.text(label);
        this.#putValue(batch, this.#slots[place]!, show);
      }
    }
    out.byte(NEWLINE);
  }

  #putValue(batch: CommandBatch, slot: number, show: number): void {
    const out = this.#out;
    const { view } = batch;
    const at = slot < 0 ? -1 : batch.valueAt(slot);
    switch (show) {
      case SHOW.u64:
        out.u64(view, at);
        break;
      case SHOW.octal:
        out.u64Radix(view, at, 8);
        break;
      case SHOW.time:
        this.#time.put(out, view, at);
        break;
      case SHOW.length:
        out.u32(batch.valueLength(slot));
        break;
      case SHOW.hex:
        out.u64Radix(view, at, 16);
        break;
      case SHOW.u32:
        out.u32(slot < 0 ? 0 : view.getUint32(at, true));
        break;
      case SHOW.s32:
        out.ascii(String(view.getInt32(at, true)));
        break;
      case SHOW.u8:
        out.u32(view.getUint8(at));
        break;
      case SHOW.int:
        out.ascii(BigInt.asUintN(64, BigInt(view.getInt32(at, true))).toString());
        break;
      case SHOW.uuid:
        putUuid(out, batch.bytes, at);
        break;
      case SHOW.raw:
        out.raw(batch.bytes, at, stringEnd(batch, slot));
        break;
      case SHOW.link:
        out.escaped(batch.bytes, at, at + batch.valueLength(slot));
        break;
      case SHOW.to:
        this.#putPath(batch, slot);
        break;
      case SHOW.from:
        this.#putRawPath(batch, slot);
    }
  }

  /** The path behind the subvolume's, joined by a slash; of either, one slash at the end is dropped. */
  #putPath(batch: CommandBatch, slot: number): void {
    const out = this.#out;
    out.text(this.#escapedPrefix);
    const at = batch.valueAt(slot);
    const end = out.escaped(batch.bytes, at, at + batch.valueLength(slot));
    if (end > at && batch.bytes[end - 1] === SLASH) out.at--;
  }

  #putRawPath(batch: CommandBatch, slot: number): void {
    const out = this.#out;
    out.text(this.#prefix);
    const at = batch.valueAt(slot);
    const end = stringEnd(batch, slot);
    out.raw(batch.bytes, at, end > at && batch.bytes[end - 1] === SLASH ? end - 1 : end);
  }

  /** SUBVOL and SNAPSHOT: from here on paths are inside of theirs. */
  #enter(batch: CommandBatch, line: Line): DumpFault | undefined {
    const out = this.#out;
    const slot = this.#slots[PATH_PLACE]!;
    const at = batch.valueAt(slot);
    const length = stringEnd(batch, slot) - at;
    if (1 + length + 2 >= MAX_PATH) return this.#tooLong(batch, line, PATH_PLACE);
    const hasSlash = length > 0 && batch.bytes[at + length - 1] === SLASH;
    const name = batch.bytes.slice(at, at + length - (hasSlash ? 1 : 0));
    this.#subvolumeLength = 2 + name.byteLength;
    out.text(line.name);
    const start = out.at;
    out.text(encoder.encode("./"));
    out.escaped(name, 0, name.byteLength);
    // What a path is put behind has one slash at its end, and only one is added.
    const endsInSlash = name.byteLength === 0 || name[name.byteLength - 1] === SLASH;
    const shown = out.bytes.slice(start, out.at);
    this.#escapedPrefix = endsInSlash ? shown : withSlash(shown);
    const whole = new Uint8Array([...encoder.encode("./"), ...name]);
    this.#prefix = endsInSlash ? whole : withSlash(whole);
    this.#lastLength = -1;
    this.#putFields(batch, line, start);
    return undefined;
  }

  #fits(batch: CommandBatch, place: number): boolean {
    const slot = this.#slots[place]!;
    const most = this.#subvolumeLength + 2 + batch.valueLength(slot);
    if (most < MAX_PATH) return true;
    // The NUL that may end it early only matters near the limit.
    return this.#subvolumeLength + 2 + stringEnd(batch, slot) - batch.valueAt(slot) < MAX_PATH;
  }

  /** Shows the path as it came, and an empty line after it. */
  #tooLong(batch: CommandBatch, { word }: Line, place: number): DumpFault {
    const slot = this.#slots[place]!;
    const path = batch.bytes.subarray(batch.valueAt(slot), stringEnd(batch, slot));
    const sentence = new Uint8Array([...encoder.encode(`${word}: path invalid: `), ...path, NEWLINE]);
    return { sentence, reason: "File name too long" };
  }

  /** After a path that is too long, btrfs-progs prints the target of a command that has one, and counts no error. */
  #pathTooLong(batch: CommandBatch, line: Line): DumpFault {
    const fault = this.#tooLong(batch, line, PATH_PLACE);
    const target = line.fields[0];
    if (target === undefined || (target.show !== SHOW.link && target.show !== SHOW.to)) return fault;
    this.#putValue(batch, this.#slots[target.place]!, target.show);
    this.#out.byte(NEWLINE);
    return { ...fault, reason: "" };
  }

  /** A time that local time can't show ends the command before anything is printed. */
  #checkTimes(batch: CommandBatch, { fields }: Line): DumpFault | undefined {
    const { view } = batch;
    for (let f = 0; f < fields.length; f++) {
      const at = batch.valueAt(this.#slots[fields[f]!.place]!);
      if (this.#time.canShow(view, at)) continue;
      const nanoseconds = String(view.getUint32(at + 8, true)).padStart(9, "0");
      return invalid(`failed to convert time ${view.getBigInt64(at, true)}.${nanoseconds} to local time`);
    }
    return undefined;
  }
}

/** Where a string ends in `batch.bytes`: at its first NUL, if it has one. */
function stringEnd(batch: CommandBatch, slot: number): number {
  const at = batch.valueAt(slot);
  const end = at + batch.valueLength(slot);
  const { bytes } = batch;
  for (let i = at; i < end; i++) if (bytes[i] === 0) return i;
  return end;
}

function withSlash(path: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array([...path, SLASH]);
}

function putUuid(out: LineBuffer, bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) out.byte(DASH);
    const byte = bytes[at + i]!;
    out.byte(HEX[byte >> 4]!);
    out.byte(HEX[byte & 15]!);
  }
}

export function fault(sentence: string, reason: string): DumpFault {
  return { sentence: encoder.encode(sentence), reason };
}

function invalid(sentence: string): DumpFault {
  return fault(sentence, "Invalid argument");
}
