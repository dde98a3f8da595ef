import type { Filesystem } from "../fs/filesystem.ts";
import { applyAttributes } from "./attributes.ts";
import type { FinishJob, RangeJob, RestoreResult } from "./batch.ts";
import type { ContentCopier } from "./content.ts";
import type { InodeFinder } from "./inode-finder.ts";
import { LossRecorder } from "./loss.ts";
import { countInode, tellProblem } from "./results.ts";
import { isFatal, type RestoreTarget, TargetError } from "./target.ts";

/** Writes parts of large files, which have temporary names, and finishes them. */
export class LargeFiles {
  readonly #filesystem: Filesystem;
  readonly #target: RestoreTarget;
  readonly #inodes: InodeFinder;
  readonly #copier: ContentCopier;
  readonly #overwrite: boolean;

  constructor(
    filesystem: Filesystem,
    target: RestoreTarget,
    inodes: InodeFinder,
    copier: ContentCopier,
    overwrite: boolean,
  ) {
    this.#filesystem = filesystem;
    this.#target = target;
    this.#inodes = inodes;
    this.#copier = copier;
    this.#overwrite = overwrite;
  }

  async writeRange({ file, start, end }: RangeJob, result: RestoreResult): Promise<void> {
    const { tree, inode: number, source, temporary } = file;
    const inode = await (await this.#filesystem.subvolume(tree)).inode(number, source);
    const directory = this.#target.openDirectory(file.target);
    try {
      const handle = this.#target.openFile(directory, temporary);
      try {
        const losses = new LossRecorder(result, source);
        await this.#copier.copyRange(inode, start, end, handle, losses.add);
        losses.end();
      } finally {
        this.#target.close(handle);
      }
    } finally {
      this.#target.close(directory);
    }
  }

  /** Gives it its attributes and its name. */
  async finish({ file }: FinishJob, result: RestoreResult): Promise<void> {
    const found = await this.#inodes.readLong(file.tree, file.inode, file.source, result);
    const directory = this.#target.openDirectory(file.target);
    try {
      if (found === undefined) throw new TargetError("missing", "Cannot finish file: its inode can't be read again");
      const handle = this.#target.openFile(directory, file.temporary);
      try {
        applyAttributes(this.#target, handle, undefined, found.inode, found.xattrs, result.counts);
      } finally {
        this.#target.close(handle);
      }
      this.#target.rename(directory, file.temporary, file.name, this.#overwrite);
      countInode(result, found.inode);
    } catch (error) {
      this.#target.remove(directory, file.temporary);
      if (!(error instanceof TargetError) || isFatal(error)) throw error;
      tellProblem(result, error.code === "exists" ? "exists" : "failed", file.source, error);
      result.failed.push(0);
    } finally {
      this.#target.close(directory);
    }
  }
}
