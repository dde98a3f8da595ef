import { existsSync, statfsSync, statSync } from "node:fs";
import { locateFilesystem } from "../device/partition.ts";
import { BtrfsError } from "../errors.ts";
import { BTRFS_SUPER_MAGIC } from "../linux/super-magic.ts";
import { openFileDevice } from "../node/file-device.ts";
import { type ImageOptions, parsePlace } from "./places.ts";

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
