import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { displayName } from "../bytes/display.ts";
import { BtrfsError } from "../errors.ts";
import type { Inode } from "../fs/inode.ts";
import { openPacker } from "../linux/compress-threads.ts";
import type { FileSource } from "../node/file-source.ts";
import { ImageTarget, type ImageTargetOptions } from "../receive/image-target.ts";
import { deleteUnfinishedInImage, unfinishedInImage } from "../receive/image-unfinished.ts";
import { receive } from "../receive/receive.ts";
import type { Context } from "./command.ts";
import { locate } from "./images.ts";
import { makeImage, type NewImageOptions, SPARE_BYTES } from "./new-image.ts";
import { parsePlace, type WritableImageOptions } from "./places.ts";
import { type ReceiveFlags, type ReceiveWords, receiveInto } from "./receive-live.ts";
import { type WritableImage, withWritable } from "./writable-images.ts";

/** More are of no use: one thread carries out what the stream says. */
const MOST_THREADS = 8;

export interface ImageWishes extends Pick<ImageTargetOptions, "compress" | "forceDecompress"> {
  /** That compress; processors by default. */
  readonly threads?: number | undefined;
}

export interface ImageDestination {
  readonly image: string;
  /** Directory in it, from its top. */
  readonly path: Uint8Array;
  /** As it was given. */
  readonly word: string;
  readonly isThere: boolean;
}

/**
 * Where a word of the command line leads to in an image; `undefined` when it names no image.
 *
 * @param create What is not there is an image to be made: its name goes up to the first `:`.
 */
export function imageDestination(word: string, create: boolean): ImageDestination | undefined {
  const place = parsePlace(word);
  if (place.kind === "image") return { image: place.image, path: place.path, word, isThere: true };
  if (!create || existsSync(word)) return undefined;
  const colon = word.startsWith("./") ? -1 : word.indexOf(":");
  const image = colon < 0 ? word : word.slice(0, colon);
  const path = colon < 0 ? "/" : word.slice(colon + 1) || "/";
  return { image, path: new TextEncoder().encode(path), word, isThere: false };
}

/** Receives into an unmounted image. @returns The exit status. */
export function receiveImage(
  context: Context,
  source: FileSource,
  destination: ImageDestination,
  flags: ReceiveFlags,
  target: ImageWishes,
  { grow, ...options }: WritableImageOptions & { readonly grow: boolean },
): Promise<number> {
  return withWritable(context, destination.image, { ...options, enlarge: grow }, async (image) => {
    const size = (): number => Number(image.volume.volume.superblock.totalBytes);
    const before = size();
    const status = await receiveAt(context, source, image, destination, flags, target);
    if (size() > before) await image.volume.shrinkToFit(SPARE_BYTES, before);
    return status;
  });
}

/** As `receiveImage`, into an image that is there when all is received, and else is not. @returns The exit status. */
export function receiveNewImage(
  context: Context,
  source: FileSource,
  destination: ImageDestination,
  flags: ReceiveFlags,
  target: ImageWishes,
  options: NewImageOptions,
): Promise<number> {
  return makeImage(context, destination.image, options, (image) =>
    receiveAt(context, source, image, destination, flags, target, true),
  );
}

async function receiveAt(
  context: Context,
  source: FileSource,
  image: WritableImage,
  destination: ImageDestination,
  flags: ReceiveFlags,
  { threads, ...options }: ImageWishes,
  isNew = false,
): Promise<number> {
  const directory = await directoryAt(image, destination);
  const { subvolume, number } = directory;
  if (subvolume.info.readOnly) {
    throw new BtrfsError("permission", "Cannot receive: the subvolume of the destination is read-only", {
      where: { file: destination.word },
    });
  }
  const { compress } = options;
  const packer =
    compress === undefined
      ? undefined
      : await openPacker(
          Math.min(threads ?? availableParallelism(), MOST_THREADS),
          compress,
          image.volume.volume.sectorSize,
        );
  try {
    const target = new ImageTarget(image.volume, { tree: subvolume.id, directory: number, ...options, packer });
    const run = (wishes: Parameters<typeof receive>[2]) => receive(source, target, wishes);
    const status = await receiveInto(context, source, flags, run, wordsFor(destination, isNew));
    if (target.withoutData > 0) {
      context.say(`WARNING: the stream has no data: ${target.withoutData} extents are holes, or as they were`);
    }
    return status;
  } finally {
    await packer?.close();
  }
}

function wordsFor(destination: ImageDestination, isNew: boolean): ReceiveWords {
  return {
    unfinished: (name) =>
      isNew
        ? []
        : [
            `WARNING: ${shownIn(destination, name)} is unfinished: writable, without received uuid, marked with user.btrkit.receiving`,
            `WARNING: btrkit receive --cleanup ${destination.word} deletes what bears that mark`,
          ],
    received: undefined,
  };
}

/** Deletes the subvolumes of unfinished receives in a directory of an image. @returns The exit status. */
export function cleanUpImage(
  context: Context,
  destination: ImageDestination,
  options: WritableImageOptions,
): Promise<number> {
  return withWritable(context, destination.image, options, async (image) => {
    const unfinished = await unfinishedInImage(await directoryAt(image, destination));
    let status = 0;
    for (const one of unfinished) {
      const shown = shownIn(destination, displayName(one.name));
      try {
        await deleteUnfinishedInImage(image.volume, [one]);
        await context.out.line(`deleted ${shown}, an unfinished receive of ${one.uuid}`);
      } catch (error) {
        if (!(error instanceof BtrfsError) || error.code === "io") throw error;
        context.say(`ERROR: ${error.message}`);
        status = 1;
      }
    }
    return status;
  });
}

async function directoryAt(image: WritableImage, { path, word }: ImageDestination): Promise<Inode> {
  const found = await locate(image.place(path), true);
  if (found.kind === "directory" && !found.isPlaceholder) return found;
  throw new BtrfsError("kind", `Cannot receive: the destination is a ${found.kind}, expected a directory`, {
    where: { file: word },
  });
}

function shownIn({ image, path }: ImageDestination, name: string): string {
  return `${image}:${displayName(path).replace(/\/*$/, "")}/${name}`;
}
