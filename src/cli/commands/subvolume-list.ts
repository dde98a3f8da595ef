import { FS_TREE_OBJECTID } from "../../format/objectid.ts";
import { command } from "../command.ts";
import { openImageFilesystem } from "../images.ts";
import { FORMATS } from "../output.ts";
import { IMAGE_OPTIONS, imagePlace, OLD_ROOT_OPTIONS } from "../places.ts";
import { recordsFor } from "../records.ts";
import { listLine, subvolumeJson } from "../subvolume-text.ts";

export const subvolumeList = command({
  brief: "List the subvolumes and snapshots of an image",
  usage: ["[options] IMAGE"],
  details: `
Lines are those of btrfs subvolume list. Subvolumes that no directory has any more are listed, too. JSON has every field
of each.`,
  options: {
    parent: { short: "p", brief: "the parent's id" },
    created: { short: "c", brief: "the generation of the creation" },
    generation: { short: "g", brief: "the generation, which is printed anyhow" },
    uuid: { short: "u", brief: "the UUID" },
    parentUuid: { short: "q", brief: "the UUID of what it is a snapshot of" },
    receivedUuid: { short: "R", brief: "the UUID that it was received with" },
    snapshots: { short: "s", brief: "snapshots only, with the time of their creation" },
    readOnly: { short: "r", brief: "read-only ones only" },
    format: { long: "format", value: "FORMAT", choices: FORMATS, brief: "how to print (default: text)" },
    ...OLD_ROOT_OPTIONS,
    ...IMAGE_OPTIONS,
  },
  example: "btrkit subvolume list -u disk.img",
  operands: [1, 1],
  async run(context, options, [word]) {
    const { out } = context;
    await using filesystem = await openImageFilesystem(context, imagePlace(word!).image, options);
    const shown = (await filesystem.subvolumes()).filter(
      ({ id, parentUuid, readOnly }) =>
        id !== FS_TREE_OBJECTID && (!options.snapshots || parentUuid !== undefined) && (!options.readOnly || readOnly),
    );
    const records = recordsFor(out, options.format, "subvolume-list");
    const fields = { ...options, created: options.created || options.snapshots, time: options.snapshots };
    for (const subvolume of shown) {
      if (records === undefined) await out.line(listLine(subvolume, fields));
      else await records.add(subvolumeJson(subvolume));
    }
    await records?.end();
    return undefined;
  },
});
