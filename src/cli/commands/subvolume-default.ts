import { constants } from "node:fs";
import * as edit from "../../edit/index.ts";
import { BtrfsError } from "../../errors.ts";
import { FS_TREE_OBJECTID } from "../../format/objectid.ts";
import type { ListedSubvolume } from "../../fs/subvolume-list.ts";
import { getDefaultSubvolume } from "../../linux/default-subvolume.ts";
import { getSubvolumeId } from "../../linux/lookup.ts";
import { setDefaultSubvolume } from "../../linux/subvolume.ts";
import { listLiveSubvolumes } from "../../linux/subvolume-list.ts";
import { type Context, command } from "../command.ts";
import { demandSubvolume, imageTime } from "../image-edit.ts";
import { locate, openImageFilesystem } from "../images.ts";
import { expectSubvolume, LivePlace } from "../live.ts";
import { UsageError } from "../options.ts";
import {
  IMAGE_OPTIONS,
  type ImageOptions,
  parsePlace,
  WRITABLE_IMAGE_OPTIONS,
  type WritableImageOptions,
} from "../places.ts";
import { listLine } from "../subvolume-text.ts";
import { withWritable } from "../writable-images.ts";

const PLAIN = { parent: false, created: false, uuid: false, parentUuid: false, receivedUuid: false, time: false };

export const subvolumeGetDefault = command({
  brief: "Say which subvolume is mounted when none is named",
  usage: ["PATH", "[options] IMAGE"],
  details: "Prints what btrfs subvolume get-default prints. For a mounted btrfs the kernel is asked, which takes root.",
  options: { ...IMAGE_OPTIONS },
  example: "btrkit subvolume get-default disk.img",
  operands: [1, 1],
  async run(context, options, [word]) {
    const place = parsePlace(word!);
    const { id, all } =
      place.kind === "path" ? liveDefault(place.path) : await imageDefault(context, place.image, options);
    const found = all.find((one) => one.id === id);
    if (id === FS_TREE_OBJECTID || found === undefined) {
      await context.out.line(id === FS_TREE_OBJECTID ? "ID 5 (FS_TREE)" : `ID ${id}`);
    } else {
      await context.out.line(listLine(found, PLAIN));
    }
    return undefined;
  },
});

interface Default {
  readonly id: bigint;
  readonly all: readonly ListedSubvolume[];
}

function liveDefault(path: string): Default {
  using place = new LivePlace(path, constants.O_RDONLY | constants.O_DIRECTORY);
  return { id: getDefaultSubvolume(place.native, place.fd), all: listLiveSubvolumes(place.native, place.fd) };
}

async function imageDefault(context: Context, image: string, options: ImageOptions): Promise<Default> {
  await using filesystem = await openImageFilesystem(context, image, options);
  return { id: (await filesystem.defaultSubvolume()).id, all: await filesystem.subvolumes() };
}

export const subvolumeSetDefault = command({
  brief: "Say which subvolume is to be mounted when none is named",
  usage: ["SUBVOL", "ID PATH", "[options] IMAGE:SUBVOL", "[options] ID IMAGE"],
  details: "Of a mounted btrfs it takes root. The subvolume with the id 5 is the top level.",
  options: { ...WRITABLE_IMAGE_OPTIONS },
  example: "btrkit subvolume set-default disk.img:/home",
  operands: [1, 2],
  async run(context, options, words) {
    const [id, word] = words.length === 1 ? [undefined, words[0]!] : [idOf(words[0]!), words[1]!];
    const place = parsePlace(word);
    if (place.kind === "path") setLive(place.path, id);
    else await setIn(context, place.image, place.path, id, options);
    return undefined;
  },
});

function idOf(text: string): bigint {
  if (/^\d{1,19}$/.test(text)) return BigInt(text);
  throw new UsageError(`'${text}' is no id of a subvolume`);
}

function setLive(path: string, given: bigint | undefined): void {
  using place = new LivePlace(path, constants.O_RDONLY | constants.O_DIRECTORY);
  if (given === undefined) expectSubvolume(place, "set default subvolume");
  const id = given ?? getSubvolumeId(place.native, place.fd);
  setDefaultSubvolume(place.native, place.fd, id);
}

async function setIn(
  context: Context,
  image: string,
  path: Uint8Array,
  given: bigint | undefined,
  options: WritableImageOptions,
): Promise<void> {
  await withWritable(context, image, options, async (writable) => {
    let id = given;
    if (id === undefined) {
      const inode = await locate(writable.place(path), true);
      demandSubvolume(inode, "set default subvolume");
      id = inode.subvolume.id;
    } else if (path.byteLength > 1) {
      throw new BtrfsError("path", "Cannot set default subvolume: an id and a path are given, one is enough");
    }
    await writable.volume.transaction((tx) => edit.setDefaultSubvolume({ tx, now: imageTime() }, id));
  });
}
