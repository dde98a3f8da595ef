import { constants, realpathSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { displayName } from "../../bytes/display.ts";
import * as edit from "../../edit/index.ts";
import { BtrfsError } from "../../errors.ts";
import { joinPath } from "../../fs/path.ts";
import { createSnapshot } from "../../linux/subvolume.ts";
import { type Context, command } from "../command.ts";
import { demandSubvolume, findIn, parentIn, placeOf, splitLast } from "../image-edit.ts";
import { locate } from "../images.ts";
import { expectSubvolume, LivePlace, openParent, realPath } from "../live.ts";
import { type Place, parsePlace, WRITABLE_IMAGE_OPTIONS, type WritableImageOptions } from "../places.ts";
import { withWritable } from "../writable-images.ts";

export const subvolumeSnapshot = command({
  brief: "Take a snapshot of a subvolume, of a mounted btrfs or in an image",
  usage: ["[-r] SUBVOL DEST", "[-r] [options] IMAGE:SUBVOL IMAGE:DEST"],
  details: `
DEST is the snapshot, or a directory to make it in under the name of the subvolume. Prints what btrfs subvolume snapshot
prints.`,
  options: {
    readOnly: { short: "r", brief: "make it read-only, as send needs it" },
    quiet: { short: "q", long: "quiet", brief: "print errors only" },
    ...WRITABLE_IMAGE_OPTIONS,
  },
  example: "btrkit subvolume snapshot -r disk.img:/home disk.img:/home.monday",
  operands: [2, 2],
  async run(context, options, [from, to]) {
    const source = parsePlace(from!);
    const wanted = parsePlace(to!);
    const made =
      source.kind === "path" && wanted.kind === "path"
        ? snapshotLive(source.path, wanted.path, options.readOnly)
        : await snapshotIn(context, imageOf(source, from!, wanted, to!), options);
    if (options.quiet) return;
    const what = options.readOnly ? "readonly snapshot" : "snapshot";
    await context.out.line(`Create a ${what} of '${from}' in '${made}'`);
    return;
  },
});

function snapshotLive(source: string, wanted: string, readOnly: boolean): string {
  using subvolume = new LivePlace(source, constants.O_RDONLY | constants.O_DIRECTORY);
  // Else the kernel would take the subvolume around it.
  expectSubvolume(subvolume, "take snapshot");
  const isDirectory = statSync(wanted, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const { place, name } = openParent(isDirectory ? join(wanted, basename(realPath(source))) : wanted);
  using directory = place;
  createSnapshot(directory.native, subvolume.fd, directory.fd, name, { readOnly });
  return `${isDirectory ? wanted : directory.path}/${name}`;
}

interface InImage {
  readonly image: string;
  readonly source: Uint8Array;
  readonly wanted: Uint8Array;
}

/** @throws {BtrfsError} `kind`, unless both are places of one image. */
function imageOf(source: Place, from: string, wanted: Place, to: string): InImage {
  const isSame =
    source.kind === "image" && wanted.kind === "image" && realpathSync(source.image) === realpathSync(wanted.image);
  if (isSame) return { image: source.image, source: source.path, wanted: wanted.path };
  throw new BtrfsError("kind", `Cannot take snapshot: ${from} and ${to} are not of the same filesystem`);
}

interface SnapshotOptions extends WritableImageOptions {
  readonly readOnly: boolean;
}

function snapshotIn(context: Context, { image, source, wanted }: InImage, options: SnapshotOptions): Promise<string> {
  return withWritable(context, image, options, async (writable) => {
    const origin = await locate(writable.place(source), true);
    demandSubvolume(origin, "take snapshot");
    const isDirectory = (await findIn(writable, wanted, true))?.kind === "directory";
    const path = isDirectory ? joinPath(withoutSlash(wanted), splitLast(source).name) : wanted;
    const { subvolume, directory, name } = await parentIn(writable, path);
    await writable.volume.transaction((tx) =>
      edit.snapshotSubvolume(placeOf(tx, subvolume), origin.subvolume.id, directory, name, {
        readOnly: options.readOnly,
      }),
    );
    return `${image}:${displayName(path)}`;
  });
}

/** `joinPath` puts a slash between. */
function withoutSlash(path: Uint8Array): Uint8Array {
  return path.at(-1) === 0x2f ? path.subarray(0, -1) : path;
}
