import { writeSafe } from "../bytes/u64.ts";
import { BtrfsError } from "../errors.ts";
import { ATTRIBUTES, type AttributeSpec } from "../stream/attributes.ts";
import { COMMANDS, type CommandName } from "../stream/commands.ts";
import { MAX_PATH_BYTES } from "../stream/encode.ts";
import { BARE_DATA_VERSION, COMMAND_HEADER_BYTES, STREAM_HEADER_BYTES, STREAM_MAGIC } from "../stream/wire.ts";
import { Chunk, type Piece, Pieces } from "./chunk.ts";
import { CHUNK_BYTES, type ChunkQueue } from "./chunk-queue.ts";

/** Commands and bytes of one kind. */
export interface CommandCount {
  commands: number;
  /** In the stream, with headers. */
  bytes: number;
}

/** Up to this length, a loop is quicker than a call. */
const LOOP_BYTES = 48;

/** A value of `COMMANDS`. */
export type Command = (typeof COMMANDS)[CommandName];

/**
 * Commands as bytes, one attribute after the other, without an object for each. `begin`, the attributes in the kernel's
 * order, `end`.
 */
export class CommandOutput {
  readonly version: number;
  /** Counts only: no data is wanted, nothing reaches a sink. */
  readonly countsOnly: boolean;
  readonly counts = new Map<CommandName, CommandCount>();
  /** Bytes of the stream so far. */
  position = 0;
  readonly #queue: ChunkQueue | undefined;
  #out: Chunk;
  readonly #countOf: (CommandCount | undefined)[] = [];
  #command: Command = COMMANDS.end;
  #start = 0;
  /** Data bytes that were counted but not written. */
  #absent = 0;

  /** @param queue Takes the stream; absent where only counting is wanted. */
  constructor(queue: ChunkQueue | undefined, version: number) {
    this.version = version;
    this.countsOnly = queue === undefined;
    this.#queue = queue;
    this.#out = queue?.empty() ?? new Chunk(new Uint8Array(0), new Pieces(new Float64Array(0)));
  }

  streamHeader(): void {
    const out = this.#out;
    out.reserve(STREAM_HEADER_BYTES);
    out.bytes.set(STREAM_MAGIC, out.used);
    out.view.setUint32(out.used + STREAM_MAGIC.byteLength, this.version, true);
    if (!this.countsOnly) {
      out.used += STREAM_HEADER_BYTES;
      out.next = out.used;
    }
    this.position += STREAM_HEADER_BYTES;
  }

  begin(command: Command): void {
    const out = this.#out;
    // Attributes are written into the slack behind that; only long ones ask for more.
    out.reserve(COMMAND_HEADER_BYTES);
    this.#command = command;
    this.#start = out.used;
    this.#absent = 0;
    out.used += COMMAND_HEADER_BYTES;
  }

  /** @param attribute A value of `ATTRIBUTES`, as below. @throws {BtrfsError} `limit`, for what does not fit into an attribute. */
  bytes(attribute: AttributeSpec, value: Uint8Array): void {
    const length = value.byteLength;
    if (length > 0xffff) {
      const name = nameIn(ATTRIBUTES, attribute);
      throw new BtrfsError("limit", `Cannot send ${name}: it has ${length} bytes, at most 65535 fit`);
    }
    if (length > MAX_PATH_BYTES) this.#out.reserve(4 + length);
    const { bytes } = this.#out;
    const at = this.#attribute(attribute, length);
    if (length > LOOP_BYTES) bytes.set(value, at);
    else for (let byte = 0; byte < length; byte++) bytes[at + byte] = value[byte]!;
  }

  /** @throws {BtrfsError} `limit`, for paths that are longer than the kernel's longest. */
  path(attribute: AttributeSpec, value: Uint8Array): void {
    if (value.byteLength > MAX_PATH_BYTES) {
      const sentence = `Cannot send path: it has ${value.byteLength} bytes, at most ${MAX_PATH_BYTES} are possible`;
      throw new BtrfsError("limit", sentence);
    }
    this.bytes(attribute, value);
  }

