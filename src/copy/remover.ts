import * as edit from "../edit/index.ts";
import { isSubvolumeHere, removePlaceholder } from "../edit/placeholder.ts";
import { FT_DIR } from "../format/dir-item.ts";
import { INODE_ITEM } from "../format/key-type.ts";
import { joinPath } from "../fs/path.ts";
import type { Batches } from "./batches.ts";
import type { CopyTarget } from "./copier.ts";
import { ImageSource } from "./image-source.ts";

export interface RemoveOptions {
  /** Removes directories with all that is in them. Subvolumes stay. */
  readonly recursive: boolean;
  /** What stays, and why. */
  readonly onProblem: (path: Uint8Array, why: string) => void;
  readonly onRemoved?: ((path: Uint8Array) => void) | undefined;
}

/** Removes names of an image. What was removed at a commit is gone, whatever comes after it. */
export class Remover {
  readonly #batches: Batches;
  readonly #options: RemoveOptions;

  constructor(batches: Batches, options: RemoveOptions) {
    this.#batches = batches;
    this.#options = options;
  }

  /**
   * @param path For people.
   * @returns Whether it is gone.
   * @throws {BtrfsError} `missing`; what ends it: a read-only subvolume, damage, no space.
   */
  async remove({ tree, directory, name }: CopyTarget, path: Uint8Array): Promise<boolean> {
    const { recursive } = this.#options;
    const at = await this.#batches.place(tree);
    const { type, location } = await edit.getName(at, directory, name);
    if (type === FT_DIR && !recursive) return this.#stays(path, "it is a directory, and -r is not given");
    if (location.type !== INODE_ITEM) {
      if (await isSubvolumeHere(at, directory, name, location.objectid))
        return this.#stays(path, "it is a subvolume: btrkit subvolume delete removes it");
      await removePlaceholder(at, directory, name);
    } else if (type === FT_DIR) {
      if (!(await this.#empty(tree, location.objectid, path))) return false;
      await edit.removeDirectory(await this.#batches.place(tree), directory, name);
    } else {
      await edit.unlink(at, directory, name);
    }
    this.#options.onRemoved?.(path);
    await this.#batches.breathe(0);
    return true;
  }

  async #empty(tree: bigint, directory: bigint, path: Uint8Array): Promise<boolean> {
    const names = await (await ImageSource.open(this.#batches, tree, directory, path)).names();
    let isEmpty = true;
    for (const name of names) {
      const isGone = await this.remove({ tree, directory, name }, joinPath(path, name));
      isEmpty &&= isGone;
    }
    return isEmpty;
  }

  #stays(path: Uint8Array, why: string): boolean {
    this.#options.onProblem(path, why);
    return false;
  }
}
