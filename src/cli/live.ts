import { closeSync, constants, existsSync, openSync, realpathSync, statfsSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { locateFilesystem } from "../device/partition.ts";
import { BtrfsError, KernelError } from "../errors.ts";
import { BTRFS_SUPER_MAGIC, isBtrfs } from "../linux/attributes.ts";
import { loadNative, type Native } from "../linux/native.ts";
import { getSubvolumeFlags } from "../linux/subvolume.ts";
import { openFileDevice } from "../node/file-device.ts";
import { hostError } from "../node/host-error.ts";
import { type ImageOptions, parsePlace } from "./places.ts";

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

/**
 * Whether a word names what lies on this machine, and not in an image: a directory, or a regular file on btrfs that is
 * no image itself. What is not there at all is left to whoever opens images to complain of.
 */
export async function isLivePath(word: string, options: ImageOptions): Promise<boolean> {
  const place = parsePlace(word);
  if (place.kind === "path") return existsSync(word);
  const { device, partition, offset } = options;
  if (place.image !== word || device.length > 0 || partition !== undefined || offset !== undefined) return false;
  if (!statSync(word).isFile() || !isOnBtrfs(word)) return false;
  const source = await openFileDevice(word);
  try {
    await locateFilesystem(source);
    return false;
  } catch (error) {
    if (error instanceof BtrfsError && (error.code === "missing" || error.code === "unsupported")) return true;
    throw error;
  } finally {
    await source.close?.();
  }
}

function isOnBtrfs(path: string): boolean {
  try {
    return statfsSync(path, { bigint: true }).type === BTRFS_SUPER_MAGIC;
  } catch {
    return false;
  }
}

export function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw hostError(error, "find", path);
  }
}
