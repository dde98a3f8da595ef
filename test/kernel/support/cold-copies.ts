import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { displayName } from "../../../src/bytes/display.ts";
import type { Filesystem } from "../../../src/fs/filesystem.ts";
import type { Inode } from "../../../src/fs/inode.ts";
import * as linux from "../../../src/linux/index.ts";
import type { TestFilesystem } from "./filesystem.ts";

/** Where they are: of no interest themselves. */
export const FOLDER = "cold-copies";

/**
 * A kernel's answers depend on what it has in memory of a file. A snapshot of the file has the same items and nothing in
 * memory: with many of them, many questions are asked of one fresh mount.
 */
export class ColdCopies {
  readonly #mounted: TestFilesystem;
  readonly #count: number;
  /** Paths of subvolumes, by id. */
  readonly #subvolumes: ReadonlyMap<bigint, Uint8Array>;
  #asked = -1;

  private constructor(mounted: TestFilesystem, count: number, subvolumes: ReadonlyMap<bigint, Uint8Array>) {
    this.#mounted = mounted;
    this.#count = count;
    this.#subvolumes = subvolumes;
  }

  /** Makes them of every subvolume; leaves it unmounted. @param filesystem The same, as it was before. */
  static async make(mounted: TestFilesystem, filesystem: Filesystem, count: number): Promise<ColdCopies> {
    const native = linux.loadNative();
    if (mounted.isMounted) await mounted.unmount();
    await mounted.mount("");
    const folder = join(mounted.directory, FOLDER);
    mkdirSync(folder);
    const target = openSync(folder, "r");
    const subvolumes = new Map<bigint, Uint8Array>();
    try {
      for (const { id, path } of await filesystem.subvolumes()) {
        if (path === undefined) throw new Error(`subvolume ${id} has no path`);
        subvolumes.set(id, path);
        const source = openSync(Buffer.concat([Buffer.from(`${mounted.directory}/`), path]), "r");
        try {
          for (let copy = 1; copy < count; copy++) {
            linux.createSnapshot(native, source, target, `${id}-${copy}`, { readOnly: true });
          }
        } finally {
          closeSync(source);
        }
      }
    } finally {
      closeSync(target);
    }
    await mounted.unmount();
    return new ColdCopies(mounted, count, subvolumes);
  }

  /** From here on files are cold again. Waits for a fresh mount, where all copies have been asked. */
  async next(): Promise<void> {
    this.#asked++;
    if (this.#asked % this.#count !== 0) return;
    if (this.#mounted.isMounted) await this.#mounted.unmount();
    await this.#mounted.mount("ro");
  }

  /** A file that nothing has been asked of since `next`. */
  pathOf({ subvolume, path }: Inode): Buffer {
    const copy = this.#asked % this.#count;
    const top = Buffer.from(`${this.#mounted.directory}/`);
    if (copy === 0) return Buffer.concat([top, path!]);
    const above = this.#subvolumes.get(subvolume.id);
    if (above === undefined) throw new Error(`${displayName(path!)} is in a subvolume that was not there`);
    const inside = path!.subarray(above.byteLength === 0 ? 0 : above.byteLength + 1);
    return Buffer.concat([top, Buffer.from(`${FOLDER}/${subvolume.id}-${copy}/`), inside]);
  }
}
