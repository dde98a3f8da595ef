import { BtrfsError, CorruptError } from "../errors.ts";
import { COMPRESS_NONE, type FileExtent, type StoredExtent } from "../format/file-extent.ts";
import { type ExtentOptions, extentBatches, type Piece, type PiecesOptions, pieces, smaller } from "./extents.ts";
import { inFlight } from "./in-flight.ts";
import { algorithmOf, readInline } from "./inline.ts";
import type { Inode } from "./inode.ts";
import { located } from "./located.ts";
import { checkExtent, readStored } from "./stored.ts";

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes what can't be read, in place of ending the read: `length` bytes of the file, which are set to zero. */
  readonly onUnreadable?: ((fileOffset: bigint, length: number, error: BtrfsError) => void) | undefined;
}

export interface ChunkOptions extends ReadOptions {
  /** File offset to begin at. */
  readonly start?: bigint | undefined;
  /** File offset to end before; the size of the file unless said. */
  readonly end?: bigint | undefined;
  /** Bytes of each chunk but the last. 1 MiB unless said. */
  readonly chunkBytes?: number | undefined;
}

/** Extents that one read has under way at a time. */
const IN_FLIGHT = 16;
/** Decoded extents to keep, for reads that come back to them: at most 128 KiB each. */
const KEPT_EXTENTS = 8;
/** Pieces that are not compressed are read in at most so many bytes, so that one of them runs beside others. */
const MAX_PLAIN_BYTES = 1 << 20;

type StoredPiece = Extract<Piece, { kind: "stored" }>;

/** The content of a file. */
export class OpenFile {
  readonly inode: Inode;
  /** Bytes. */
  readonly size: bigint;
  readonly #decoded = new Map<string, Promise<Uint8Array>>();

  /** @throws {BtrfsError} `kind`, when it is no regular file. */
  constructor(inode: Inode) {
    inode.demand("file", "read content");
    this.inode = inode;
    this.size = inode.stat.size;
    if (this.size >= 1n << 63n) {
      throw new CorruptError(`Cannot trust file size: it is ${this.size}, the most is 2^63 - 1`, inode.where);
    }
  }

  /**
   * The extents as the file's items have them, leaf by leaf, also those behind its end: first the one that has file
   * offset `from`, or the next. Holes may have an item or none.
   */
  extents(from = 0n, options?: ExtentOptions): AsyncGenerator<FileExtent[]> {
    return extentBatches(this.inode, from, options);
  }

  /** What stands in the file from `start` to `end`, without gaps, some pieces at a time. */
  pieces(start = 0n, end = this.size, options?: PiecesOptions): AsyncGenerator<Piece[]> {
    return pieces(this.inode, start, smaller(end, this.size), options);
  }

  /**
   * Fills `target` with the content from `offset` on, decoded and verified; several extents are under way at a time.
   *
   * @returns Bytes filled: fewer than `target` has only at the end of the file.
   * @throws {BtrfsError} for what can't be read, unless `onUnreadable` takes it.
   */
  async read(offset: bigint, target: Uint8Array, options: ReadOptions = {}): Promise<number> {
    if (offset < 0n) throw new RangeError(`Cannot read at ${offset}: file offsets begin at 0`);
    if (offset >= this.size || target.byteLength === 0) return 0;
    const left = this.size - offset;
    const length = left < BigInt(target.byteLength) ? Number(left) : target.byteLength;
    const { signal, onUnreadable } = options;
    const stored: StoredPiece[] = [];
    const partOf = ({ start, end }: Piece) => target.subarray(Number(start - offset), Number(end - offset));
    const end = offset + BigInt(length);
    for await (const batch of pieces(this.inode, offset, end, { signal, keepGoing: onUnreadable !== undefined })) {
      for (const piece of batch) {
        if (piece.kind === "stored") addStored(stored, piece);
        else await this.#readOther(piece, partOf(piece), options);
      }
    }
    await inFlight(stored, IN_FLIGHT, (piece) => this.#readStored(piece, partOf(piece), options));
    return length;
  }

  /**
   * The content in chunks; the next one is read while one is looked at. Each has bytes of its own.
   *
   * @throws {BtrfsError} for what can't be read, unless `onUnreadable` takes it.
   */
  async *chunks(options: ChunkOptions = {}): AsyncGenerator<Uint8Array> {
    const { start = 0n, chunkBytes = 1 << 20 } = options;
    const end = smaller(options.end ?? this.size, this.size);
    const readAt = async (at: bigint): Promise<Uint8Array> => {
      const left = end - at;
      const chunk = new Uint8Array(left < BigInt(chunkBytes) ? Number(left) : chunkBytes);
      await this.read(at, chunk, options);
      return chunk;
    };
    let at = start;
    let reading = at < end ? readAt(at) : undefined;
    while (reading !== undefined) {
      const chunk = await reading;
      at += BigInt(chunk.byteLength);
      reading = at < end ? readAt(at) : undefined;
      // Whoever stops listening does not hear of a failure either.
      reading?.catch(() => {});
      yield chunk;
    }
  }

  async #readOther(piece: Exclude<Piece, StoredPiece>, part: Uint8Array, options: ReadOptions): Promise<void> {
    if (piece.kind === "zeros") part.fill(0);
    else if (piece.kind === "lost") this.#lose(piece, part, options, piece.error);
    else {
      try {
        await readInline(this.inode, piece.extent, Number(piece.start), part);
      } catch (error) {
        this.#lose(piece, part, options, located(error, { ...this.inode.where, fileOffset: piece.start }));
      }
    }
  }

