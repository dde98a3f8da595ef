import { loadChecksum } from "#checksum";
import { equalBytes } from "../bytes/bytes.ts";
import { formatUuid } from "../bytes/uuid.ts";
import type { ByteSource } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import { flagNames } from "../format/flags.ts";
import { CHUNK_TREE_OBJECTID } from "../format/objectid.ts";
import {
  SUPER_FLAG_CHANGING_BG_TREE,
  SUPER_FLAG_ERROR,
  SUPER_FLAG_METADUMP,
  SUPER_FLAG_METADUMP_V2,
  SUPER_FLAG_NAMES,
} from "../format/superblock.ts";
import { NodeCache } from "../tree/cache.ts";
import type { NodeLimits } from "../tree/limits.ts";
import { NodeTree } from "../tree/tree.ts";
import { type Chunk, ChunkMap, checkStripes } from "./chunk-map.ts";
import { decodeSystemChunks, type ListedDevice, readChunkTree } from "./chunk-tree.ts";
import { gatherDevices, type VolumeDevice } from "./devices.ts";
import type { OnEvent } from "./events.ts";
import { Mirrors } from "./mirrors.ts";
import { NodeReader } from "./node-reader.ts";
import { chooseRoot, type OldRoot } from "./roots.ts";
import { metadataUuid, type SuperblockView } from "./superblock.ts";
import { Volume } from "./volume.ts";

export interface VolumeOptions extends OldRoot {
  /** Goes on without devices that are missing, as far as the rest has everything or lets it be rebuilt. */
  readonly degraded?: boolean | undefined;
  /** Bytes of tree blocks to keep in memory. */
  readonly cacheBytes?: number | undefined;
  /** Hears of warnings, bad copies and what became of them. */
  readonly onEvent?: OnEvent | undefined;
}

const DEFAULT_CACHE_BYTES = 64 * 1024 * 1024;

/**
 * Opens the filesystem that lies on `sources`: all of its devices, in any order. Reads superblocks, the chunk tree and
 * the root of the root tree. The volume owns the sources from then on: closing it closes them.
 *
 * @throws {BtrfsError} `missing` for a device that is not among them, unless `degraded`; `unsupported` for a feature
 * that can't be read, by name; `corrupt`, `checksum`; `kind` for devices that don't belong together.
 */
export async function openVolume(sources: readonly ByteSource[], options: VolumeOptions = {}): Promise<Volume> {
  const onEvent = options.onEvent ?? (() => {});
  const degraded = options.degraded === true;
  const { superblock, devices } = await gatherDevices(sources, degraded, onEvent);
  warnOfFlags(superblock, onEvent);
  const fsid = metadataUuid(superblock).slice();
  const checksum = await loadChecksum(superblock.csumType);
  const limits: NodeLimits = {
    nodeSize: superblock.nodeSize,
    sectorSize: superblock.sectorSize,
    checksumSize: checksum.byteLength,
    fsid,
    generation: Number(superblock.generation),
  };
  const systemChunks = decodeSystemChunks(superblock, sources[0]!.name);
  const mirrors = new Mirrors(new ChunkMap(systemChunks), devices);
  const nodes = new NodeReader(
    mirrors,
    checksum,
    limits,
    new NodeCache(options.cacheBytes ?? DEFAULT_CACHE_BYTES),
    onEvent,
  );
  const chunkTree = await NodeTree.open(nodes, {
    id: CHUNK_TREE_OBJECTID,
    logical: Number(superblock.chunkRoot),
    level: superblock.chunkRootLevel,
    generation: Number(superblock.chunkRootGeneration),
  }).catch((error: unknown) => {
    throw explainMissing(error, superblock, devices);
  });
  const content = await readChunkTree(chunkTree, superblock);
  matchDevices(devices, content.devices, fsid, degraded, onEvent);
  mirrors.chunks = mergeChunks(content.chunks, systemChunks, onEvent);
  checkStripes(mirrors.chunks.chunks, (devid) => devices.get(devid)?.totalBytes);

  const root = chooseRoot(superblock, options);
  if (root.generation !== limits.generation) {
    const message = `The filesystem is shown as of generation ${root.generation}, the last is ${limits.generation}`;
    onEvent({ kind: "warning", topic: "old-root", message, where: {} });
  }
  const rootTree = await NodeTree.open(nodes, root);
  return new Volume({ superblock, devices, checksum, limits, mirrors, nodes, chunkTree, rootTree, onEvent });
}

