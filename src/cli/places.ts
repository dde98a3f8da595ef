import { type Stats, statSync } from "node:fs";
import { locateFilesystem } from "../device/partition.ts";
import type { ByteSource, ByteStore } from "../device/source.ts";
import { BtrfsError, UnsupportedError } from "../errors.ts";
import { openFileDevice } from "../node/file-device.ts";
import { findUse } from "../node/mounted.ts";
import type { VolumeEvent } from "../volume/events.ts";
import { openVolume } from "../volume/open.ts";
import type { Volume } from "../volume/volume.ts";
import type { Context } from "./command.ts";
import type { IMAGE_OPTIONS, WRITABLE_IMAGE_OPTIONS } from "./common-options.ts";
import { EventTeller } from "./events.ts";
import { parseBytes, parseWhole } from "./numbers.ts";
import type { Options, Parsed } from "./options.ts";

/** What a word of the command line names. */
export type Place =
  /** A path on this machine. */
  | { readonly kind: "path"; readonly path: string }
  /** A path inside of an image or device, from its top-level subvolume; `/` where only the image was named. */
  | { readonly kind: "image"; readonly image: string; readonly path: Uint8Array };

export type WritableImageOptions = Parsed<typeof WRITABLE_IMAGE_OPTIONS>;

export { IMAGE_OPTIONS, WRITABLE_IMAGE_OPTIONS } from "./common-options.ts";

/** Options of commands that only read: of the files and trees of an older commit, too. */
export const OLD_ROOT_OPTIONS = {
  rootGeneration: {
    long: "root-generation",
    value: "N",
    brief: "as of generation N, if the superblock still knows it",
  },
} as const satisfies Options;

export type ImageOptions = Parsed<typeof IMAGE_OPTIONS> & Partial<Parsed<typeof OLD_ROOT_OPTIONS>>;

/**
 * Reads a place: `IMAGE:PATH` is split at the first `:` whose left side is a regular file or block device, and what is
 * such a file as a whole is an image. What begins with `./` is never split.
 */
export function parsePlace(word: string): Place {
  if (!word.startsWith("./")) {
    for (let colon = word.indexOf(":"); colon >= 0; colon = word.indexOf(":", colon + 1)) {
      const image = word.slice(0, colon);
      if (!isImage(image)) continue;
      return { kind: "image", image, path: new TextEncoder().encode(word.slice(colon + 1) || "/") };
    }
  }
  return isImage(word) ? { kind: "image", image: word, path: ROOT } : { kind: "path", path: word };
}

const ROOT = new TextEncoder().encode("/");

/**
 * As `parsePlace`, for commands that open images only.
 *
 * @throws {BtrfsError} for what is no image, saying what it is.
 */
export function imagePlace(word: string): Place & { readonly kind: "image" } {
  const place = parsePlace(word);
  if (place.kind === "image") return place;
  const where = { file: word };
  const stat = statOf(word);
  if (stat === undefined) throw new BtrfsError("missing", "Cannot open image: there is no such file", { where });
  const what = stat.isDirectory() ? "a directory" : "no regular file";
  throw new BtrfsError("kind", `Cannot open image: it is ${what}, expected an image or a block device`, { where });
}

/**
 * As `parsePlace`, for commands that work on live filesystems only.
 *
 * @param act As `send`, for the error.
 * @throws {UnsupportedError} for a place in an image.
 */
export function livePath(word: string, act: string): string {
  const place = parsePlace(word);
  if (place.kind === "path") return place.path;
  throw new UnsupportedError(`Cannot ${act}: it lies in an image, expected a path on a mounted filesystem`, {
    file: word,
  });
}

export interface OpenImageOptions {
  /** Opens the devices for writing: refused while one of them is in use. */
  readonly writable?: boolean;
  /** Leaves bad copies and lost bytes to the caller, and says warnings only. */
  readonly warningsOnly?: boolean;
  /** Of tree blocks; the volume's own limit unless said. */
  readonly cacheBytes?: number;
}

/**
 * Devices that `image` and `--device` name, each at its filesystem. Reading one that is in use is said; for writing they
 * are locked.
 */
export async function openDevices(
  context: Context,
  image: string,
  options: WritableImageOptions,
  { writable = false }: OpenImageOptions = {},
): Promise<ByteSource[]> {
  const at = {
    partition: options.partition === undefined ? undefined : parseWhole("--partition", options.partition),
    offset: options.offset === undefined ? undefined : parseBytes("--offset", options.offset),
  };
  const sources: ByteSource[] = [];
  try {
    for (const [index, path] of [image, ...options.device].entries()) {
      const use = writable ? undefined : findUse(path);
      if (use !== undefined) {
        context.say(`btrkit: warning: ${path} is in use: ${use}; what is read may be a mix of old and new`);
      }
      const whole = await (writable ? openStore(context, path) : openFileDevice(path));
      sources.push(whole);
      sources[index] = await locateFilesystem(whole, index === 0 ? at : {});
    }
  } catch (error) {
    for (const source of sources) await source.close?.();
    throw error;
  }
  return sources;
}

/**
 * Opens an image file or a device for writing, for this process alone.
 *
 * @throws {BtrfsError} `busy` while it is mounted, or another btrkit has it open for writing.
 */
export async function openStore({ say }: Context, path: string): Promise<ByteStore> {
  const { lockFile } = await import("../linux/lock.ts");
  const lock = (fd: number): void => {
    const locked = lockFile(fd);
    if (locked === undefined) {
      say(`btrkit: warning: ${path} can't be locked without koffi and flock(1): let nothing else write to it`);
    }
    if (locked !== false) return;
    throw new BtrfsError("busy", "Cannot open for writing: another btrkit has it open for writing", {
      where: { file: path },
    });
  };
  return await openFileDevice(path, { writable: true, lock });
}

/** Opens the filesystem on `image` and what `--device` adds. Close it after use: `await using` does. */
export async function openImage(
  context: Context,
  image: string,
  options: ImageOptions,
  open: OpenImageOptions = {},
): Promise<Volume> {
  const { degraded, rootGeneration } = options;
  const generation = rootGeneration === undefined ? undefined : parseWhole("--root-generation", rootGeneration);
  const sources = await openDevices(context, image, options, open);
  const teller = new EventTeller(context.say);
  try {
    const onEvent = (event: VolumeEvent) => {
      if (event.kind === "warning" || !open.warningsOnly) teller.tell(event);
    };
    return await openVolume(sources, { degraded, rootGeneration: generation, cacheBytes: open.cacheBytes, onEvent });
  } catch (error) {
    for (const source of sources) await source.close?.();
    throw error;
  }
}

function isImage(path: string): boolean {
  const stat = statOf(path);
  return stat !== undefined && (stat.isFile() || stat.isBlockDevice());
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
