import { BtrfsError } from "../errors.ts";
import { FIRST_FREE_OBJECTID } from "../format/objectid.ts";
import { Filesystem } from "../fs/filesystem.ts";
import { joinPath } from "../fs/path.ts";
import type { Volume } from "../volume/volume.ts";

/** Finds one path of an inode, from the top of the filesystem. Only for a few: it climbs directory by directory. */
export class FileNames {
  readonly #filesystem: Filesystem;
  #subvolumes: Promise<ReadonlyMap<bigint, Uint8Array>> | undefined;

  constructor(volume: Volume) {
    this.#filesystem = new Filesystem(volume, () => {});
  }

  /** Without a slash before it; `undefined` where the way can't be found, as damage may have it. */
  async find(root: bigint, inode: bigint): Promise<Uint8Array | undefined> {
    try {
      const above = (await this.#paths()).get(root);
      if (above === undefined) return undefined;
      const subvolume = await this.#filesystem.subvolume(root);
      const passed = new Set<bigint>();
      let path: Uint8Array | undefined;
      for (let at = inode; at !== FIRST_FREE_OBJECTID; ) {
        const [name] = await (await subvolume.inode(at)).names();
        if (name === undefined || passed.has(at)) return undefined;
        passed.add(at);
        path = path === undefined ? name.name.slice() : joinPath(name.name, path);
        at = name.parent;
      }
      return path === undefined || above.byteLength === 0 ? path : joinPath(above, path);
    } catch (error) {
      if (error instanceof BtrfsError) return undefined;
      throw error;
    }
  }

  #paths(): Promise<ReadonlyMap<bigint, Uint8Array>> {
    this.#subvolumes ??= this.#filesystem.subvolumes().then((all) => {
      return new Map(all.flatMap(({ id, path }) => (path === undefined ? [] : [[id, path] as const])));
    });
    return this.#subvolumes;
  }
}
