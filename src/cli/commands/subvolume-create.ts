import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import * as edit from "../../edit/index.ts";
import { createSubvolume } from "../../linux/subvolume.ts";
import { hostError } from "../../node/host-error.ts";
import { type Context, command } from "../command.ts";
import { Failures } from "../failures.ts";
import { makeParentsIn, parentIn, placeOf } from "../image-edit.ts";
import { openParent } from "../live.ts";
import { parsePlace, WRITABLE_IMAGE_OPTIONS, type WritableImageOptions } from "../places.ts";
import { withWritable } from "../writable-images.ts";

export const subvolumeCreate = command({
  brief: "Create subvolumes, on a mounted btrfs or in an image",
  usage: ["[-p] PATH...", "[-p] [options] IMAGE:PATH..."],
  details: `
On a mounted btrfs it needs write permission in the directory around it, not root. In an image, the subvolume belongs to
root. Prints what btrfs subvolume create prints.`,
  options: {
    parents: { short: "p", long: "parents", brief: "make the directories above that are missing" },
    quiet: { short: "q", long: "quiet", brief: "print errors only" },
    ...WRITABLE_IMAGE_OPTIONS,
  },
  example: "btrkit subvolume create disk.img:/photos",
  operands: [1, Number.POSITIVE_INFINITY],
  async run(context, options, words) {
    const failures = new Failures(context.say);
    for (const word of words) {
      try {
        const place = parsePlace(word);
        const shown =
          place.kind === "path"
            ? createLive(place.path, options.parents)
            : await createIn(context, place.image, place.path, options);
        if (!options.quiet) await context.out.line(`Create subvolume '${shown}'`);
      } catch (error) {
        failures.note(error);
      }
    }
    return failures.status;
  },
});

function createLive(path: string, parents: boolean): string {
  if (parents) makeParents(path);
  const { place, name } = openParent(path);
  using directory = place;
  createSubvolume(directory.native, directory.fd, name);
  return `${directory.path}/${name}`;
}

function makeParents(path: string): void {
  const parents = dirname(join(path));
  try {
    mkdirSync(parents, { recursive: true });
  } catch (error) {
    throw hostError(error, "make directory", parents);
  }
}

interface CreateOptions extends WritableImageOptions {
  readonly parents: boolean;
}

function createIn(context: Context, image: string, path: Uint8Array, options: CreateOptions): Promise<string> {
  return withWritable(context, image, options, async (writable) => {
    await writable.volume.transaction(async (tx) => {
      const { subvolume, directory, name } = options.parents
        ? await makeParentsIn(writable, tx, path)
        : await parentIn(writable, path);
      await edit.createSubvolume(placeOf(tx, subvolume), directory, name);
    });
    return writable.place(path).shown;
  });
}
