import { viewOf } from "../bytes/bytes.ts";
import { isStore } from "../device/slice.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import { CHECKSUM_FIELD_BYTES, SUPERBLOCK_BYTES, Superblock } from "../format/superblock.ts";
import type { VolumeDevice } from "../volume/devices.ts";
import { readSuperblockCopies, type SuperblockCopy } from "../volume/superblock.ts";
import type { ScrubJob } from "./job.ts";

/**
 * Verifies every copy of the superblock on every device that is there. A copy is rewritten from a good one of the same
 * device. A device that missed commits keeps its own: they say that what lies on it may be old.
 */
export async function scrubSuperblocks(job: ScrubJob): Promise<void> {
  for (const device of job.volume.devices.values()) {
    job.signal?.throwIfAborted();
    if (device.source !== undefined) await scrubDevice(job, device);
  }
}

async function scrubDevice(job: ScrubJob, device: VolumeDevice): Promise<void> {
  const source = device.source!;
  const copies = (await readSuperblockCopies(source)).filter(({ physical }) => isInside(device, physical));
  job.tally.superblocks += copies.length;
  const newest = job.volume.superblock.generation;
  const sound = copies.filter(({ problem }) => problem === undefined);
  // What the filesystem was opened by: the primary one, and where that is damaged the newest.
  const primary = sound.find(({ copy }) => copy === 0);
  const used =
    primary ??
    sound.reduce<SuperblockCopy | undefined>((a, b) => (a === undefined || isNewer(b, a) ? b : a), undefined);
  for (const found of copies) {
    const error = problemOf(found, used, device, newest);
    if (error === undefined) continue;
    const { physical } = found;
    const isRewritable = used !== undefined && used !== found && !device.stale && !device.seed && !isNewer(found, used);
    const write = isRewritable ? () => rewrite(job, device, used, physical) : undefined;
    const place = { devid: device.devid, physical, lengthBytes: SUPERBLOCK_BYTES };
    await job.copyIsBad("superblock", place, error, write);
  }
}

/** A device that is longer than its filesystem has no copy behind it. */
function isInside({ totalBytes }: VolumeDevice, physical: number): boolean {
  return totalBytes === undefined || physical + SUPERBLOCK_BYTES < totalBytes;
}

function isNewer(a: SuperblockCopy, b: SuperblockCopy): boolean {
  return a.problem === undefined && a.superblock.generation > b.superblock.generation;
}

function problemOf(
  { copy, physical, superblock, problem }: SuperblockCopy,
  used: SuperblockCopy | undefined,
  device: VolumeDevice,
  newest: bigint,
): BtrfsError | undefined {
  if (problem !== undefined) return problem;
  const expected = device.seed ? (used?.superblock.generation ?? newest) : newest;
  if (superblock.generation === expected) return undefined;
  const where = { file: device.source!.name, device: device.devid, physical };
  return new CorruptError(
    `Cannot trust superblock copy ${copy}: its generation is ${superblock.generation}, expected ${expected}`,
    where,
  );
}

async function rewrite(job: ScrubJob, device: VolumeDevice, good: SuperblockCopy, physical: number): Promise<void> {
  const source = device.source!;
  if (!isStore(source)) {
    throw new BtrfsError("permission", "Cannot write: the device is open for reading only", {
      where: { file: source.name },
    });
  }
  const data = new Uint8Array(SUPERBLOCK_BYTES);
  await source.read(good.physical, data);
  new Superblock(viewOf(data)).bytenr = BigInt(physical);
  data.fill(0, 0, CHECKSUM_FIELD_BYTES);
  job.volume.checksum.compute(data.subarray(CHECKSUM_FIELD_BYTES), data);
  await source.write(physical, data);
}
