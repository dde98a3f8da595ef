import { closeSync, existsSync, ftruncateSync, linkSync, openSync, renameSync, rmSync, unlinkSync } from "node:fs";
import { BtrfsError } from "../errors.ts";
import { type MakeOptions, makeFilesystem } from "../mkfs/mkfs.ts";
import { hostError } from "../node/host-error.ts";
import { openWritableVolume, type WritableVolume } from "../transaction/writable.ts";
import type { Context } from "./command.ts";
import { UsageError } from "./options.ts";
import { openStore } from "./places.ts";
import { WritableImage } from "./writable-images.ts";

/** So long an image begins: its metadata is then as large as a kernel needs to go on with it. */
const FIRST_BYTES = 130 << 20;
/** Room that a kernel finds for a chunk of its own in an image that was cut to fit. */
export const SPARE_BYTES = 16 << 20;

export interface NewImageOptions extends MakeOptions {
  /** Bytes of the image; else it grows as it is needed, and is cut to fit when it is complete. */
  readonly size?: number | undefined;
}

/**
 * Makes an image with a new filesystem. It is made beside its name and gets it when `use` has succeeded; nothing is left
 * when that fails.
 *
 * @param use Gives an exit status: the image stays when it is 0.
 * @throws {BtrfsError} `exists`.
 */
export async function makeImage(
  context: Context,
  path: string,
  { size, ...options }: NewImageOptions,
  use: (image: WritableImage) => Promise<number>,
): Promise<number> {
  if (existsSync(path)) throw taken(path);
  const beside = `${path}.partial-${process.pid}`;
  createFile(beside, size ?? FIRST_BYTES);
  try {
    const volume = await makeVolume(context, beside, options, size === undefined);
    let status: number;
    try {
      status = await use(new WritableImage(path, volume, () => {}));
      if (status === 0 && size === undefined) await volume.shrinkToFit(SPARE_BYTES);
    } finally {
      await volume.close();
    }
    if (status === 0) moveTo(beside, path);
    return status;
  } finally {
    rmSync(beside, { force: true });
  }
}

async function makeVolume(
  context: Context,
  path: string,
  options: MakeOptions,
  enlarge: boolean,
): Promise<WritableVolume> {
  const store = await openStore(context, path);
  try {
    await makeFilesystem(store, options).catch((error: unknown) => {
      throw error instanceof RangeError || error instanceof TypeError ? new UsageError(error.message) : error;
    });
    return await openWritableVolume([store], { enlarge });
  } catch (error) {
    await store.close?.();
    throw error;
  }
}

function createFile(path: string, size: number): void {
  try {
    const fd = openSync(path, "wx", 0o600);
    try {
      ftruncateSync(fd, size);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw hostError(error, "create", path);
  }
}

/** Renames, and never over what is there by now. */
function moveTo(beside: string, path: string): void {
  try {
    linkSync(beside, path);
    unlinkSync(beside);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw taken(path);
    // A filesystem without hard links.
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"].includes(code ?? ""))
      throw hostError(error, "create", path);
    if (existsSync(path)) throw taken(path);
    renameSync(beside, path);
  }
}

function taken(path: string): BtrfsError {
  return new BtrfsError("exists", "Cannot create image: the name is taken", { where: { file: path } });
}
