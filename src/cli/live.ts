import { closeSync, constants, openSync, realpathSync } from "node:fs";
import { basename, dirname } from "node:path";
import { BtrfsError, KernelError } from "../errors.ts";
import { isBtrfs } from "../linux/attributes.ts";
import { loadNative, type Native } from "../linux/native.ts";
import { getSubvolumeFlags } from "../linux/subvolume.ts";
import { hostError } from "../node/host-error.ts";

/** A file or directory of a mounted btrfs, open. `using` closes it. */
export class LivePlace implements Disposable {
  readonly native: Native;
  readonly fd: number;
  readonly path: string;

  /**
   * @throws {BtrfsError} `kind` where it is not on btrfs; what the host refused.
   * @throws {UnsupportedError} where the kernel can't be called.
   */
  constructor(path: string, flags: number = constants.O_RDONLY | constants.O_NONBLOCK) {
    this.native = loadNative();
    this.path = path;
    try {
      this.fd = openSync(path, flags);
    } catch (error) {
      throw hostError(error, "open", path);
    }
    if (isBtrfs(this.native, this.fd)) return;
    closeSync(this.fd);
    throw new BtrfsError("kind", "Cannot use path: it is not on a mounted btrfs", {
      where: { file: path },
    });
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** @throws {BtrfsError} `kind` unless the place is the top directory of a subvolume. */
export function expectSubvolume({ native, fd, path }: LivePlace, act: string): void {
  try {
    getSubvolumeFlags(native, fd);
  } catch (cause) {
    if (!(cause instanceof KernelError && cause.errno === "EINVAL")) throw cause;
    throw new BtrfsError("kind", `Cannot ${act}: it is no subvolume`, { where: { file: path }, cause });
  }
}

/** The directory that a path is in or will be in, open, and the last component of the path. */
export function openParent(path: string): { readonly place: LivePlace; readonly name: string } {
  const name = basename(path);
  if (name === "" || name === "." || name === "..") {
    // Of what is there already the kernel knows the name.
    const real = realPath(path);
    if (real === "/") throw new BtrfsError("path", "Cannot use path: it has no name", { where: { file: path } });
    return openParent(real);
  }
  return { place: new LivePlace(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY), name };
}

export function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw hostError(error, "find", path);
  }
}
