import { randomBytes } from "node:crypto";
import { open, rename, stat, unlink } from "node:fs/promises";
import { hostError } from "./host-error.ts";

/**
 * Writes a file that appears under its name when it is complete and on disk: beside it first, then renamed over what was
 * there. What is no regular file, as a pipe or `/dev/null`, is written straight.
 *
 * @throws {BtrfsError} what the host refused.
 */
export async function writeWholeFile(path: string, data: Uint8Array): Promise<void> {
  try {
    if (await isOther(path)) return await writeTo(path, "w", data);
    const beside = `${path}.${randomBytes(6).toString("hex")}.part`;
    try {
      await writeTo(beside, "wx", data);
      await rename(beside, path);
    } catch (error) {
      await unlink(beside).catch(() => {});
      throw error;
    }
  } catch (error) {
    throw hostError(error, "write", path);
  }
}

async function isOther(path: string): Promise<boolean> {
  try {
    return !(await stat(path)).isFile();
  } catch {
    return false;
  }
}

async function writeTo(path: string, flags: "w" | "wx", data: Uint8Array): Promise<void> {
  const file = await open(path, flags);
  try {
    await file.writeFile(data);
    if (flags === "wx") await file.sync();
  } finally {
    await file.close();
  }
}
