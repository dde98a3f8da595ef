import { displayName } from "../bytes/display.ts";
import { makeDirectory } from "../edit/create.ts";
import type { Place } from "../edit/place.ts";
import { BtrfsError } from "../errors.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import type { Inode } from "../fs/inode.ts";
import { joinPath } from "../fs/path.ts";
import type { Transaction } from "../transaction/transaction.ts";
import { locate } from "./images.ts";
import { imagePlace } from "./places.ts";
import type { WritableImage } from "./writable-images.ts";

const SLASH = 0x2f;

/** One operand `IMAGE:PATH`. */
export interface ImageOperand {
  /** As it was given. */
  readonly word: string;
  readonly path: Uint8Array;
}

/** Operands by the image that they name, in the order in which they were given. @throws {BtrfsError} for what is no image. */
export function byImage(words: readonly string[]): Map<string, ImageOperand[]> {
  const images = new Map<string, ImageOperand[]>();
  for (const word of words) {
    const { image, path } = imagePlace(word);
    const operands = images.get(image) ?? [];
    operands.push({ word, path });
    images.set(image, operands);
  }
  return images;
}

/** A name in a directory of an image. */
export interface NamedPlace {
  /** Id of the subvolume. */
  readonly subvolume: bigint;
  /** Inode of the directory in it. */
  readonly directory: bigint;
  readonly name: Uint8Array;
  /** The whole, without symlinks, from the top of the filesystem. */
  readonly path: Uint8Array;
}

/**
 * The directory that a path lies in or will lie in, and the last name of the path. Symlinks on the way are followed.
 *
 * @throws {BtrfsError} `missing`; `kind`; `path` where it ends in no name.
 */
export async function parentIn(image: WritableImage, path: Uint8Array): Promise<NamedPlace> {
  const { above, name } = splitLast(path);
  const directory = await image.filesystem.lookup(above, { followSymlinks: true });
  directory.demand("directory", "use path");
  demandReal(directory);
  const whole = joinPath(directory.path!, name);
  return { subvolume: directory.subvolume.id, directory: directory.number, name, path: whole };
}

/** As `parentIn`; directories that are missing above are made. @throws {BtrfsError} as there. */
export async function makeParentsIn(image: WritableImage, tx: Transaction, path: Uint8Array): Promise<NamedPlace> {
  const { above, name } = splitLast(path);
  const missing: Uint8Array[] = [];
  let rest = above;
  let found = await findIn(image, rest, true);
  while (found === undefined) {
    const last = splitLast(rest);
    missing.push(last.name);
    rest = last.above;
    found = await findIn(image, rest, true);
  }
  found.demand("directory", "use path");
  demandReal(found);
  let directory = found.number;
  const subvolume = found.subvolume.id;
  let whole = found.path!;
  for (const made of missing.reverse()) {
    directory = await makeDirectory(placeOf(tx, subvolume), directory, made);
    whole = joinPath(whole, made);
  }
  return { subvolume, directory, name, path: joinPath(whole, name) };
}

/** The last name of a path, and what is before it. */
export function splitLast(path: Uint8Array): { readonly above: Uint8Array; readonly name: Uint8Array } {
  let end = path.byteLength;
  while (end > 0 && path[end - 1] === SLASH) end--;
  const start = path.lastIndexOf(SLASH, end - 1) + 1;
  const name = path.subarray(start, end);
  const shown = displayName(name);
  if (shown !== "" && shown !== "." && shown !== "..") return { above: path.subarray(0, start), name };
  throw new BtrfsError("path", "Cannot use path: it does not end in a name", { where: { path: displayName(path) } });
}

/** What a path leads to, if it leads to anything. Symlinks on the way are followed, one at the end with `follow`. */
export async function findIn(image: WritableImage, path: Uint8Array, follow: boolean): Promise<Inode | undefined> {
  try {
    return await locate(image.place(path), follow);
  } catch (error) {
    if (error instanceof BtrfsError && error.code === "missing") return undefined;
    throw error;
  }
}

/** @throws {BtrfsError} `kind`, unless it is the top directory of a subvolume. */
export function demandSubvolume(inode: Inode, act: string): void {
  if (inode.number === FIRST_FREE_OBJECTID) return;
  const what = inode.kind === "directory" ? "a directory" : `a ${inode.kind}`;
  throw new BtrfsError("kind", `Cannot ${act}: it is ${what}, no subvolume`, { where: inode.where });
}

/** @throws {BtrfsError} `permission` for the empty directory where a snapshot has no copy of a nested subvolume. */
export function demandReal(directory: Inode): void {
  if (!directory.isPlaceholder) return;
  const sentence = "Cannot change directory: a subvolume lay here, of which the snapshot has no copy";
  throw new BtrfsError("permission", sentence, { where: directory.where });
}

/** Where steps change what a subvolume has. */
export function placeOf(tx: Transaction, subvolume: bigint): Place {
  return { tx, tree: subvolume, now: imageTime() };
}

/** Nanoseconds since 1970. */
export function imageTime(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
