import { constants } from "node:fs";
import { displayName } from "../../bytes/display.ts";
import { syncFilesystem } from "../../linux/filesystem.ts";
import { deleteSubvolume, deleteSubvolumeById } from "../../linux/subvolume.ts";
import { listLiveSubvolumes } from "../../linux/subvolume-list.ts";
import { command } from "../command.ts";
import { Failures } from "../failures.ts";
import { expectSubvolume, LivePlace, openParent, realPath } from "../live.ts";
import { parseWhole } from "../numbers.ts";
import { UsageError } from "../options.ts";
import { livePath } from "../places.ts";

export const subvolumeDelete = command({
  brief: "Delete subvolumes and snapshots of a mounted btrfs",
  usage: ["[-c|-C] SUBVOL...", "[-c|-C] -i ID PATH"],
  details: `
With all that is in them, except other subvolumes: those have to go first. Prints what btrfs subvolume delete prints.
Without -c and -C a crash soon after may bring one back.`,
  options: {
    commitAfter: { short: "c", long: "commit-after", brief: "wait for the commit after the last one" },
    commitEach: { short: "C", long: "commit-each", brief: "wait for the commit after each" },
    id: { short: "i", long: "subvolid", value: "ID", brief: "the one with this id, on the filesystem of PATH" },
    quiet: { short: "q", long: "quiet", brief: "print errors only" },
    verbose: {
      short: "v",
      long: "verbose",
      many: true,
      brief: "accepted as by btrfs subvolume delete, changes nothing",
    },
  },
  example: "btrkit subvolume delete --commit-after /mnt/data/.snapshots/monday",
  operands: [1, Number.POSITIVE_INFINITY],
  async run({ out, say }, options, words) {
    if (options.id !== undefined && words.length > 1) throw new UsageError("option '-i' takes one PATH");
    const failures = new Failures(say);
    const commit = options.commitAfter || options.commitEach ? "commit" : "no-commit";
    const tell = async (path: string) => {
      if (!options.quiet) await out.line(`Delete subvolume (${commit}): '${path}'`);
    };
    const changed: LivePlace[] = [];
    const done = async (place: LivePlace) => {
      if (options.commitEach) await syncFilesystem(place.native, place.fd);
    };
    try {
      for (const word of words) {
        try {
          const path = livePath(word, "delete a subvolume");
          if (options.id === undefined) {
            const { place, name } = openSubvolume(path);
            changed.push(place);
            deleteSubvolume(place.native, place.fd, name);
            await tell(`${place.path}/${name}`);
            await done(place);
          } else {
            const id = BigInt(parseWhole("--subvolid", options.id));
            const place = new LivePlace(path, constants.O_RDONLY | constants.O_DIRECTORY);
            changed.push(place);
            const shown = listLiveSubvolumes(place.native, place.fd).find((one) => one.id === id)?.path;
            deleteSubvolumeById(place.native, place.fd, id);
            await tell(shown === undefined ? `subvolid=${id}` : `${path}/${displayName(shown)}`);
            await done(place);
          }
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

/** The directory around a subvolume, with its real name: a symbolic link that leads to one is followed. */
function openSubvolume(path: string): { readonly place: LivePlace; readonly name: string } {
  const real = realPath(path);
  using subvolume = new LivePlace(real);
  expectSubvolume(subvolume, "delete subvolume");
  return openParent(real);
}
