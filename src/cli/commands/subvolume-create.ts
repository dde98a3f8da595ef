import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { createSubvolume } from "../../linux/subvolume.ts";
import { hostError } from "../../node/host-error.ts";
import { command } from "../command.ts";
import { Failures } from "../failures.ts";
import { openParent } from "../live.ts";
import { livePath } from "../places.ts";

export const subvolumeCreate = command({
  brief: "Create subvolumes on a mounted btrfs",
  usage: ["[-p] PATH..."],
  details: "Needs write permission in the directory around it, not root. Prints what btrfs subvolume create prints.",
  options: {
    parents: { short: "p", long: "parents", brief: "make the directories above that are missing" },
    quiet: { short: "q", long: "quiet", brief: "print errors only" },
  },
  example: "btrkit subvolume create /mnt/data/photos",
  operands: [1, Number.POSITIVE_INFINITY],
  async run({ out, say }, options, words) {
    const failures = new Failures(say);
    for (const word of words) {
      try {
        const path = livePath(word, "create a subvolume");
        if (options.parents) makeParents(path);
        const { place, name } = openParent(path);
        using directory = place;
        createSubvolume(directory.native, directory.fd, name);
        if (!options.quiet) await out.line(`Create subvolume '${directory.path}/${name}'`);
      } catch (error) {
        failures.note(error);
      }
    }
    return failures.status;
  },
});

function makeParents(path: string): void {
  const parents = dirname(join(path));
  try {
    mkdirSync(parents, { recursive: true });
  } catch (error) {
    throw hostError(error, "make directory", parents);
  }
}
