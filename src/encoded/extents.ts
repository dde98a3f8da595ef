import type { BtrfsError } from "../errors.ts";
import type { EncodedIo } from "../format/encoded-io.ts";
import type { OpenFile } from "../fs/file.ts";
import { filePieces } from "../fs/file-pieces.ts";
import type { Inode } from "../fs/inode.ts";
import type { Subvolume } from "../fs/subvolume.ts";
import { readRuns } from "./runs.ts";
import { addUnits, type Unit } from "./units.ts";

/** A part of a file as it is stored. */
export interface EncodedExtent extends EncodedIo {
  /** The file. */
  readonly inode: Inode;
  /** The stored bytes, lent until the next ones are asked for. Absent for holes and what is preallocated. */
  readonly data: Uint8Array | undefined;
}

/** What can't be read: the same without its bytes. */
export type OnUnreadableExtent = (extent: EncodedExtent, error: BtrfsError) => void;

export interface EncodedExtentsOptions {
  /** File offset to begin at, at most that of the end. */
  readonly start?: bigint | undefined;
  /** File offset to end before; the size of the file unless said. */
  readonly end?: bigint | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Takes what can't be read, in place of ending: that extent is left out. */
  readonly onUnreadable?: OnUnreadableExtent | undefined;
}

/**
 * Everything that a file is stored as, in the order of the file: compressed extents whole, for each part of the file that
 * uses them; what is not compressed in pieces of at most 128 KiB; holes as long as they are. Neighbours on the disk are
 * read at once, and ahead where the device is slow.
 *
 * @throws {BtrfsError} for what can't be read, unless `onUnreadable` takes it.
 */
export async function* encodedExtents(
  file: OpenFile,
  options: EncodedExtentsOptions = {},
): AsyncGenerator<EncodedExtent> {
  for await (const extents of readRuns(fileUnits(file, options), options)) yield* extents;
}

export interface SubvolumeExtentsOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes what can't be read, in place of ending: that extent is left out. */
  readonly onUnreadable?: OnUnreadableExtent | undefined;
  /** Takes what can't be read of the tree, in place of ending: files that it has are left out, or are unreadable in part. */
  readonly onDamage?: ((error: BtrfsError) => void) | undefined;
}

/**
 * The same of all regular files of a subvolume, each file once, in the order of their inode numbers; some extents at a
 * time. One walk over the tree, and what neighbours on the disk is read at once also where it belongs to several files:
 * several times as fast as file by file. Files have no path here: `inode.names()` tells their names.
 *
 * @throws {BtrfsError} for what can't be read, unless `onUnreadable` or `onDamage` takes it.
 */
export function encodedExtentsOf(
  subvolume: Subvolume,
  options: SubvolumeExtentsOptions = {},
): AsyncGenerator<EncodedExtent[]> {
  return readRuns(subvolumeUnits(subvolume, options), options);
}

async function* fileUnits(file: OpenFile, options: EncodedExtentsOptions): AsyncGenerator<Unit[]> {
  const { start, end, signal, onUnreadable } = options;
  for await (const batch of file.pieces(start, end, { signal, keepGoing: onUnreadable !== undefined })) {
    const units: Unit[] = [];
    for (const piece of batch) addUnits(file.inode, piece, units);
    yield units;
  }
}

async function* subvolumeUnits(subvolume: Subvolume, options: SubvolumeExtentsOptions): AsyncGenerator<Unit[]> {
  for await (const batch of filePieces(subvolume, options)) {
    const units: Unit[] = [];
    for (const { inode, piece } of batch) addUnits(inode, piece, units);
    yield units;
  }
}
