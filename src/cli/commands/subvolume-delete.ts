import { constants } from "node:fs";
import { displayName } from "../../bytes/display.ts";
import * as edit from "../../edit/index.ts";
import { syncFilesystem } from "../../linux/filesystem.ts";
import { deleteSubvolume, deleteSubvolumeById } from "../../linux/subvolume.ts";
import { listLiveSubvolumes } from "../../linux/subvolume-list.ts";
import { type Context, command } from "../command.ts";
import { Failures } from "../failures.ts";
import { demandSubvolume, imageTime } from "../image-edit.ts";
import { locate } from "../images.ts";
import { expectSubvolume, LivePlace, openParent, realPath } from "../live.ts";
import { parseWhole } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { parsePlace, WRITABLE_IMAGE_OPTIONS, type WritableImageOptions } from "../places.ts";
import { withWritable } from "../writable-images.ts";

export const subvolumeDelete = command({
  brief: "Delete subvolumes and snapshots, of a mounted btrfs or in an image",
  usage: ["[-c|-C] SUBVOL...", "[-c|-C] -i ID PATH", "[--now] [options] IMAGE:SUBVOL...", "[--now] -i ID IMAGE"],
  details: `
With all that is in them, except other subvolumes: those have to go first. Prints what btrfs subvolume delete prints. On
a mounted btrfs, without -c and -C a crash soon after may bring one back; an image is committed after each. What a
subvolume of an image has to itself is freed by the kernel, after the next mount for writing; with --now, at once.`,
  options: {
    commitAfter: { short: "c", long: "commit-after", brief: "wait for the commit after the last one" },
    commitEach: { short: "C", long: "commit-each", brief: "wait for the commit after each" },
    id: { short: "i", long: "subvolid", value: "ID", brief: "the one with this id, on the filesystem of PATH" },
    now: { long: "now", brief: "in an image: free its space at once" },
    quiet: { short: "q", long: "quiet", brief: "print errors only" },
    verbose: {
      short: "v",
      long: "verbose",
      many: true,
      brief: "accepted as by btrfs subvolume delete, changes nothing",
    },
    ...WRITABLE_IMAGE_OPTIONS,
  },
  example: "btrkit subvolume delete --now disk.img:/home.monday",
  operands: [1, Number.POSITIVE_INFINITY],
  async run(context, options, words) {
    if (options.id !== undefined && words.length > 1) throw new UsageError("option '-i' takes one PATH");
    const id = options.id === undefined ? undefined : BigInt(parseWhole("--subvolid", options.id));
    const failures = new Failures(context.say);
    const tell = async (commit: "commit" | "no-commit", path: string) => {
      if (!options.quiet) await context.out.line(`Delete subvolume (${commit}): '${path}'`);
    };
    const changed: LivePlace[] = [];
    try {
      for (const word of words) {
        try {
          const place = parsePlace(word);
          if (place.kind === "image") {
            await tell("commit", await deleteIn(context, place.image, place.path, id, options));
            continue;
          }
          if (options.now)
            throw new UsageError(`option '--now' is for images, the kernel does it when it likes: ${word}`);
          const deleted = deleteLive(place.path, id, changed);
          await tell(options.commitAfter || options.commitEach ? "commit" : "no-commit", deleted);
          const last = changed.at(-1)!;
          if (options.commitEach) await syncFilesystem(last.native, last.fd);
        } catch (error) {
          failures.note(error);
        }
      }
      if (options.commitAfter && !options.commitEach)
        for (const place of changed) await syncFilesystem(place.native, place.fd);
    } finally {
      for (const place of changed) place[Symbol.dispose]();
    }
    return failures.status;
  },
});

/** @param changed Gets what was opened, to be synced and closed. */
function deleteLive(path: string, id: bigint | undefined, changed: LivePlace[]): string {
  if (id === undefined) {
    const { place, name } = openSubvolume(path);
    changed.push(place);
    deleteSubvolume(place.native, place.fd, name);
    return `${place.path}/${name}`;
  }
  const place = new LivePlace(path, constants.O_RDONLY | constants.O_DIRECTORY);
  changed.push(place);
  const shown = listLiveSubvolumes(place.native, place.fd).find((one) => one.id === id)?.path;
  deleteSubvolumeById(place.native, place.fd, id);
  return shown === undefined ? `subvolid=${id}` : `${path}/${displayName(shown)}`;
}

/** The directory around a subvolume, with its real name: a symbolic link that leads to one is followed. */
function openSubvolume(path: string): { readonly place: LivePlace; readonly name: string } {
  const real = realPath(path);
  using subvolume = new LivePlace(real);
  expectSubvolume(subvolume, "delete subvolume");
  return openParent(real);
}

interface DeleteOptions extends WritableImageOptions {
  readonly now: boolean;
}

function deleteIn(
  context: Context,
  image: string,
  path: Uint8Array,
  id: bigint | undefined,
  options: DeleteOptions,
): Promise<string> {
  return withWritable(context, image, options, async (writable) => {
    const place = writable.place(path);
    let shown = place.shown;
    let wanted = id;
    if (wanted === undefined) {
      const inode = await locate(place, true);
      demandSubvolume(inode, "delete subvolume");
      wanted = inode.subvolume.id;
    } else {
      const listed = (await writable.filesystem.subvolumes()).find((one) => one.id === id)?.path;
      shown = listed === undefined ? `subvolid=${id}` : `${image}:/${displayName(listed)}`;
    }
    const { now } = options;
    await writable.volume.transaction((tx) => edit.deleteSubvolume({ tx, now: imageTime() }, wanted, { now }));
    return shown;
  });
}
