import { equalBytes, toBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import { deleteSubvolume } from "../edit/subvolume.ts";
import { BtrfsError } from "../errors.ts";
import type { Inode } from "../fs/inode.ts";
import type { WritableVolume } from "../transaction/writable.ts";
import { MARK } from "./image-target.ts";

/** A subvolume of an image that was being received when that ended too early. */
export interface UnfinishedInImage {
  readonly id: bigint;
  readonly name: Uint8Array;
  /** What the sender knows it by, as text. */
  readonly uuid: string;
}

/** The subvolumes directly in a directory that bear the mark of an unfinished receive. */
export async function unfinishedInImage(directory: Inode): Promise<UnfinishedInImage[]> {
  const found: UnfinishedInImage[] = [];
  for await (const entries of directory.readDirectory()) {
    for (const entry of entries) {
      if (entry.subvolume === undefined) continue;
      const root = await directory.enter(entry);
      const mark = (await root.xattrs()).find(({ name }) => equalBytes(name, toBytes(MARK)));
      if (mark === undefined || root.subvolume.info.readOnly) continue;
      found.push({ id: entry.subvolume, name: entry.name, uuid: displayName(mark.value) });
    }
  }
  return found;
}

/**
 * Deletes subvolumes that `unfinishedInImage` found, with all that is in them, and frees what they had.
 *
 * @throws {BtrfsError} as `deleteSubvolume`, with the name.
 */
export async function deleteUnfinishedInImage(
  volume: WritableVolume,
  unfinished: readonly UnfinishedInImage[],
): Promise<void> {
  const now = BigInt(Date.now()) * 1_000_000n;
  for (const { id, name } of unfinished) {
    try {
      await volume.transaction((tx) => deleteSubvolume({ tx, now }, id, { now: true }));
    } catch (error) {
      if (!(error instanceof BtrfsError)) throw error;
      throw new BtrfsError(error.code, error.sentence, {
        where: { ...error.where, path: displayName(name) },
        cause: error,
      });
    }
  }
}
