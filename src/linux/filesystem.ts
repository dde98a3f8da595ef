import { viewOf } from "../bytes/bytes.ts";
import { newStruct } from "../bytes/struct.ts";
import { KernelError } from "../errors.ts";
import { untilNul } from "./call.ts";
import { bytesOf, ioctl, ioctlAsync } from "./ioctl.ts";
import type { Native } from "./native.ts";
import { DEV_INFO, FS_INFO, GET_DEV_STATS, GET_FEATURES, SPACE_INFO, START_SYNC, SYNC, WAIT_SYNC } from "./requests.ts";
import { DevInfoArgs, FeatureFlags, FsInfoArgs, GetDevStats, SpaceArgs, SpaceInfo } from "./structs.ts";

const FS_INFO_CSUM_INFO = 1n;
const FS_INFO_GENERATION = 2n;
const FS_INFO_METADATA_UUID = 4n;

/** What the mounted filesystem is. Sizes in bytes. */
export interface FilesystemInfo {
  readonly fsid: Uint8Array;
  readonly metadataUuid: Uint8Array;
  readonly deviceCount: bigint;
  /** Highest device id; ids may have gaps. */
  readonly maxDeviceId: bigint;
  readonly nodeSize: number;
  readonly sectorSize: number;
  readonly cloneAlignment: number;
  readonly checksumType: number;
  readonly checksumSize: number;
  readonly generation: bigint;
}

/** Anybody may ask. Checksum and generation are told since Linux 5.10; zero before. */
export function getFilesystemInfo(native: Native, fd: number): FilesystemInfo {
  const args = newStruct(FsInfoArgs);
  args.flags = FS_INFO_CSUM_INFO | FS_INFO_GENERATION | FS_INFO_METADATA_UUID;
  ioctl(native, fd, FS_INFO, bytesOf(args), { act: "read filesystem information" });
  return {
    fsid: args.fsid,
    metadataUuid: (args.flags & FS_INFO_METADATA_UUID) === 0n ? args.fsid : args.metadataUuid,
    deviceCount: args.numDevices,
    maxDeviceId: args.maxId,
    nodeSize: args.nodesize,
    sectorSize: args.sectorsize,
    cloneAlignment: args.cloneAlignment,
    checksumType: args.csumType,
    checksumSize: args.csumSize,
    generation: args.generation,
  };
}

/** A device of the mounted filesystem; `path` is empty when it is missing. */
export interface DeviceInfo {
  readonly id: bigint;
  readonly uuid: Uint8Array;
  readonly bytesUsed: bigint;
  readonly totalBytes: bigint;
  readonly path: Uint8Array;
}

/** @throws {KernelError} ENODEV for an id that no device has. */
export function getDeviceInfo(native: Native, fd: number, id: bigint): DeviceInfo {
  const args = newStruct(DevInfoArgs);
  args.devid = id;
  ioctl(native, fd, DEV_INFO, bytesOf(args), { act: `read information of device ${id}` });
  const { devid, uuid, bytesUsed, totalBytes, path } = args;
  return { id: devid, uuid, bytesUsed, totalBytes, path: untilNul(path) };
}

const DEVICE_STATS = 5;

/** What has gone wrong on a device since somebody last reset the counts. */
export interface DeviceErrors {
  readonly write: bigint;
  readonly read: bigint;
  readonly flush: bigint;
  readonly corruption: bigint;
  readonly generation: bigint;
}

/** @throws {KernelError} ENODEV for an id that no device has. */
export function getDeviceErrors(native: Native, fd: number, id: bigint): DeviceErrors {
  const args = newStruct(GetDevStats);
  args.devid = id;
  args.nrItems = BigInt(DEVICE_STATS);
  ioctl(native, fd, GET_DEV_STATS, bytesOf(args), { act: `read errors of device ${id}` });
  const values = viewOf(args.values);
  const count = (index: number) => values.getBigUint64(index * 8, true);
  return { write: count(0), read: count(1), flush: count(2), corruption: count(3), generation: count(4) };
}

/** Failed writes and flushes of all devices of the filesystem, since somebody last reset the counts. */
export function countWriteErrors(native: Native, fd: number): bigint {
  const { maxDeviceId } = getFilesystemInfo(native, fd);
  let count = 0n;
  for (let id = 1n; id <= maxDeviceId; id++) {
    try {
      const { write, flush } = getDeviceErrors(native, fd, id);
      count += write + flush;
    } catch (error) {
      // Ids have gaps.
      if (!(error instanceof KernelError && error.errno === "ENODEV")) throw error;
    }
  }
  return count;
}

/** Space of one kind of block group, in bytes; `flags` are `BTRFS_BLOCK_GROUP_*`. */
export interface SpaceUse {
  readonly flags: bigint;
  readonly totalBytes: bigint;
  readonly usedBytes: bigint;
}

export function getSpaceInfo(native: Native, fd: number): SpaceUse[] {
  const context = { act: "read space information" };
  const count = newStruct(SpaceArgs);
  ioctl(native, fd, SPACE_INFO, bytesOf(count), context);
  const slots = Number(count.totalSpaces);
  const buffer = new Uint8Array(SpaceArgs.byteLength + slots * SpaceInfo.byteLength);
  const view = new DataView(buffer.buffer);
  const args = new SpaceArgs(view);
  args.spaceSlots = BigInt(slots);
  if (slots > 0) ioctl(native, fd, SPACE_INFO, buffer, context);
  return Array.from({ length: Number(args.totalSpaces) }, (_, slot) => {
    const info = new SpaceInfo(view, SpaceArgs.byteLength + slot * SpaceInfo.byteLength);
    return { flags: info.flags, totalBytes: info.totalBytes, usedBytes: info.usedBytes };
  });
}

/** Feature bits of the superblock. */
export function getFeatures(native: Native, fd: number): { compat: bigint; compatRo: bigint; incompat: bigint } {
  const args = newStruct(FeatureFlags);
  ioctl(native, fd, GET_FEATURES, bytesOf(args), { act: "read features" });
  return { compat: args.compatFlags, compatRo: args.compatRoFlags, incompat: args.incompatFlags };
}

/** Writes everything and commits; resolves when it is durable. */
export async function syncFilesystem(native: Native, fd: number): Promise<void> {
  await ioctlAsync(native, fd, SYNC, 0, { act: "sync filesystem" });
}

/**
 * Begins to commit what has been done so far, and does not wait for its end. While much is being written, Linux 6.18
 * now and then takes as long as its commit interval (30 s) to begin.
 *
 * @returns The generation to wait for.
 */
export function startSync(native: Native, fd: number): bigint {
  const generation = new BigUint64Array(1);
  ioctl(native, fd, START_SYNC, new Uint8Array(generation.buffer), { act: "start sync" });
  return generation[0]!;
}

/** Resolves when the generation is durable; 0 means the current one. */
export async function waitSync(native: Native, fd: number, generation: bigint): Promise<void> {
  const args = new Uint8Array(BigUint64Array.of(generation).buffer);
  await ioctlAsync(native, fd, WAIT_SYNC, args, { act: `wait for generation ${generation}` });
}
