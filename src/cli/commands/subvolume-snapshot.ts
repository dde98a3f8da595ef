import { constants, statSync } from "node:fs";
import { basename, join } from "node:path";
import { createSnapshot } from "../../linux/subvolume.ts";
import { command } from "../command.ts";
import { expectSubvolume, LivePlace, openParent, realPath } from "../live.ts";
import { livePath } from "../places.ts";

export const subvolumeSnapshot = command({
  brief: "Take a snapshot of a subvolume of a mounted btrfs",
  usage: ["[-r] SUBVOL DEST"],
  details: `
DEST is the snapshot, or a directory to make it in under the name of the subvolume. Prints what btrfs subvolume snapshot
prints.`,
  options: {
    readOnly: { short: "r", brief: "make it read-only, as send needs it" },
    quiet: { short: "q", long: "quiet", brief: "print errors only" },
  },
  example: "btrkit subvolume snapshot -r /mnt/data /mnt/data/.snapshots/monday",
  operands: [2, 2],
  async run({ out }, options, [from, to]) {
    const source = livePath(from!, "take a snapshot");
    const wanted = livePath(to!, "make a snapshot");
    using subvolume = new LivePlace(source, constants.O_RDONLY | constants.O_DIRECTORY);
    // Else the kernel would take the subvolume around it.
    expectSubvolume(subvolume, "take snapshot");
    const isDirectory = statSync(wanted, { throwIfNoEntry: false })?.isDirectory() ?? false;
    const { place, name } = openParent(isDirectory ? join(wanted, basename(realPath(source))) : wanted);
    using directory = place;
    createSnapshot(directory.native, subvolume.fd, directory.fd, name, { readOnly: options.readOnly });
    if (options.quiet) return;
    const what = options.readOnly ? "readonly snapshot" : "snapshot";
    await out.line(`Create a ${what} of '${source}' in '${isDirectory ? wanted : directory.path}/${name}'`);
    return;
  },
});
