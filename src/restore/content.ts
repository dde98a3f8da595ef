import { type Codecs, MAX_EXTENT_BYTES } from "#codec";
import { zstdFrameEnd } from "../codec/zstd-frame.ts";
import { BtrfsError } from "../errors.ts";
import { COMPRESS_NONE, type StoredExtent } from "../format/file-extent.ts";
import { INODE_NODATASUM } from "../format/inode.ts";
import type { Piece } from "../fs/extents.ts";
import { algorithmOf, readInline } from "../fs/inline.ts";
import type { Inode } from "../fs/inode.ts";
import { checkExtent, readStored } from "../fs/stored.ts";
import type { Volume } from "../volume/volume.ts";
import { FirstCopy } from "./first-copy.ts";
import { type Handle, type RestoreTarget, TargetError } from "./target.ts";

/** Takes bytes of a file that can't be read. */
export type OnLost = (start: bigint, end: bigint, error: BtrfsError) => void;

/** Part of an `AbortSignal`; threads that do not come round to look at messages have one of their own. */
export interface Stop {
  throwIfAborted(): void;
}

/**
 * Decodes one zstd frame, the first `byteLength` bytes of `input`, which a checksum vouches for, into the first `outputBytes`
 * of `output`: it may be less strict than the kernel's.
 *
 * @returns Bytes written; negative when it does not decode, or not into so few bytes.
 */
export type DecodeFrame = (input: Uint8Array, byteLength: number, output: Uint8Array, outputBytes: number) => number;

export interface CopierOptions {
  readonly stop: Stop;
  readonly decodeFrame?: DecodeFrame | undefined;
}

type StoredPiece = Extract<Piece, { kind: "stored" }>;

/** Uncompressed extents are copied in steps of this many bytes. */
const PLAIN_BYTES = 1 << 20;

/**
 * Copies pieces of files from an image to a target, one after the other, with buffers of its own. Data is read from the
 * first copy, at once where the devices can; when that one is bad or can't be read so, the volume finds a good one.
 */
export class ContentCopier {
  readonly #volume: Volume;
  readonly #codecs: Codecs;
  readonly #target: RestoreTarget;
  readonly #stop: Stop;
  readonly #decodeFrame: DecodeFrame | undefined;
  readonly #firstCopy: FirstCopy;
  readonly #input = new Uint8Array(PLAIN_BYTES);
  readonly #output = new Uint8Array(MAX_EXTENT_BYTES);
  /** What `#output` holds. */
  #decoded: StoredExtent | undefined;
  /** Bytes written so far. */
  bytes = 0;

  constructor(volume: Volume, codecs: Codecs, target: RestoreTarget, options: CopierOptions) {
    this.#volume = volume;
    this.#firstCopy = new FirstCopy(volume);
    this.#codecs = codecs;
    this.#target = target;
    this.#stop = options.stop;
    this.#decodeFrame = options.decodeFrame;
  }

  /** Copies everything but zeros. @returns File offset behind the last byte written. */
  async copy(inode: Inode, pieces: readonly Piece[], file: Handle, onLost: OnLost): Promise<bigint> {
    let end = 0n;
    for (const piece of pieces) {
      this.#stop.throwIfAborted();
      if (piece.kind === "zeros") continue;
      if (piece.kind === "lost") {
        onLost(piece.start, piece.end, piece.error);
        continue;
      }
      try {
        if (piece.kind === "inline") await this.#copyInline(inode, piece, file);
        else if (piece.extent.compression === COMPRESS_NONE) await this.#copyPlain(inode, piece, file, onLost);
        else await this.#copyCompressed(inode, piece, file);
        end = piece.end;
      } catch (error) {
        if (!(error instanceof LostError)) throw error;
        onLost(piece.start, piece.end, error.cause as BtrfsError);
      }
    }
    return end;
  }

  /** Copies a part of a file, and goes on behind what can't be read. @returns File offset behind the last byte written. */
  async copyRange(inode: Inode, start: bigint, end: bigint, file: Handle, onLost: OnLost): Promise<bigint> {
    let cursor = start;
    let written = start;
    try {
      for await (const pieces of inode.openFile().pieces(start, end, { keepGoing: true })) {
        const last = await this.copy(inode, pieces, file, onLost);
        if (last > written) written = last;
        cursor = pieces.at(-1)!.end;
      }
    } catch (error) {
      if (!(error instanceof BtrfsError) || error instanceof TargetError) throw error;
      onLost(cursor, end, error);
    }
    return written;
  }

