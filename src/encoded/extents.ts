import { BtrfsError } from "../errors.ts";
import { ENCODED_NONE, type EncodedIo, MAX_ENCODED_BYTES } from "../format/encoded-io.ts";
import { COMPRESS_NONE } from "../format/file-extent.ts";
import { type Piece, smaller } from "../fs/extents.ts";
import type { OpenFile } from "../fs/file.ts";
import { located } from "../fs/located.ts";
import { checkExtent, follows, readParts, type StoredPart } from "../fs/stored.ts";
import { encodedCompression } from "./read.ts";

/** A part of a file as it is stored. */
export interface EncodedExtent extends EncodedIo {
  /** The stored bytes, lent until the next extent is asked for. Absent for holes and what is preallocated. */
  readonly data: Uint8Array | undefined;
}

export interface EncodedExtentsOptions {
  /** File offset to begin at, at most that of the end. */
  readonly start?: bigint | undefined;
  /** File offset to end before; the size of the file unless said. */
  readonly end?: bigint | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Takes what can't be read, in place of ending: that extent is left out. */
  readonly onUnreadable?: ((io: EncodedIo, error: BtrfsError) => void) | undefined;
}

/** What lies side by side on the disk is read at once, up to so many bytes. */
const RUN_BYTES = 1 << 20;
/** Reads run ahead of the extent that is looked at by so many bytes, in so many reads at most. */
const AHEAD_BYTES = 3 << 20;
const RUNS_AHEAD = 16;
/** Of one run, where many need no reading. */
const MAX_UNITS = 1024;

/** One extent to come: what it is, and where its bytes are. */
interface Unit {
  readonly io: EncodedIo;
  /** What is to be read for it: its bytes are `byteLength` from byte `head` on. */
  readonly part?: StoredPart;
  readonly head: number;
  readonly byteLength: number;
  /** Of an inline extent. */
  readonly data?: Uint8Array;
  readonly error?: unknown;
}

/** Units that are read together. */
interface Run {
  readonly units: Unit[];
  readonly parts: StoredPart[];
  byteLength: number;
}

interface Reading {
  readonly run: Run;
  readonly buffer: Uint8Array;
  /** What is wrong with which part. */
  readonly errors: Promise<ReadonlyMap<StoredPart, unknown>>;
}

/**
 * Everything that a file is stored as, in the order of the file: compressed extents whole, for each part of the file that
 * uses them; what is not compressed in pieces of at most 128 KiB; holes as long as they are. Reads ahead, and reads
 * neighbours on the disk at once.
 *
 * @throws {BtrfsError} for what can't be read, unless `onUnreadable` takes it.
 */
export async function* encodedExtents(
  file: OpenFile,
  options: EncodedExtentsOptions = {},
): AsyncGenerator<EncodedExtent> {
  const { buffers } = file.inode.subvolume.filesystem;
  const ahead: Reading[] = [];
  let aheadBytes = 0;
  const runs = runsOf(file, options);
  let isDone = false;
  try {
    for (;;) {
      while (!isDone && aheadBytes < AHEAD_BYTES && ahead.length < RUNS_AHEAD) {
        const next = await runs.next();
        if (next.done) isDone = true;
        else {
          ahead.push(startReading(file, next.value, options.signal));
          aheadBytes += next.value.byteLength;
        }
      }
      const reading = ahead[0];
      if (reading === undefined) return;
      yield* extentsOf(reading, await reading.errors, options);
      ahead.shift();
      aheadBytes -= reading.run.byteLength;
      buffers.give(reading.buffer);
    }
  } finally {
    await Promise.allSettled(ahead.map(({ errors }) => errors));
  }
}

function* extentsOf(
  { run, buffer }: Reading,
  errors: ReadonlyMap<StoredPart, unknown>,
  { onUnreadable }: EncodedExtentsOptions,
): Generator<EncodedExtent> {
  let at = 0;
  for (const { io, part, head, byteLength, data, error } of run.units) {
    const wrong = part === undefined ? error : errors.get(part);
    if (wrong !== undefined) {
      if (onUnreadable === undefined || !(wrong instanceof BtrfsError)) throw wrong;
      onUnreadable(io, wrong);
    } else if (part === undefined) {
      yield { ...io, data };
    } else {
      yield { ...io, data: buffer.subarray(at + head, at + head + byteLength) };
    }
    at += part?.length ?? 0;
  }
}

function startReading(file: OpenFile, run: Run, signal: AbortSignal | undefined): Reading {
  const buffer = file.inode.subvolume.filesystem.buffers.take(run.byteLength);
  const errors = readRun(file, run, buffer, signal);
  // Whoever stops listening does not hear of a failure either.
  errors.catch(() => {});
  return { run, buffer, errors };
}

