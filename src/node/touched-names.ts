/**
 * What of a tree is no longer as it was when changing it began, so that the rest can still be read as it was then.
 * Names are those of then: one that was touched may lead elsewhere now, with all that was below it.
 */
export class TouchedNames {
  readonly #names = new Set<string>();
  readonly #inodes = new Set<bigint>();

  addName(path: string): void {
    this.#names.add(path);
  }

  /** The content of an inode is about to change. */
  addInode(inode: bigint): void {
    this.#inodes.add(inode);
  }

  /** Whether what had the path then may be another now, or be changed. @param inode That has it now. */
  has(path: string, inode: bigint): boolean {
    if (this.#inodes.has(inode)) return true;
    for (let end = path.indexOf("/"); end >= 0; end = path.indexOf("/", end + 1)) {
      if (this.#names.has(path.slice(0, end))) return true;
    }
    return this.#names.has(path);
  }
}
