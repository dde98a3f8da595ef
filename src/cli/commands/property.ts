import { toBytes } from "../../bytes/bytes.ts";
import { displayName } from "../../bytes/display.ts";
import * as edit from "../../edit/index.ts";
import { BtrfsError } from "../../errors.ts";
import { FIRST_FREE_OBJECTID } from "../../format/objectid.ts";
import type { Inode } from "../../fs/inode.ts";
import { command } from "../command.ts";
import { demandSubvolume, placeOf } from "../image-edit.ts";
import { Images, locate } from "../images.ts";
import { UsageError } from "../options.ts";
import { IMAGE_OPTIONS, imagePlace, WRITABLE_IMAGE_OPTIONS } from "../places.ts";
import { withWritable } from "../writable-images.ts";

const COMPRESSION = "btrfs.compression";

export const propertyGet = command({
  brief: "Say what properties a place of an image has",
  usage: ["[options] IMAGE:PATH [ro|compression]"],
  details: `
As btrfs property get does of what is mounted: ro of subvolumes, compression of files and directories that have it.`,
  options: { ...IMAGE_OPTIONS },
  example: "btrkit property get disk.img:/home ro",
  operands: [1, 2],
  async run(context, options, [word, name]) {
    demandName(name);
    await using images = new Images(context, options);
    const inode = await locate(await images.place(word!), true);
    if (name === "ro") demandSubvolume(inode, "get property");
    if (name === "compression") demandCompressible(inode, "get property");
    if (name !== "compression" && isSubvolume(inode)) await context.out.line(`ro=${inode.subvolume.info.readOnly}`);
    if (name === "ro" || !isCompressible(inode)) return undefined;
    for (const xattr of await inode.xattrs()) {
      const value = displayName(xattr.value);
      if (displayName(xattr.name) === COMPRESSION) await context.out.line(`compression=${value}`);
    }
    return undefined;
  },
});

export const propertyList = command({
  brief: "List the properties that a place of an image can have",
  usage: ["[options] IMAGE:PATH"],
  details: "As btrfs property list does of what is mounted.",
  options: { ...IMAGE_OPTIONS },
  example: "btrkit property list disk.img:/home",
  operands: [1, 1],
  async run(context, options, [word]) {
    await using images = new Images(context, options);
    const inode = await locate(await images.place(word!), true);
    const line = (name: string, meaning: string) => context.out.line(`${name.padEnd(20)}${meaning}`);
    if (isSubvolume(inode)) await line("ro", "read-only status of a subvolume");
    if (isCompressible(inode)) await line("compression", "compression algorithm for the file or directory");
    return undefined;
  },
});

export const propertySet = command({
  brief: "Set a property of a place of an image",
  usage: ["[-f] [options] IMAGE:SUBVOL ro true|false", "[options] IMAGE:PATH compression zlib|lzo|zstd|none|''"],
  details: `
As btrfs property set does of what is mounted. A received subvolume that becomes writable is no longer what was received:
increments don't find it any more, which takes -f. What compression says holds for what is written from then on, and
for what is made in a directory; empty, it is removed.`,
  options: {
    force: { short: "f", brief: "make a received subvolume writable" },
    ...WRITABLE_IMAGE_OPTIONS,
  },
  example: "btrkit property set disk.img:/home.monday ro false",
  operands: [3, 3],
  async run(context, options, [word, name, value]) {
    demandName(name);
    const wanted = name === "ro" ? booleanOf(value!) : undefined;
    const { image, path } = imagePlace(word!);
    await withWritable(context, image, options, async (writable) => {
      const inode = await locate(writable.place(path), true);
      const { id, receivedUuid, readOnly } = inode.subvolume.info;
      if (wanted === undefined) {
        demandCompressible(inode, "set property");
        const data = toBytes(value!);
        return writable.volume.transaction((tx) => edit.setXattr(placeOf(tx, id), inode.number, COMPRESSION, data));
      }
      demandSubvolume(inode, "set property");
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

function isSubvolume(inode: Inode): boolean {
  return inode.number === FIRST_FREE_OBJECTID;
}

function isCompressible({ kind }: Inode): boolean {
  return kind === "file" || kind === "directory";
}

function demandCompressible(inode: Inode, act: string): void {
  if (isCompressible(inode)) return;
  throw new BtrfsError("kind", `Cannot ${act}: it is a ${inode.kind}, neither file nor directory`, {
    where: inode.where,
  });
}

function demandName(name: string | undefined): void {
  if (name === undefined || name === "ro" || name === "compression") return;
  throw new UsageError(`there is no property '${name}' of images, expected ro or compression`);
}

function booleanOf(text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new UsageError(`property 'ro' can't be '${text}', expected true or false`);
}