async function readRun(
  { inode }: OpenFile,
  { parts, byteLength }: Run,
  buffer: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<StoredPart, unknown>> {
  const errors = new Map<StoredPart, unknown>();
  if (byteLength === 0) return errors;
  const onUnreadable = (at: number, length: number, error: BtrfsError): void => {
    let start = 0;
    for (const part of parts) {
      if (start < at + length && at < start + part.length && !errors.has(part)) {
        errors.set(part, located(error, { ...inode.where, fileOffset: part.extent.fileOffset }));
      }
      start += part.length;
    }
  };
  try {
    await readParts(inode, parts, buffer, { signal, onUnreadable });
  } catch (error) {
    if (!(error instanceof BtrfsError)) throw error;
    // What failed was not the data: which of them it is about shows one by one.
    let start = 0;
    for (const part of parts) {
      const target = buffer.subarray(start, start + part.length);
      await readParts(inode, [part], target, { signal }).catch((reason: unknown) => errors.set(part, reason));
      start += part.length;
    }
  }
  return errors;
}

async function* runsOf(file: OpenFile, options: EncodedExtentsOptions): AsyncGenerator<Run> {
  const { start, end, signal, onUnreadable } = options;
  let run: Run = { units: [], parts: [], byteLength: 0 };
  for await (const batch of file.pieces(start, end, { signal, keepGoing: onUnreadable !== undefined })) {
    for (const piece of batch) {
      for (const unit of unitsOf(file, piece)) {
        const { part } = unit;
        const last = run.parts.at(-1);
        const isFull = run.byteLength + (part?.length ?? 0) > RUN_BYTES || run.units.length >= MAX_UNITS;
        if (isFull || (part !== undefined && last !== undefined && !follows(last, part))) {
          yield run;
          run = { units: [], parts: [], byteLength: 0 };
        }
        run.units.push(unit);
        if (part === undefined) continue;
        run.parts.push(part);
        run.byteLength += part.length;
      }
    }
  }
  if (run.units.length > 0) yield run;
}

function* unitsOf({ inode }: OpenFile, piece: Piece): Generator<Unit> {
  const { kind, start, end } = piece;
  const { sectorSize } = inode.subvolume.filesystem.volume;
  if (kind === "zeros") {
    yield { io: plain(start, end), head: 0, byteLength: 0 };
  } else if (kind === "lost") {
    yield { io: plain(start, end), head: 0, byteLength: 0, error: piece.error };
  } else if (kind === "inline") {
    const { compression, data, ramBytes } = piece.extent;
    if (compression === COMPRESS_NONE) {
      yield { io: plain(start, end), head: 0, byteLength: 0, data: data.subarray(Number(start), Number(end)) };
    } else {
      const io = compressed(start, end, ramBytes, start, encodedCompression(compression, sectorSize));
      yield { io, head: 0, byteLength: 0, data };
    }
  } else {
    const { extent } = piece;
    const { compression, diskNumBytes, ramBytes } = extent;
    const within = extent.offset + start - extent.fileOffset;
    const whole = compressed(start, end, ramBytes, within, encodedCompression(compression, sectorSize));
    try {
      checkExtent(inode, extent);
    } catch (error) {
      yield { io: compression === COMPRESS_NONE ? plain(start, end) : whole, head: 0, byteLength: 0, error };
      return;
    }
    if (compression !== COMPRESS_NONE) {
      const part = { extent, at: 0, length: diskNumBytes };
      yield { io: whole, part, head: 0, byteLength: diskNumBytes };
      return;
    }
    for (let from = start; from < end; ) {
      const to = smaller(end, from - (from % BigInt(sectorSize)) + BigInt(MAX_ENCODED_BYTES));
      const at = Number(extent.offset + from - extent.fileOffset);
      const head = at % sectorSize;
      const byteLength = Number(to - from);
      const length = Math.ceil((head + byteLength) / sectorSize) * sectorSize;
      yield { io: plain(from, to), part: { extent, at: at - head, length }, head, byteLength };
      from = to;
    }
  }
}

function plain(start: bigint, end: bigint): EncodedIo {
  const length = end - start;
  const rest = { unencodedOffset: 0n, compression: ENCODED_NONE, encryption: 0 };
  return { offset: start, length, unencodedLength: length, ...rest };
}

function compressed(
  start: bigint,
  end: bigint,
  unencodedLength: bigint,
  unencodedOffset: bigint,
  compression: number,
): EncodedIo {
  return { offset: start, length: end - start, unencodedLength, unencodedOffset, compression, encryption: 0 };
}