  /** A u64 or u32 attribute. @param value Up to 2^53 - 1. */
  number(attribute: AttributeSpec, value: number): void {
    const { view } = this.#out;
    if (attribute.type === "u32") view.setUint32(this.#attribute(attribute, 4), value, true);
    else writeSafe(view, this.#attribute(attribute, 8), value);
  }

  /** A u64 attribute as two u32. */
  words(attribute: AttributeSpec, low: number, high: number): void {
    const { view } = this.#out;
    const at = this.#attribute(attribute, 8);
    view.setUint32(at, low, true);
    view.setUint32(at + 4, high, true);
  }

  /** An attribute as a few bytes of an item. */
  copy(attribute: AttributeSpec, from: Uint8Array, at: number, size: number): void {
    const { bytes } = this.#out;
    const to = this.#attribute(attribute, size);
    for (let byte = 0; byte < size; byte++) bytes[to + byte] = from[at + byte]!;
  }

  /** The head of an attribute that the slack has room for. @returns Where its value is to stand. */
  #attribute(attribute: AttributeSpec, length: number): number {
    const out = this.#out;
    const at = out.used + 4;
    out.view.setUint32(out.used, attribute.number + length * 0x1_0000, true);
    out.used = at + length;
    return at;
  }

  /** DATA, which comes last, as bytes that are at hand: `length` of them, zeros behind those of `value`. */
  data(value: Uint8Array, length = value.byteLength): void {
    const room = this.#room(length);
    if (room === undefined) return;
    room.set(value.byteLength > length ? value.subarray(0, length) : value);
    room.fill(0, Math.min(value.byteLength, length));
  }

  /** DATA that is put in later. `piece.at` is set here. @param stored Bytes of an inline extent. */
  later(piece: Piece, stored?: Uint8Array): void {
    const room = this.#room(piece.length);
    if (room === undefined) return;
    const out = this.#out;
    piece.at = out.used - piece.length;
    out.pieces.add(piece);
    if (stored === undefined) return;
    // Of a file that was cut short, more may be stored than is to be sent.
    if (stored.byteLength <= room.byteLength) room.set(stored);
    else out.inline.set(piece.at, stored.slice());
  }

  #room(length: number): Uint8Array | undefined {
    const out = this.#out;
    const isBare = this.version >= BARE_DATA_VERSION;
    out.reserve(4 + (this.countsOnly ? 0 : length));
    out.view.setUint16(out.used, ATTRIBUTES.data.number, true);
    if (!isBare) out.view.setUint16(out.used + 2, length, true);
    out.used += isBare ? 2 : 4;
    if (this.countsOnly) {
      this.#absent = length;
      return undefined;
    }
    const room = out.bytes.subarray(out.used, out.used + length);
    out.used += length;
    return room;
  }

  /** Completes the command. */
  end(): void {
    const out = this.#out;
    const start = this.#start;
    const length = out.used - start - COMMAND_HEADER_BYTES;
    const size = length + COMMAND_HEADER_BYTES + this.#absent;
    this.position += size;
    const count = this.#countOf[this.#command.number] ?? this.#newCount();
    count.commands++;
    count.bytes += size;
    if (this.#queue === undefined) {
      out.used = start;
      return;
    }
    out.view.setUint32(start, length, true);
    out.view.setUint16(start + 4, this.#command.number, true);
    out.view.setUint32(start + 6, 0, true);
    if (out.used < CHUNK_BYTES && !out.pieces.isFull) return;
    this.#queue.push(out);
    this.#out = this.#queue.empty();
  }

  #newCount(): CommandCount {
    const count = { commands: 0, bytes: 0 };
    this.#countOf[this.#command.number] = count;
    this.counts.set(nameIn(COMMANDS, this.#command), count);
    return count;
  }

  /** Whether to wait with `drain` before there is much more. */
  get isFull(): boolean {
    return this.#queue?.isFull === true;
  }

  async drain(): Promise<void> {
    await this.#queue?.drain();
  }

  /** Gives everything to the sink, and waits until it has taken it. */
  async flush(): Promise<void> {
    if (this.#queue === undefined) return;
    if (this.#out.used > 0) {
      this.#queue.push(this.#out);
      this.#out = this.#queue.empty();
    }
    await this.#queue.flush();
  }
}

function nameIn<T extends object>(all: T, one: unknown): keyof T {
  return (Object.keys(all) as (keyof T)[]).find((name) => all[name] === one)!;
}