function warnOfFlags(superblock: SuperblockView, onEvent: OnEvent): void {
  if (superblock.logRoot !== 0n) {
    const message = "A log tree waits to be replayed: what was synced after the last commit is not shown";
    onEvent({ kind: "warning", topic: "log-tree", message, where: {} });
  }
  const worth = SUPER_FLAG_ERROR | SUPER_FLAG_METADUMP | SUPER_FLAG_METADUMP_V2 | SUPER_FLAG_CHANGING_BG_TREE;
  const flags = superblock.flags & worth;
  if (flags === 0n) return;
  const message = `The filesystem is marked: ${flagNames(flags, SUPER_FLAG_NAMES).join(", ")}`;
  onEvent({ kind: "warning", topic: "flags", message, where: {} });
}

/** Without its chunk tree a filesystem can't say which devices it has; their number tells whether some are missing. */
function explainMissing(
  error: unknown,
  superblock: SuperblockView,
  devices: ReadonlyMap<number, VolumeDevice>,
): unknown {
  const wanted = superblock.numDevices;
  if (!(error instanceof BtrfsError) || error.code !== "missing" || BigInt(devices.size) >= wanted) return error;
  const sentence = `Cannot open filesystem: it has ${wanted} devices, ${devices.size} were given, and these do not hold the chunk tree`;
  return new BtrfsError("missing", sentence, { cause: error });
}

/** Completes `devices` with what the chunk tree says of each. */
function matchDevices(
  devices: Map<number, VolumeDevice>,
  listed: readonly ListedDevice[],
  own: Uint8Array,
  degraded: boolean,
  onEvent: OnEvent,
): void {
  const missing: string[] = [];
  for (const { devid, uuid, totalBytes, fsid } of listed) {
    const device = devices.get(devid);
    const source = device !== undefined && equalBytes(device.uuid, uuid) ? device.source : undefined;
    if (source === undefined) missing.push(`${devid} (${formatUuid(uuid)})`);
    else if (source.size < totalBytes) {
      const message = `The device has ${source.size} bytes, the filesystem says ${totalBytes}: its end is lost`;
      onEvent({ kind: "warning", topic: "short-device", message, where: { file: source.name, device: devid } });
    }
    const seed = !equalBytes(fsid, own);
    devices.set(devid, { devid, uuid, source, totalBytes, stale: device?.stale === true, seed, fsid });
  }
  if (missing.length === 0) return;
  const message = `device ${missing.join(", ")} is missing`;
  if (!degraded)
    throw new BtrfsError("missing", `Cannot open filesystem: its ${message}; all have to be given, unless degraded`);
  onEvent({ kind: "warning", topic: "missing-device", message: `Its ${message}`, where: {} });
}

/** The chunk tree is right where it and the superblock's array differ; what only the array has still leads to the tree. */
function mergeChunks(chunks: readonly Chunk[], system: readonly Chunk[], onEvent: OnEvent): ChunkMap {
  const map = new ChunkMap(chunks);
  const extra = system.filter((chunk) => map.find(chunk.start) === undefined);
  const differ = system.some((chunk) => !sameChunk(map.find(chunk.start), chunk));
  if (differ) {
    const message = "The superblock's array of system chunks is not what the chunk tree says";
    onEvent({ kind: "warning", topic: "system-chunks", message, where: {} });
  }
  return extra.length === 0 ? map : new ChunkMap([...chunks, ...extra]);
}

function sameChunk(a: Chunk | undefined, b: Chunk): boolean {
  if (a === undefined || a.start !== b.start || a.length !== b.length || a.profile !== b.profile) return false;
  return a.stripes.every(({ devid, physical }, index) => {
    const other = b.stripes[index];
    return other !== undefined && other.devid === devid && other.physical === physical;
  });
}
