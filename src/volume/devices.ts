import { equalBytes, hex } from "../bytes/bytes.ts";
import { formatUuid } from "../bytes/uuid.ts";
import type { ByteSource } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import { SUPER_FLAG_SEEDING } from "../format/superblock.ts";
import type { OnEvent } from "./events.ts";
import { metadataUuid, readSuperblock, type SuperblockView } from "./superblock.ts";

/** A device of the filesystem, there or not. */
export interface VolumeDevice {
  readonly devid: number;
  readonly uuid: Uint8Array;
  /** `undefined` when the device is missing. */
  readonly source: ByteSource | undefined;
  /** Bytes that the filesystem believes the device to have; `undefined` until its item has been read. */
  readonly totalBytes: number | undefined;
  /** Its superblock is older than the newest: it missed the last commits. */
  readonly stale: boolean;
  /** It belongs to a seed filesystem, on which this one grew. */
  readonly seed: boolean;
  /** What tree blocks on it carry: the metadata UUID of its own filesystem. */
  readonly fsid: Uint8Array;
}

export interface GatheredDevices {
  /** The newest superblock. */
  readonly superblock: SuperblockView;
  readonly devices: Map<number, VolumeDevice>;
}

interface Found {
  readonly source: ByteSource;
  readonly superblock: SuperblockView;
}

/**
 * Reads the superblocks of `sources` and sorts the devices by their ids.
 *
 * @param degraded Leaves out a source without a good superblock, with a warning, as if it were missing.
 * @throws {BtrfsError} for no good superblock, devices of different filesystems, and two copies of one device.
 */
export async function gatherDevices(
  sources: readonly ByteSource[],
  degraded: boolean,
  onEvent: OnEvent,
): Promise<GatheredDevices> {
  if (sources.length === 0) throw new TypeError("Cannot open filesystem: no device was given");
  const all: Found[] = [];
  let failure: BtrfsError | undefined;
  for (const source of sources) {
    try {
      all.push(await readFound(source, onEvent));
    } catch (error) {
      if (!(error instanceof BtrfsError) || !degraded || error.code === "unsupported") throw error;
      failure ??= error;
      onEvent({ kind: "warning", topic: "missing-device", message: error.sentence, where: error.where });
    }
  }
  if (all.length === 0) throw failure!;
  const own = ownDevices(all);
  const superblock = own.reduce((a, b) => (b.superblock.generation > a.superblock.generation ? b : a)).superblock;
  return { superblock, devices: indexDevices(all, superblock, onEvent) };
}

async function readFound(source: ByteSource, onEvent: OnEvent): Promise<Found> {
  const { copy, superblock } = await readSuperblock(source);
  if (copy !== 0) {
    const message = `The primary superblock is damaged: copy ${copy} of generation ${superblock.generation} is used`;
    onEvent({ kind: "warning", topic: "superblock", message, where: { file: source.name } });
  }
  return { source, superblock };
}

/** The devices of one filesystem among `all`; the others can only be seeds. */
function ownDevices(all: readonly Found[]): Found[] {
  const grown = all.filter(({ superblock }) => (superblock.flags & SUPER_FLAG_SEEDING) === 0n);
  const own = grown.length > 0 ? grown : [...all];
  const first = own[0]!;
  for (const { source, superblock } of own) {
    if (equalBytes(superblock.fsid, first.superblock.fsid)) continue;
    throw new BtrfsError(
      "kind",
      `Cannot open filesystem: ${source.name} belongs to ${formatUuid(superblock.fsid)}, ${first.source.name} to ${formatUuid(first.superblock.fsid)}`,
    );
  }
  return own;
}

function indexDevices(all: readonly Found[], newest: SuperblockView, onEvent: OnEvent): Map<number, VolumeDevice> {
  const devices = new Map<number, VolumeDevice>();
  const byUuid = new Map<string, ByteSource>();
  for (const { source, superblock } of all) {
    const { devItem } = superblock;
    const devid = Number(devItem.devid);
    const where = { file: source.name, device: devid };
    const twin = devices.get(devid)?.source ?? byUuid.get(hex(devItem.uuid));
    if (twin !== undefined) {
      throw new BtrfsError("kind", `Cannot open filesystem: ${twin.name} is the same device, one must be left out`, {
        where,
      });
    }
    if (devid === 0) {
      // The target of an unfinished replacement; its source is still complete.
      const message = "The device is the target of an unfinished replacement and is not used";
      onEvent({ kind: "warning", topic: "stale-device", message, where });
      continue;
    }
    const seed = !equalBytes(superblock.fsid, newest.fsid);
    const fsid = metadataUuid(superblock).slice();
    const stale = !seed && superblock.generation < newest.generation;
    if (stale) {
      const message = `The device is of generation ${superblock.generation}, the newest of ${newest.generation}: it missed writes`;
      onEvent({ kind: "warning", topic: "stale-device", message, where });
    }
    byUuid.set(hex(devItem.uuid), source);
    devices.set(devid, { devid, uuid: devItem.uuid.slice(), source, totalBytes: undefined, stale, seed, fsid });
  }
  return devices;
}
