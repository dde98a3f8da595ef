import { existsSync } from "node:fs";
import { BtrfsError, UnsupportedError } from "../errors.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import type { Filesystem } from "../fs/filesystem.ts";
import { inlineLess } from "../node/engine.ts";
import type { ImageOrigin } from "../node/same-image.ts";
import type { SendThreads } from "../node/send-threads.ts";
import { ImageSource } from "../send/image-source.ts";
import { send } from "../send/send.ts";
import type { Context } from "./command.ts";
import { EventTeller } from "./events.ts";
import { Images, locate } from "./images.ts";
import { parseBytes, parseWhole } from "./numbers.ts";
import { type ImageOptions, imagePlace, parsePlace } from "./places.ts";
import type { Sender } from "./sender.ts";

/** Sends subvolumes of one image, named as `IMAGE:PATH`. */
export function imageSender(context: Context, options: ImageOptions, threadCount: number): Sender {
  inlineLess();
  const images = new Images(context, options);
  const teller = new EventTeller(context.say);
  let image = "";
  let filesystem: Filesystem | undefined;
  let threads: SendThreads | undefined;
  return {
    isLive: false,
    async find(word, what, mayBeWritable = false) {
      if (parsePlace(word).kind !== "image") {
        if (!existsSync(word.split(":", 1)[0]!)) throw new BtrfsError("missing", `unable to resolve ${word}`);
        throw new UnsupportedError(`Cannot send ${word}: it is no part of an image, as IMAGE:PATH is`);
      }
      image = imagePlace(word).image;
      const place = await images.place(word);
      filesystem ??= place.filesystem;
      if (filesystem !== place.filesystem) {
        throw new BtrfsError("kind", `Cannot send: ${word} is of another image than the one before`);
      }
      const inode = await locate(place, true);
      if (inode.number !== FIRST_FREE_OBJECTID) {
        throw new BtrfsError("kind", `failed to get flags for subvolume ${word}: Invalid argument`);
      }
      const { info } = inode.subvolume;
      if (!info.readOnly && !mayBeWritable) throw new BtrfsError("permission", `${what} ${word} is not read-only`);
      return info.id;
    },
    all: () => filesystem!.subvolumes(),
    async source() {
      const { volume } = filesystem!;
      if (threadCount > 1) {
        const origin = originOf(image, options, volume.generation);
        const { SendThreads } = await import("../node/send-threads.ts");
        threads = new SendThreads(threadCount - 1, origin, volume.nodeSize, (event) => teller.tell(event));
      }
      return new ImageSource(volume, threads);
    },
    send,
    async [Symbol.asyncDispose]() {
      await threads?.close();
      await images[Symbol.asyncDispose]();
    },
  };
}

/** What threads need to open the image once more. */
function originOf(image: string, options: ImageOptions, generation: number): ImageOrigin {
  const { partition, offset, device, degraded, rootGeneration } = options;
  return {
    devices: [image, ...device],
    locate: {
      partition: partition === undefined ? undefined : parseWhole("--partition", partition),
      offset: offset === undefined ? undefined : parseBytes("--offset", offset),
    },
    degraded,
    rootGeneration: rootGeneration === undefined ? undefined : parseWhole("--root-generation", rootGeneration),
    generation,
  };
}
