import { equalBytes } from "../../bytes/bytes.ts";
import { BtrfsError } from "../../errors.ts";
import { FIRST_FREE_OBJECTID } from "../../format/objectid.ts";
import { command } from "../command.ts";
import { Images } from "../images.ts";
import { FORMATS } from "../output.ts";
import { IMAGE_OPTIONS, OLD_ROOT_OPTIONS } from "../places.ts";
import { showLines, subvolumeJson } from "../subvolume-text.ts";

export const subvolumeShow = command({
  brief: "Describe a subvolume or snapshot of an image",
  usage: ["[options] IMAGE[:PATH]"],
  details: "Without PATH, the top level. What is printed is what btrfs subvolume show prints.",
  options: {
    format: { long: "format", value: "FORMAT", choices: FORMATS, brief: "how to print (default: text)" },
    ...OLD_ROOT_OPTIONS,
    ...IMAGE_OPTIONS,
  },
  example: "btrkit subvolume show disk.img:/home/@snap",
  operands: [1, 1],
  async run(context, options, [word]) {
    const { out } = context;
    await using images = new Images(context, options);
    const { filesystem, path } = await images.place(word!);
    const inode = await filesystem.lookup(path, { followSymlinks: true });
    if (inode.number !== FIRST_FREE_OBJECTID) {
      throw new BtrfsError("kind", `Cannot show subvolume: it is a ${inode.kind} inside of one`, {
        where: inode.where,
      });
    }
    const all = await filesystem.subvolumes();
    const subvolume = all.find(({ id }) => id === inode.subvolume.id)!;
    const { uuid } = subvolume;
    const snapshots = all.filter(
      ({ parentUuid }) => uuid !== undefined && parentUuid !== undefined && equalBytes(uuid, parentUuid),
    );
    if (options.format === undefined || options.format === "text") {
      for (const line of showLines(subvolume, snapshots)) await out.line(line);
      return;
    }
    const value = { ...subvolumeJson(subvolume), snapshots: snapshots.map((snapshot) => subvolumeJson(snapshot)) };
    if (options.format === "json") await out.document("subvolume-show", value);
    else await out.line(JSON.stringify(value));
    return;
  },
});
