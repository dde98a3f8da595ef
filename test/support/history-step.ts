import { toBytes } from "../../src/bytes/bytes.ts";
import * as edit from "../../src/edit/index.ts";
import { FIRST_FREE_OBJECTID } from "../../src/format/objectid.ts";
import type { Random } from "../kernel/support/random.ts";
import type { ImageModel, ModelDirectory, ModelFile, ModelSubvolume } from "./image-model.ts";

/** What one step of a history works with. */
export interface Step {
  readonly at: edit.Place;
  readonly model: ImageModel;
  /** The subvolume of `at`, writable. */
  readonly subvolume: ModelSubvolume;
  readonly random: Random;
  /** Longest write in bytes. */
  readonly maxBytes: number;
  /** A name that nothing has had. */
  newName(): string;
  /** Says in words what is done. */
  note(what: string): void;
}

export type StepFunction = (step: Step) => Promise<void>;

/** A file to change, by one of its names. */
export interface PickedFile {
  readonly inode: bigint;
  readonly file: ModelFile;
  readonly name: string;
  /** Where the name is. */
  readonly directory: ModelDirectory;
  readonly parent: bigint;
}

export interface PickedDirectory {
  readonly inode: bigint;
  readonly directory: ModelDirectory;
  readonly path: readonly string[];
}

export async function inodeOf(at: edit.Place, path: readonly string[]): Promise<bigint> {
  let inode = FIRST_FREE_OBJECTID;
  for (const name of path) inode = (await edit.findName(at, inode, toBytes(name)))!.location.objectid;
  return inode;
}

/** Any file of the subvolume; `undefined` where it has none. */
export async function pickFile({ at, model, subvolume, random, note }: Step): Promise<PickedFile | undefined> {
  const files = model.files(subvolume.id);
  if (files.length === 0) return undefined;
  const { path, parent: directory, name, file } = random.pick(files);
  note(`${path.join("/")}, ${file.content.byteLength} bytes`);
  const parent = await inodeOf(at, path.slice(0, -1));
  const inode = (await edit.findName(at, parent, toBytes(name)))!.location.objectid;
  return { inode, file, name, directory, parent };
}

export async function pickDirectory({ at, model, subvolume, random }: Step): Promise<PickedDirectory> {
  const { path, directory } = random.pick(model.directories(subvolume.id));
  return { inode: await inodeOf(at, path), directory, path };
}
