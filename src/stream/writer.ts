import type { CommandBatch } from "./batch.ts";
import { COMMANDS, type Command, type StreamItem } from "./commands.ts";
import { commandCrc } from "./crc.ts";
import { commandNumber, encodeAttributes } from "./encode.ts";
import { type ByteSink, ChunkBuffer } from "./output.ts";
import { COMMAND_HEADER_BYTES, MAX_STREAM_VERSION, STREAM_HEADER_BYTES, STREAM_MAGIC } from "./wire.ts";

export interface StreamWriterOptions {
  /** Protocol version of the segments that `begin` starts. */
  readonly version: 1 | 2 | 3;
  /** Smallest chunk that `drain` gives to the sink, in bytes; 256 KiB by default. */
  readonly chunkBytes?: number;
}

const DEFAULT_CHUNK_BYTES = 256 * 1024;

/** Neighbouring commands that are copied together, in bytes, at most but for the last of them. */
const COPY_BYTES = 256 * 1024;

/**
 * Writes a send stream: attributes in the kernel's order, checksums in place.
 *
 * Writing fills memory; `drain` empties it chunk by chunk. Call it after each batch, or when `pendingBytes` has grown.
 *
 * ```ts
 * const writer = new StreamWriter(sink, { version: 2 });
 * writer.begin();
 * writer.write({ name: "mkfile", path, ino: 257n });
 * writer.end();
 * await writer.flush();
 * ```
 */
export class StreamWriter {
  readonly #out: ChunkBuffer;
  readonly #version: number;
  /** Version of the segment that is being written. */
  #open: number | undefined;

  constructor(sink: ByteSink, options: StreamWriterOptions) {
    const { version, chunkBytes = DEFAULT_CHUNK_BYTES } = options;
    if (!(chunkBytes >= 1))
      throw new RangeError(`Cannot write stream: chunkBytes is ${chunkBytes}, expected at least 1`);
    this.#version = version;
    this.#out = new ChunkBuffer(sink, chunkBytes);
  }

  /** Bytes written here that the sink has not been given. */
  get pendingBytes(): number {
    return this.#out.pendingBytes;
  }

  /** Begins a segment with a stream header. One that is open stays without END. */
  begin(version: number = this.#version): void {
    if (!(Number.isInteger(version) && version >= 0 && version <= MAX_STREAM_VERSION)) {
      throw new RangeError(`Cannot write stream header: version is ${version}, known are 1 to ${MAX_STREAM_VERSION}`);
    }
    const out = this.#out;
    out.reserve(STREAM_HEADER_BYTES);
    out.bytes.set(STREAM_MAGIC, out.used);
    out.view.setUint32(out.used + STREAM_MAGIC.byteLength, version, true);
    out.used += STREAM_HEADER_BYTES;
    out.boundary();
    this.#open = version;
  }

  /** Ends the segment. */
  end(): void {
    this.write({ name: "end" });
  }

  /**
   * Writes what `readStream` gives, and gives the same bytes for it: a `segment` item begins a segment of its own version.
   * When it throws, nothing of the item has been written.
   *
   * @throws {StreamError} for what the version can't carry: `unsupported` commands and attributes, `limit` for too long ones.
   * @throws {TypeError} for a needed attribute that is not there.
   * @throws {RangeError} for numbers that don't fit their type, and for commands outside of a segment.
   */
  write(item: StreamItem): void {
    if (item.name === "segment") this.begin(item.version);
    else this.#writeCommand(item);
  }

  /**
   * Copies commands `first` to `last` (exclusive) of a batch as they are, with their checksums.
   *
   * @throws {RangeError} when no segment is open, or one of another version.
   */
  writeRaw(batch: CommandBatch, first = 0, last: number = batch.count): void {
    const out = this.#out;
    for (let i = first; i < last; ) {
      const version = this.#openVersion();
      if (Math.max(version, 1) !== Math.max(batch.segment.version, 1)) {
        throw new RangeError(`Cannot copy commands: version is ${batch.segment.version}, the segment has ${version}`);
      }
      const start = batch.headerAt(i);
      let end = start;
      while (i < last && batch.headerAt(i) === end && end - start < COPY_BYTES) {
        end = batch.payloadAt(i) + batch.payloadLength(i);
        if (batch.type(i++) === COMMANDS.end.number) this.#open = undefined;
      }
      out.reserve(end - start);
      out.bytes.set(batch.bytes.subarray(start, end), out.used);
      out.used += end - start;
      out.boundary();
    }
  }

  /** Gives whole chunks to the sink, one of which may still be on its way afterwards. */
  drain(): Promise<void> {
    return this.#out.drain();
  }

  /** Gives everything to the sink, and waits until it has taken it. */
  flush(): Promise<void> {
    return this.#out.flush();
  }

  #openVersion(): number {
    if (this.#open === undefined)
      throw new RangeError("Cannot write command: no segment is open, expected `begin` first");
    return this.#open;
  }

  #writeCommand(command: Command): void {
    const version = this.#openVersion();
    const out = this.#out;
    const start = out.used;
    out.reserve(COMMAND_HEADER_BYTES);
    out.used += COMMAND_HEADER_BYTES;
    try {
      encodeAttributes(out, command, version);
    } catch (error) {
      out.used = start;
      throw error;
    }
    const length = out.used - start - COMMAND_HEADER_BYTES;
    out.view.setUint32(start, length, true);
    out.view.setUint16(start + 4, commandNumber(command), true);
    out.view.setUint32(start + 6, commandCrc(out.bytes, start, length), true);
    out.boundary();
    if (command.name === "end") this.#open = undefined;
  }
}
