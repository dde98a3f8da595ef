import { FS_TREE_OBJECTID } from "../../format/objectid.ts";
import type { ListedSubvolume } from "../../fs/subvolume-list.ts";
import { getSubvolumeId } from "../../linux/lookup.ts";
import { listLiveSubvolumes } from "../../linux/subvolume-list.ts";
import type { Context } from "../command.ts";
import { command } from "../command.ts";
import { FORMAT_OPTION } from "../common-options.ts";
import { openImageFilesystem } from "../images.ts";
import { LivePlace } from "../live.ts";
import type { ImageOptions } from "../places.ts";
import { IMAGE_OPTIONS, OLD_ROOT_OPTIONS, parsePlace } from "../places.ts";
import { recordsFor } from "../records.ts";
import { linePaths, listLine, subvolumeJson } from "../subvolume-text.ts";

export const subvolumeList = command({
  brief: "List subvolumes and snapshots",
  usage: ["[options] IMAGE", "[options] PATH"],
  details: `
Lines are those of btrfs subvolume list. Subvolumes that no directory has any more are listed, too. JSON has every field
of each, and paths from the top of the filesystem. For a PATH on a mounted btrfs the kernel is asked, which takes root;
lines then have the paths of what is below its subvolume from there.`,
  options: {
    parent: { short: "p", brief: "the parent's id" },
    created: { short: "c", brief: "the generation of the creation" },
    generation: { short: "g", brief: "the generation, which is printed anyhow" },
    uuid: { short: "u", brief: "the UUID" },
    parentUuid: { short: "q", brief: "the UUID of what it is a snapshot of" },
    receivedUuid: { short: "R", brief: "the UUID that it was received with" },
    snapshots: { short: "s", brief: "snapshots only, with the time of their creation" },
    readOnly: { short: "r", brief: "read-only ones only" },
    below: { short: "o", brief: "those right below the subvolume of PATH only" },
    all: { short: "a", brief: "with <FS_TREE>/ before the path of what is not right below the subvolume of PATH" },
    ...FORMAT_OPTION,
    ...OLD_ROOT_OPTIONS,
    ...IMAGE_OPTIONS,
  },
  example: "btrkit subvolume list -u disk.img",
  operands: [1, 1],
  async run(context, options, [word]) {
    const { out } = context;
    const { list, top } = await listed(context, word!, options);
    const shown = list.filter(
      ({ id, parentUuid, readOnly, place }) =>
        id !== FS_TREE_OBJECTID &&
        (!options.snapshots || parentUuid !== undefined) &&
        (!options.readOnly || readOnly) &&
        (!options.below || place?.parent === top),
    );
    const paths = linePaths(list, top, options);
    const records = recordsFor(out, options.format, "subvolume-list");
    const fields = { ...options, created: options.created || options.snapshots, time: options.snapshots };
    for (const subvolume of shown) {
      if (records === undefined) await out.line(listLine(subvolume, fields, paths));
      else await records.add(subvolumeJson(subvolume));
    }
    await records?.end();
    return undefined;
  },
});

interface Listed {
  readonly list: readonly ListedSubvolume[];
  /** The subvolume that was named. */
  readonly top: bigint;
}

async function listed(context: Context, word: string, options: ImageOptions): Promise<Listed> {
  const place = parsePlace(word);
  if (place.kind === "path") {
    using live = new LivePlace(place.path);
    return { list: listLiveSubvolumes(live.native, live.fd), top: getSubvolumeId(live.native, live.fd) };
  }
  await using filesystem = await openImageFilesystem(context, place.image, options);
  return { list: await filesystem.subvolumes(), top: FS_TREE_OBJECTID };
}
