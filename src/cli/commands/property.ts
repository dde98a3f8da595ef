import * as edit from "../../edit/index.ts";
import { BtrfsError } from "../../errors.ts";
import { command } from "../command.ts";
import { demandSubvolume, placeOf } from "../image-edit.ts";
import { Images, locate } from "../images.ts";
import { UsageError } from "../options.ts";
import { IMAGE_OPTIONS, imagePlace, WRITABLE_IMAGE_OPTIONS } from "../places.ts";
import { withWritable } from "../writable-images.ts";

export const propertyGet = command({
  brief: "Say whether a subvolume of an image is read-only",
  usage: ["[options] IMAGE:SUBVOL [ro]"],
  details: "As btrfs property get does of what is mounted.",
  options: { ...IMAGE_OPTIONS },
  example: "btrkit property get disk.img:/home ro",
  operands: [1, 2],
  async run(context, options, [word, name = "ro"]) {
    demandName(name);
    await using images = new Images(context, options);
    const inode = await locate(await images.place(word!), true);
    demandSubvolume(inode, "get property");
    await context.out.line(`ro=${inode.subvolume.info.readOnly}`);
    return undefined;
  },
});

export const propertySet = command({
  brief: "Make a subvolume of an image read-only or writable",
  usage: ["[-f] [options] IMAGE:SUBVOL ro true|false"],
  details: `
As btrfs property set does of what is mounted. A received subvolume that becomes writable is no longer what was received:
increments don't find it any more, which takes -f.`,
  options: {
    force: { short: "f", brief: "make a received subvolume writable" },
    ...WRITABLE_IMAGE_OPTIONS,
  },
  example: "btrkit property set disk.img:/home.monday ro false",
  operands: [3, 3],
  async run(context, options, [word, name, value]) {
    demandName(name!);
    const wanted = booleanOf(value!);
    const { image, path } = imagePlace(word!);
    await withWritable(context, image, options, async (writable) => {
      const inode = await locate(writable.place(path), true);
      demandSubvolume(inode, "set property");
      const { id, receivedUuid, readOnly } = inode.subvolume.info;
      if (readOnly && !wanted && receivedUuid !== undefined && !options.force) {
        throw new BtrfsError("exists", "Cannot set property: the subvolume was received; -f makes it writable", {
          where: inode.where,
        });
      }
      if (wanted !== readOnly) await writable.volume.transaction((tx) => edit.setReadOnly(placeOf(tx, id), id, wanted));
    });
    return undefined;
  },
});

function demandName(name: string): void {
  if (name !== "ro") throw new UsageError(`there is no property '${name}' of images, expected ro`);
}

function booleanOf(text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new UsageError(`property 'ro' can't be '${text}', expected true or false`);
}