  async #copyInline(inode: Inode, piece: Extract<Piece, { kind: "inline" }>, file: Handle): Promise<void> {
    const { extent, start, end } = piece;
    // A file that is not inline as a whole has no inline extent: the end is bounded by a leaf or a sector.
    const length = Number(end - start);
    this.#decoded = undefined;
    const target = length <= this.#output.byteLength ? this.#output.subarray(0, length) : new Uint8Array(length);
    await lostOnFailure(readInline(inode, extent, Number(start - extent.fileOffset), target));
    this.#write(file, target, start);
  }

  async #copyPlain(inode: Inode, piece: StoredPiece, file: Handle, onLost: OnLost): Promise<void> {
    const { extent, start, end } = piece;
    attempt(() => checkExtent(inode, extent));
    for (let from = start; from < end; ) {
      this.#stop.throwIfAborted();
      const left = end - from;
      const length = left < BigInt(PLAIN_BYTES) ? Number(left) : PLAIN_BYTES;
      const within = Number(extent.offset + from - extent.fileOffset);
      const sectors = Math.ceil(length / this.#volume.sectorSize) * this.#volume.sectorSize;
      const data = this.#input.subarray(0, length);
      const read = this.#readGood(inode, extent.diskBytenr + within, this.#input.subarray(0, sectors));
      if (read === true || (read !== false && (await read))) this.#write(file, data, from);
      else await this.#copyRest(inode, extent, within, data, from, file, onLost);
      from += BigInt(length);
    }
  }

  /** The long way, for what may be damaged: writes what can be had of it. */
  async #copyRest(
    inode: Inode,
    extent: StoredExtent,
    within: number,
    data: Uint8Array,
    from: bigint,
    file: Handle,
    onLost: OnLost,
  ): Promise<void> {
    let good = 0;
    const onUnreadable = (at: number, length: number, error: BtrfsError): void => {
      if (at > good) gaps.push([good, at]);
      good = Math.max(good, at + length);
      lost.push([at, at + length, error]);
    };
    const gaps: [number, number][] = [];
    const lost: [number, number, BtrfsError][] = [];
    await lostOnFailure(readStored(inode, extent, within, data, { onUnreadable }));
    if (good < data.byteLength) gaps.push([good, data.byteLength]);
    for (const [start, end] of gaps) this.#write(file, data.subarray(start, end), from + BigInt(start));
    for (const [start, end, error] of lost) onLost(from + BigInt(start), from + BigInt(end), error);
  }

  async #copyCompressed(inode: Inode, piece: StoredPiece, file: Handle): Promise<void> {
    const { extent, start, end } = piece;
    attempt(() => checkExtent(inode, extent));
    if (this.#decoded === undefined || !isSameStored(this.#decoded, extent)) {
      const stored = this.#input.subarray(0, extent.diskNumBytes);
      const read = this.#readGood(inode, extent.diskBytenr, stored);
      const isVerified = read === true || (read !== false && (await read));
      if (!isVerified) await lostOnFailure(readStored(inode, extent, 0, stored));
      this.#decode(extent, stored, isVerified);
    }
    const within = Number(extent.offset + start - extent.fileOffset);
    this.#write(file, this.#output.subarray(within, within + Number(end - start)), start);
  }

  #decode(extent: StoredExtent, stored: Uint8Array, isVerified: boolean): void {
    const { sectorSize } = this.#volume;
    const whole = this.#output.subarray(0, Number(extent.ramBytes));
    this.#decoded = undefined;
    const algorithm = algorithmOf(extent.compression);
    let length =
      isVerified && algorithm === "zstd"
        ? decodeVouched(this.#decodeFrame, stored, stored.byteLength, whole, whole.byteLength)
        : -1;
    if (length < 0) length = attempt(() => this.#codecs.decode(algorithm, stored, whole, { sectorSize }));
    // The kernel compresses up to the end of the file only: the rest of its last sector is not stored.
    whole.fill(0, length);
    this.#decoded = extent;
  }

  #write(file: Handle, data: Uint8Array, offset: bigint): void {
    this.#target.write(file, data, offset);
    this.bytes += data.byteLength;
  }

  /** Reads the first copy. False when it is not good, or that can't be told. */
  #readGood(inode: Inode, logical: number, target: Uint8Array): boolean | Promise<boolean> {
    if ((inode.stat.flags & BigInt(INODE_NODATASUM)) !== 0n) return false;
    const isGood = this.#firstCopy.readNow(logical, target);
    return typeof isGood === "boolean"
      ? isGood
      : isGood.then(
          () => this.#firstCopy.read(logical, target),
          () => false,
        );
  }
}

/** Negative when it is for the codec to decode, or to say what is wrong. @param storedBytes Zeros may pad what is stored. */
export function decodeVouched(
  decode: DecodeFrame | undefined,
  input: Uint8Array,
  storedBytes: number,
  output: Uint8Array,
  outputBytes: number,
): number {
  if (decode === undefined) return -1;
  const end = zstdFrameEnd(input, storedBytes);
  return end < 0 ? -1 : decode(input, end, output, outputBytes);
}

/** Tells a failure to read the image from one to write the target. */
class LostError extends Error {}

function lost(error: unknown): never {
  if (error instanceof BtrfsError) throw new LostError("lost", { cause: error });
  throw error;
}

function attempt<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    return lost(error);
  }
}

async function lostOnFailure(reading: Promise<void>): Promise<void> {
  try {
    await reading;
  } catch (error) {
    lost(error);
  }
}

function isSameStored(a: StoredExtent, b: StoredExtent): boolean {
  return (
    a.diskBytenr === b.diskBytenr &&
    a.diskNumBytes === b.diskNumBytes &&
    a.ramBytes === b.ramBytes &&
    a.compression === b.compression
  );
}
