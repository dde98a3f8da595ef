import { BtrfsError } from "../errors.ts";
import type { NodeBlock } from "../format/node.ts";
import type { NodeExpectation } from "../tree/source.ts";
import type { Mirror } from "../volume/mirrors.ts";
import type { ScrubJob } from "./job.ts";

/** Verifies every copy of a tree block. Returns whether all are good now. */
export async function scrubBlock(job: ScrubJob, logical: number, expect: NodeExpectation): Promise<boolean> {
  const { volume, tally } = job;
  const copies = job.presentCopies(logical, volume.nodeSize);
  const bad: { copy: Mirror; error: BtrfsError }[] = [];
  let good: NodeBlock | undefined;
  for (const copy of copies) {
    const read = await readCopy(job, copy, expect);
    tally.metadataBytes += volume.nodeSize;
    if (read instanceof BtrfsError) bad.push({ copy, error: read });
    else good ??= read;
  }
  if (bad.length === 0 && good !== undefined) return true;
  let error =
    bad[0]?.error ?? new BtrfsError("missing", "Cannot read block: its devices are missing", { where: { logical } });
  if (good === undefined) {
    for (const mirror of volume.copiesOf(logical, volume.nodeSize)) {
      if (mirror.kind !== "rebuilt" || good !== undefined) continue;
      const read = await readCopy(job, mirror, expect);
      if (!(read instanceof BtrfsError)) good = read;
      else if (bad.length === 0) error = read;
    }
  }
  const bytes = good?.bytes;
  for (const { copy, error } of bad) {
    await job.copyIsBad("metadata", copy, error, bytes === undefined ? undefined : () => volume.writeCopy(copy, bytes));
  }
  if (bad.length === 0 && good === undefined) await job.isLost("metadata", logical, volume.nodeSize, error);
  return good !== undefined && (bad.length === 0 || job.repair);
}

async function readCopy(job: ScrubJob, copy: Mirror, expect: NodeExpectation): Promise<NodeBlock | BtrfsError> {
  try {
    return await job.volume.readNodeCopy(copy, expect);
  } catch (error) {
    if (error instanceof BtrfsError) return error;
    throw error;
  }
}
