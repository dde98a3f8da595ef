import { displayName } from "../bytes/display.ts";
import { type Filesystem, openFilesystem } from "../fs/filesystem.ts";
import type { Inode } from "../fs/inode.ts";
import type { Context } from "./command.ts";
import { EventTeller } from "./events.ts";
import { parseWhole } from "./numbers.ts";
import { type ImageOptions, imagePlace, openDevices } from "./places.ts";

/** One operand `IMAGE:PATH`, opened. */
export interface OpenPlace {
  readonly filesystem: Filesystem;
  /** As it was given, without the image. */
  readonly path: Uint8Array;
  /** For headings and errors. */
  readonly shown: string;
}

/** Filesystems that operands name, each opened once. Close it after use: `await using` does. */
export class Images {
  readonly #context: Context;
  readonly #options: ImageOptions;
  readonly #open = new Map<string, Filesystem>();

  constructor(context: Context, options: ImageOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** @throws {BtrfsError} when the image is none, or can't be opened. */
  async place(word: string): Promise<OpenPlace> {
    const { image, path } = imagePlace(word);
    let filesystem = this.#open.get(image);
    if (filesystem === undefined) {
      filesystem = await openImageFilesystem(this.#context, image, this.#options);
      this.#open.set(image, filesystem);
    }
    return { filesystem, path, shown: word };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const filesystem of this.#open.values()) await filesystem.close();
  }
}

/** As `openImage`, with files and directories. */
export async function openImageFilesystem(context: Context, image: string, options: ImageOptions): Promise<Filesystem> {
  const { degraded } = options;
  const rootGeneration =
    options.rootGeneration === undefined ? undefined : parseWhole("--root-generation", options.rootGeneration);
  const sources = await openDevices(context, image, options);
  const teller = new EventTeller(context.say);
  try {
    return await openFilesystem(sources, { degraded, rootGeneration, onEvent: (event) => teller.tell(event) });
  } catch (error) {
    for (const source of sources) await source.close?.();
    throw error;
  }
}

/**
 * What a path leads to. Symlinks on the way are followed, absolute ones from the top of the filesystem; one at the end
 * only with `follow`.
 */
export async function locate({ filesystem, path }: OpenPlace, follow: boolean): Promise<Inode> {
  if (follow) return filesystem.lookup(path, { followSymlinks: true });
  let end = path.byteLength;
  while (end > 0 && path[end - 1] === SLASH) end--;
  const start = path.lastIndexOf(SLASH, end - 1) + 1;
  const name = path.subarray(start, end);
  const isNamed = end === path.byteLength && name.byteLength > 0 && !/^\.\.?$/.test(displayName(name));
  if (!isNamed) return filesystem.lookup(path, { followSymlinks: true });
  const directory = await filesystem.lookup(path.subarray(0, start), { followSymlinks: true });
  return filesystem.lookup(name, { from: directory });
}

const SLASH = 0x2f;
