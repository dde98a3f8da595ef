import type { StreamError } from "../errors.ts";
import { ATTRIBUTES } from "./attributes.ts";
import { attributesOf, COMMANDS, commandName, MAX_COMMAND } from "./commands.ts";
import { commandCrc } from "./crc.ts";
import { MAX_PATH_BYTES } from "./encode.ts";
import type { InputWindow } from "./input.ts";
import {
  ATTRIBUTE_HEADER_BYTES,
  beginsLikeMagic,
  COMMAND_HEADER_BYTES,
  MAX_STREAM_VERSION,
  STREAM_HEADER_BYTES,
  STREAM_MAGIC,
} from "./wire.ts";

/** A place where a stream is unsound, and what was left out of it to go on. */
export interface StreamFault {
  readonly error: StreamError;
  /** The bytes of the stream that were left out: from `start` to `end`, exclusive. They are equal where nothing was there to leave out. */
  readonly start: number;
  readonly end: number;
  /** Whether it is one command, as long as its header says. Otherwise any number of commands may have stood there. */
  readonly isOneCommand: boolean;
}

/** No longer command is taken for a place to go on at. Kernels write less than 192 KiB. */
const MAX_CANDIDATE_BYTES = 1024 * 1024;

/** Bytes that may be checksummed in vain, for a start and for each byte of the stream: a hostile stream costs linear time. */
const FREE_WORK = 64 * 1024 * 1024;
const WORK_PER_BYTE = 8;

/** By command number: the attribute that the kernel writes first, 0 for none. */
const FIRST_ATTRIBUTE = Uint8Array.from({ length: MAX_COMMAND + 1 }, (_, number) => {
  const name = commandName(number);
  const first = name === undefined ? undefined : attributesOf(name)[0];
  return first === undefined ? 0 : ATTRIBUTES[first.field].number;
});

/** Finds where a damaged stream goes on. */
export class Resynchroniser {
  readonly #window: InputWindow;
  #wasted = 0;

  constructor(window: InputWindow) {
    this.#window = window;
  }

  /** Checksums in vain, as of a command whose checksum is wrong. */
  waste(byteCount: number): void {
    this.#wasted += byteCount;
  }

  /** Longest command, in bytes, that may still be checksummed in the hope that it is sound. */
  get affordable(): number {
    return Math.max(FREE_WORK + WORK_PER_BYTE * this.#window.streamOffset - this.#wasted, COMMAND_HEADER_BYTES);
  }

  /**
   * Moves the window to the next sound command or stream header. False when there is none up to the end of the input.
   *
   * @param frame Length of the unsound command as its header says. What follows it is tried first: where only the payload is damaged, its
   * contents, which may be a stream themselves, are left alone.
   */
  async findNext(frame: number, headersOnly = false): Promise<boolean> {
    const window = this.#window;
    if (frame > 0 && (await this.#soundAt(frame, headersOnly))) {
      window.at += frame;
      return true;
    }
    window.at += Math.min(1, window.available);
    for (;;) {
      this.#scan(headersOnly);
      if (window.available === 0 && !(await window.more())) return false;
      if (await this.#soundAt(0, headersOnly)) return true;
      window.at += Math.min(1, window.available);
    }
  }

  /** Moves the window to the next byte that might begin something, as far as it reaches. */
  #scan(headersOnly: boolean): void {
    const { bytes, end } = this.#window;
    let at = this.#window.at;
    for (; at < end; at++) {
      if (bytes[at] === STREAM_MAGIC[0] && (at + 1 >= end || bytes[at + 1] === STREAM_MAGIC[1])) break;
      if (!headersOnly && mayBeCommand(bytes, at, end)) break;
    }
    this.#window.at = at;
  }

  /** Whether something sound begins `ahead` bytes behind the start of the window. */
  async #soundAt(ahead: number, headersOnly: boolean): Promise<boolean> {
    const window = this.#window;
    if (!(await this.#reach(ahead + COMMAND_HEADER_BYTES))) return window.available === ahead && ahead > 0;
    const at = window.at + ahead;
    if (beginsLikeMagic(window.bytes, at)) return this.#soundHeaderAt(ahead);
    return !headersOnly && (await this.#soundCommandAt(ahead)) > 0;
  }

  /** A stream header counts together with a first command, as its text alone may stand in any file. */
  async #soundHeaderAt(ahead: number): Promise<boolean> {
    const window = this.#window;
    if (!(await this.#reach(ahead + STREAM_HEADER_BYTES))) return false;
    const at = window.at + ahead;
    for (let i = 0; i < STREAM_MAGIC.byteLength; i++) if (window.bytes[at + i] !== STREAM_MAGIC[i]) return false;
    if (window.view.getUint32(at + STREAM_MAGIC.byteLength, true) > MAX_STREAM_VERSION) return false;
    const first = await this.#soundCommandAt(ahead + STREAM_HEADER_BYTES);
    return first === COMMANDS.subvol.number || first === COMMANDS.snapshot.number || first === COMMANDS.end.number;
  }

  /** Number of the sound command there, else 0. */
  async #soundCommandAt(ahead: number): Promise<number> {
    const window = this.#window;
    if (!(await this.#reach(ahead + COMMAND_HEADER_BYTES))) return 0;
    if (!mayBeCommand(window.bytes, window.at + ahead, window.end)) return 0;
    const length = window.view.getUint32(window.at + ahead, true);
    const whole = COMMAND_HEADER_BYTES + length;
    if (whole > this.affordable || !(await this.#reach(ahead + whole))) return 0;
    const at = window.at + ahead;
    if (!mayBeCommand(window.bytes, at, window.end)) return 0;
    if (commandCrc(window.bytes, at, length) === window.view.getUint32(at + 6, true)) {
      return window.view.getUint16(at + 4, true);
    }
    this.waste(whole);
    return 0;
  }

  /** Whether `byteCount` bytes could be brought into the window, from its start. */
  async #reach(byteCount: number): Promise<boolean> {
    while (this.#window.available < byteCount) if (!(await this.#window.more(byteCount))) return false;
    return true;
  }
}

/** Whether the bytes at `at`, as far as they go, are those of a command header and of the attribute that the kernel writes first. */
function mayBeCommand(bytes: Uint8Array, at: number, end: number): boolean {
  if (at + ATTRIBUTE_HEADER_BYTES > end) return true;
  const length = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
  if (bytes[at + 3] !== 0 || length > MAX_CANDIDATE_BYTES) return false;
  if (at + COMMAND_HEADER_BYTES > end) return true;
  const type = bytes[at + 4]!;
  if (bytes[at + 5] !== 0 || type === 0 || type > MAX_COMMAND) return false;
  const first = FIRST_ATTRIBUTE[type]!;
  if (first === 0) return length === 0;
  if (length < ATTRIBUTE_HEADER_BYTES) return false;
  const payload = at + COMMAND_HEADER_BYTES;
  if (payload + ATTRIBUTE_HEADER_BYTES > end) return true;
  const size = bytes[payload + 2]! | (bytes[payload + 3]! << 8);
  if (bytes[payload] !== first || bytes[payload + 1] !== 0) return false;
  return ATTRIBUTE_HEADER_BYTES + size <= length && size <= MAX_PATH_BYTES;
}