  async #readStored(piece: StoredPiece, part: Uint8Array, options: ReadOptions): Promise<void> {
    const { extent, start } = piece;
    const { signal, onUnreadable } = options;
    try {
      checkExtent(this.inode, extent);
      const within = Number(extent.offset + start - extent.fileOffset);
      if (extent.compression === COMPRESS_NONE) {
        const tell =
          onUnreadable &&
          ((at: number, length: number, error: BtrfsError) =>
            onUnreadable(
              start + BigInt(at),
              length,
              located(error, { ...this.inode.where, fileOffset: start + BigInt(at) }) as BtrfsError,
            ));
        await readStored(this.inode, extent, within, part, { signal, onUnreadable: tell });
      } else if (within === 0 && (part.byteLength === Number(extent.ramBytes) || piece.end === this.size)) {
        // Used as a whole: nothing comes back to it, so it is decoded where it is wanted.
        await this.#decode(extent, part, signal);
      } else {
        const decoded = await this.#decodedExtent(extent, signal);
        part.set(decoded.subarray(within, within + part.byteLength));
      }
    } catch (error) {
      this.#lose(piece, part, options, located(error, { ...this.inode.where, fileOffset: start }));
    }
  }

  #lose(piece: Piece, part: Uint8Array, { onUnreadable }: ReadOptions, error: unknown): void {
    if (!(error instanceof BtrfsError) || onUnreadable === undefined) throw error;
    part.fill(0);
    onUnreadable(piece.start, part.byteLength, error);
  }

  #decodedExtent(extent: StoredExtent, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { diskBytenr, diskNumBytes, ramBytes, compression } = extent;
    const key = `${diskBytenr} ${diskNumBytes} ${ramBytes} ${compression}`;
    const kept = this.#decoded.get(key);
    if (kept !== undefined) return kept;
    const whole = new Uint8Array(Number(ramBytes));
    const decoding = this.#decode(extent, whole, signal).then(() => whole);
    this.#decoded.set(key, decoding);
    decoding.catch(() => this.#decoded.delete(key));
    if (this.#decoded.size > KEPT_EXTENTS) this.#decoded.delete(this.#decoded.keys().next().value!);
    return decoding;
  }

  /** Fills `target` with the decoded extent from its begin on. */
  async #decode(extent: StoredExtent, target: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const { filesystem } = this.inode.subvolume;
    const { sectorSize } = filesystem.volume;
    const codecs = await filesystem.codecs();
    const stored = filesystem.buffers.take(extent.diskNumBytes);
    try {
      await readStored(this.inode, extent, 0, stored, { signal });
      const length = codecs.decode(algorithmOf(extent.compression), stored, target, { sectorSize });
      // The kernel compresses up to the end of the file only: the rest of its last sector is not stored.
      target.fill(0, length);
    } finally {
      filesystem.buffers.give(stored);
    }
  }
}

/** Adds a piece; a long one in several, so that they run side by side. */
function addStored(stored: StoredPiece[], piece: StoredPiece): void {
  if (piece.extent.compression !== COMPRESS_NONE) {
    stored.push(piece);
    return;
  }
  const most = BigInt(MAX_PLAIN_BYTES);
  for (let start = piece.start; start < piece.end; start += most) {
    const end = smaller(start + most, piece.end);
    stored.push({ ...piece, start, end });
  }
}
