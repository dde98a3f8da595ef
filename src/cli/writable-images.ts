import { statSync } from "node:fs";
import { isStore } from "../device/slice.ts";
import type { ByteStore } from "../device/source.ts";
import { BtrfsError, UnsupportedError } from "../errors.ts";
import { Filesystem } from "../fs/filesystem.ts";
import { openWritableVolume, type WritableOptions, type WritableVolume } from "../transaction/writable.ts";
import type { VolumeEvent } from "../volume/events.ts";
import type { Context } from "./command.ts";
import { EventTeller } from "./events.ts";
import type { OpenPlace } from "./images.ts";
import { openDevices, type WritableImageOptions } from "./places.ts";

/** An image that a command changes. */
export class WritableImage {
  readonly image: string;
  readonly volume: WritableVolume;
  readonly #onEvent: (event: VolumeEvent) => void;

  constructor(image: string, volume: WritableVolume, onEvent: (event: VolumeEvent) => void) {
    this.image = image;
    this.volume = volume;
    this.#onEvent = onEvent;
  }

  /** Its files as of the last commit: another one after each. */
  get filesystem(): Filesystem {
    return new Filesystem(this.volume.volume, this.#onEvent);
  }

  /** A path in it as of the last commit, for `locate`. */
  place(path: Uint8Array): OpenPlace {
    return { filesystem: this.filesystem, path, shown: `${this.image}:${Buffer.from(path)}` };
  }
}

/**
 * Opens the filesystem on `image` and what `--device` adds to change it, for this process alone, and closes it when `use`
 * is done. What was committed is durable then, and nothing else was changed.
 *
 * @throws {BtrfsError} `busy` for what is mounted, or open for writing in another btrkit; as `openWritableVolume`.
 */
export async function withWritable<T>(
  context: Context,
  image: string,
  options: WritableImageOptions & Pick<WritableOptions, "enlarge">,
  use: (image: WritableImage) => Promise<T>,
): Promise<T> {
  const stores = (await openDevices(context, image, options, { writable: true })).filter(isStore);
  const teller = new EventTeller(context.say);
  const onEvent = (event: VolumeEvent): void => teller.tell(event);
  let volume: WritableVolume;
  try {
    if (options.enlarge === true) demandWholeFile(image, stores);
    volume = await openWritableVolume(stores, { onEvent, enlarge: options.enlarge });
  } catch (error) {
    for (const store of stores) await store.close?.();
    if (!(error instanceof BtrfsError)) throw error;
    const { code, sentence, where } = error;
    throw new BtrfsError(code, sentence, { where: { file: image, ...where }, cause: error });
  }
  try {
    return await use(new WritableImage(image, volume, onEvent));
  } finally {
    await volume.close();
  }
}

/** What can grow: the filesystem is all of a regular file. */
function demandWholeFile(image: string, [first, another]: readonly ByteStore[]): void {
  const reason =
    another !== undefined
      ? "it has several devices"
      : first?.name !== image
        ? "it is a part of the image"
        : statSync(image).isFile()
          ? undefined
          : "it is on a device";
  if (reason === undefined) return;
  throw new UnsupportedError(`Cannot let the filesystem grow: ${reason}, expected a regular file of its own`, {
    file: image,
  });
}
