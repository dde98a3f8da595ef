import { constants } from "node:fs";
import { equalBytes } from "../../bytes/bytes.ts";
import { BtrfsError } from "../../errors.ts";
import { FIRST_FREE_OBJECTID } from "../../format/objectid.ts";
import type { ListedSubvolume } from "../../fs/subvolume-list.ts";
import { statx } from "../../linux/attributes.ts";
import { getSubvolumeId } from "../../linux/lookup.ts";
import { listLiveSubvolumes } from "../../linux/subvolume-list.ts";
import { type Context, command } from "../command.ts";
import { FORMAT_OPTION } from "../common-options.ts";
import { Images } from "../images.ts";
import { LivePlace } from "../live.ts";
import { IMAGE_OPTIONS, type ImageOptions, OLD_ROOT_OPTIONS, parsePlace } from "../places.ts";
import { showLines, subvolumeJson } from "../subvolume-text.ts";

export const subvolumeShow = command({
  brief: "Describe a subvolume or snapshot",
  usage: ["[options] IMAGE[:PATH]", "[options] PATH"],
  details: `
Of an image without PATH, the top level. What is printed is what btrfs subvolume show prints. For a PATH on a mounted
btrfs the kernel is asked, which takes root.`,
  options: {
    ...FORMAT_OPTION,
    ...OLD_ROOT_OPTIONS,
    ...IMAGE_OPTIONS,
  },
  example: "btrkit subvolume show disk.img:/home/@snap",
  operands: [1, 1],
  async run(context, options, [word]) {
    const { out } = context;
    const { all, id } = await find(context, word!, options);
    const subvolume = all.find((one) => one.id === id);
    if (subvolume === undefined) {
      throw new BtrfsError("missing", `Cannot show subvolume: ${id} is not among those of the filesystem`, {
        where: { file: word! },
      });
    }
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

interface Found {
  readonly all: readonly ListedSubvolume[];
  readonly id: bigint;
}

async function find(context: Context, word: string, options: ImageOptions): Promise<Found> {
  const place = parsePlace(word);
  if (place.kind === "path") {
    using live = new LivePlace(place.path);
    const { ino, mode } = statx(live.native, live.fd, undefined);
    if (ino !== FIRST_FREE_OBJECTID) {
      const what = (mode & constants.S_IFMT) === constants.S_IFDIR ? "a directory" : "no directory";
      throw new BtrfsError("kind", `Cannot show subvolume: it is ${what}, expected the top of a subvolume`, {
        where: { file: word },
      });
    }
    return { all: listLiveSubvolumes(live.native, live.fd), id: getSubvolumeId(live.native, live.fd) };
  }
  await using images = new Images(context, options);
  const { filesystem, path } = await images.place(word);
  const inode = await filesystem.lookup(path, { followSymlinks: true });
  if (inode.number !== FIRST_FREE_OBJECTID) {
    throw new BtrfsError("kind", `Cannot show subvolume: it is a ${inode.kind} inside of one`, { where: inode.where });
  }
  return { all: await filesystem.subvolumes(), id: inode.subvolume.id };
}
