import type { BtrfsError } from "../errors.ts";
import { ENCODED_NONE, MAX_ENCODED_BYTES } from "../format/encoded-io.ts";
import { COMPRESS_NONE } from "../format/file-extent.ts";
import { type Piece, smaller } from "../fs/extents.ts";
import type { Inode } from "../fs/inode.ts";
import { checkExtent, type StoredPart } from "../fs/stored.ts";
import type { EncodedExtent } from "./extents.ts";
import { encodedCompression } from "./read.ts";

/** One extent to come: what it is, and where its bytes are. */
export interface Unit {
  /** Its data is set when it has been read. */
  readonly extent: Writable<EncodedExtent>;
  /** What is to be read for it: its bytes are `byteLength` from byte `head` on. */
  readonly part: StoredPart | undefined;
  readonly head: number;
  readonly byteLength: number;
  readonly error: unknown;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Adds what a piece of a file is stored as to `units`. */
export function addUnits(inode: Inode, piece: Piece, units: Unit[]): void {
  const { start, end } = piece;
  switch (piece.kind) {
    case "zeros":
      units.push(unread(plain(inode, start, end)));
      return;
    case "lost":
      units.push(unread(plain(inode, start, end), piece.error));
      return;
    case "inline": {
      const { compression, data, ramBytes } = piece.extent;
      const isPlain = compression === COMPRESS_NONE;
      const extent = isPlain
        ? plain(inode, start, end)
        : compressed(inode, start, end, ramBytes, start, encodedCompression(compression, sectorSizeOf(inode)));
      extent.data = isPlain ? data.subarray(Number(start), Number(end)) : data;
      units.push(unread(extent));
      return;
    }
    case "stored":
      addStored(inode, piece, units);
  }
}

function addStored(inode: Inode, piece: Extract<Piece, { kind: "stored" }>, units: Unit[]): void {
  const { extent, start, end } = piece;
  const { compression, diskNumBytes: length, ramBytes } = extent;
  const sectorSize = sectorSizeOf(inode);
  const within = extent.offset + start - extent.fileOffset;
  const isPlain = compression === COMPRESS_NONE;
  const error = problemOf(() => checkExtent(inode, extent));
  if (!isPlain) {
    const whole = compressed(inode, start, end, ramBytes, within, encodedCompression(compression, sectorSize));
    if (error !== undefined) units.push(unread(whole, error));
    else units.push({ extent: whole, part: { inode, extent, at: 0, length }, head: 0, byteLength: length, error });
    return;
  }
  if (error !== undefined) {
    units.push(unread(plain(inode, start, end), error));
    return;
  }
  for (let from = start; from < end; ) {
    const to = smaller(end, from - (from % BigInt(sectorSize)) + BigInt(MAX_ENCODED_BYTES));
    const at = Number(extent.offset + from - extent.fileOffset);
    const head = at % sectorSize;
    const byteLength = Number(to - from);
    const sectors = Math.ceil((head + byteLength) / sectorSize) * sectorSize;
    const part = { inode, extent, at: at - head, length: sectors };
    units.push({ extent: plain(inode, from, to), part, head, byteLength, error: undefined });
    from = to;
  }
}

function problemOf(check: () => void): unknown {
  try {
    check();
    return undefined;
  } catch (error) {
    return error;
  }
}

function sectorSizeOf({ subvolume }: Inode): number {
  return subvolume.filesystem.volume.sectorSize;
}

function unread(extent: Writable<EncodedExtent>, error?: BtrfsError | unknown): Unit {
  return { extent, part: undefined, head: 0, byteLength: 0, error };
}

function plain(inode: Inode, start: bigint, end: bigint): Writable<EncodedExtent> {
  const length = end - start;
  return {
    inode,
    offset: start,
    length,
    unencodedLength: length,
    unencodedOffset: 0n,
    compression: ENCODED_NONE,
    encryption: 0,
    data: undefined,
  };
}

function compressed(
  inode: Inode,
  start: bigint,
  end: bigint,
  unencodedLength: bigint,
  unencodedOffset: bigint,
  compression: number,
): Writable<EncodedExtent> {
  const length = end - start;
  return {
    inode,
    offset: start,
    length,
    unencodedLength,
    unencodedOffset,
    compression,
    encryption: 0,
    data: undefined,
  };
}
