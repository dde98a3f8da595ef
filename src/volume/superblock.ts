import { loadChecksum } from "#checksum";
import { equalBytes, viewOf } from "../bytes/bytes.ts";
import { formatUuid } from "../bytes/uuid.ts";
import { CHECKSUM_TYPES } from "../checksum/checksum.ts";
import type { ByteSource } from "../device/source.ts";
import { BtrfsError, CorruptError, UnsupportedError, type Where } from "../errors.ts";
import { flagNames } from "../format/flags.ts";
import {
  CHECKSUM_FIELD_BYTES,
  INCOMPAT_METADATA_UUID,
  INCOMPAT_MIXED_GROUPS,
  INCOMPAT_NAMES,
  MAX_LEVELS,
  MAX_NODE_BYTES,
  MIN_SECTOR_BYTES,
  REFUSED_INCOMPAT,
  SUPER_FLAG_CHANGING_DATA_CSUM,
  SUPER_FLAG_CHANGING_FSID,
  SUPER_FLAG_CHANGING_FSID_V2,
  SUPER_FLAG_CHANGING_META_CSUM,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_MAGIC,
  SUPERBLOCK_OFFSETS,
  Superblock,
  SYSTEM_CHUNK_ARRAY_BYTES,
} from "../format/superblock.ts";

export type SuperblockView = InstanceType<typeof Superblock>;

/** One copy of the superblock: what was read, and why it is not to be trusted if it is not. */
export interface SuperblockCopy {
  /** 0 is the primary one. */
  readonly copy: number;
  /** Byte offset on the device. */
  readonly physical: number;
  readonly superblock: SuperblockView;
  readonly problem?: BtrfsError;
}

/** The copy numbered `copy`, checked; `undefined` where the source ends before it. */
export async function readSuperblockCopy(source: ByteSource, copy: number): Promise<SuperblockCopy | undefined> {
  const physical = SUPERBLOCK_OFFSETS[copy];
  if (physical === undefined) throw new RangeError(`Cannot read superblock copy ${copy}: there are copies 0 to 2`);
  if (physical + SUPERBLOCK_BYTES > source.size) return undefined;
  const data = new Uint8Array(SUPERBLOCK_BYTES);
  const superblock = new Superblock(viewOf(data));
  try {
    await source.read(physical, data);
    await checkSuperblock(superblock, data, { file: source.name, physical });
    return { copy, physical, superblock };
  } catch (problem) {
    if (!(problem instanceof BtrfsError)) throw problem;
    return { copy, physical, superblock, problem };
  }
}

/** All copies that the source has room for. */
export async function readSuperblockCopies(source: ByteSource): Promise<SuperblockCopy[]> {
  const copies = await Promise.all(SUPERBLOCK_OFFSETS.map((_, copy) => readSuperblockCopy(source, copy)));
  return copies.filter((copy) => copy !== undefined);
}

/**
 * The superblock to believe: the primary one, as the kernel does, and where that is damaged the newest good copy.
 *
 * @throws {BtrfsError} the primary copy's problem, when no copy is good.
 */
export async function readSuperblock(source: ByteSource): Promise<SuperblockCopy> {
  const primary = await readSuperblockCopy(source, 0);
  if (primary !== undefined && primary.problem === undefined) return primary;
  // A filesystem that is sound and not for us is no reason to look at older copies.
  if (primary?.problem instanceof UnsupportedError) throw primary.problem;
  let best: SuperblockCopy | undefined;
  for (const found of await readSuperblockCopies(source)) {
    if (found.problem !== undefined) continue;
    if (best === undefined || found.superblock.generation > best.superblock.generation) best = found;
  }
  if (best !== undefined) return best;
  throw (
    primary?.problem ??
    new BtrfsError("truncated", `Cannot read superblock: the device has ${source.size} bytes, it lies at 65536`, {
      where: { file: source.name },
    })
  );
}

/**
 * Checks one copy against itself: magic, place, checksum, then every field that something is divided, sized or found by.
 *
 * @param data The 4096 bytes under `superblock`; `where.physical` is the offset that they were read from.
 * @throws {CorruptError} when it is not to be trusted.
 * @throws {UnsupportedError} when it is, and uses a feature that can't be read, by name.
 */
export async function checkSuperblock(superblock: SuperblockView, data: Uint8Array, where: Where): Promise<void> {
  if (superblock.magic !== SUPERBLOCK_MAGIC) {
    throw new CorruptError("Cannot find superblock: the magic number is not btrfs's", where);
  }
  const type = superblock.csumType;
  if (type >= CHECKSUM_TYPES.length) {
    throw new UnsupportedError(`Cannot check superblock: checksum type is ${type}, known are 0 to 3`, where);
  }
  const checksum = await loadChecksum(type);
  if (!checksum.verify(data.subarray(CHECKSUM_FIELD_BYTES), superblock.csum)) {
    throw new CorruptError(`Cannot trust superblock: its ${checksum.name} checksum does not match`, where, {
      code: "checksum",
    });
  }
  const fail = (problem: string): never => {
    throw new CorruptError(`Cannot trust superblock: ${problem}`, where);
  };
  if (superblock.bytenr !== BigInt(where.physical ?? 0)) {
    fail(`it says it lies at ${superblock.bytenr}, expected ${where.physical}`);
  }
  checkFeatures(superblock, where);
  checkGeometry(superblock, fail);
  checkRoots(superblock, fail);
}

function checkFeatures(superblock: SuperblockView, where: Where): void {
  const known = INCOMPAT_NAMES.reduce((bits, [bit]) => bits | bit, 0n);
  const refused = superblock.incompatFlags & (REFUSED_INCOMPAT | ~known);
  if (refused !== 0n) {
    const names = flagNames(refused, INCOMPAT_NAMES).join(", ");
    throw new UnsupportedError(`Cannot open filesystem: it uses ${names}, which btrkit does not read`, where);
  }
  const { flags } = superblock;
  if (flags & (SUPER_FLAG_CHANGING_FSID | SUPER_FLAG_CHANGING_FSID_V2)) {
    throw new UnsupportedError(
      "Cannot open filesystem: a change of its UUID was interrupted; btrfstune ends it",
      where,
    );
  }
  if (flags & (SUPER_FLAG_CHANGING_DATA_CSUM | SUPER_FLAG_CHANGING_META_CSUM)) {
    throw new UnsupportedError(
      "Cannot open filesystem: a change of its checksums was interrupted; btrfstune ends it",
      where,
    );
  }
}

function checkGeometry(superblock: SuperblockView, fail: (problem: string) => never): void {
  const { sectorSize, nodeSize, leafSize, stripeSize, sysChunkArraySize, incompatFlags } = superblock;
  const sector = powerOfTwo(sectorSize) && sectorSize >= MIN_SECTOR_BYTES && sectorSize <= MAX_NODE_BYTES;
  if (!sector) fail(`sector size is ${sectorSize}, expected a power of two from 4096 to 65536`);
  const node = powerOfTwo(nodeSize) && nodeSize >= sectorSize && nodeSize <= MAX_NODE_BYTES;
  if (!node) fail(`node size is ${nodeSize}, expected a power of two from ${sectorSize} to 65536`);
  if (leafSize !== nodeSize) fail(`leaf size is ${leafSize}, expected the node size, ${nodeSize}`);
  if (!powerOfTwo(stripeSize)) fail(`stripe size is ${stripeSize}, expected a power of two`);
  if (incompatFlags & INCOMPAT_MIXED_GROUPS && nodeSize !== sectorSize) {
    fail(`node size is ${nodeSize}, mixed groups need the sector size, ${sectorSize}`);
  }
  if (sysChunkArraySize < MIN_SYSTEM_ARRAY_BYTES || sysChunkArraySize > SYSTEM_CHUNK_ARRAY_BYTES) {
    fail(`its chunk array has ${sysChunkArraySize} bytes, expected 97 to 2048`);
  }
  if (superblock.numDevices < 1n || superblock.numDevices > MAX_DEVICES) {
    fail(`it counts ${superblock.numDevices} devices, expected 1 to ${MAX_DEVICES}`);
  }
  if (superblock.bytesUsed < 6n * BigInt(nodeSize)) {
    fail(`${superblock.bytesUsed} bytes are in use, expected 6 nodes at least`);
  }
  if (superblock.totalBytes < superblock.bytesUsed) {
    fail(`${superblock.bytesUsed} bytes are in use, its devices have ${superblock.totalBytes}`);
  }
}

function checkRoots(superblock: SuperblockView, fail: (problem: string) => never): void {
  const levels = { root: superblock.rootLevel, chunk: superblock.chunkRootLevel, log: superblock.logRootLevel };
  for (const [name, level] of Object.entries(levels)) {
    if (level >= MAX_LEVELS) fail(`level of the ${name} tree is ${level}, expected below ${MAX_LEVELS}`);
  }
  const sector = BigInt(superblock.sectorSize);
  const roots = { root: superblock.root, chunk: superblock.chunkRoot, log: superblock.logRoot };
  for (const [name, logical] of Object.entries(roots)) {
    if (logical % sector !== 0n || logical > MAX_LOGICAL) {
      fail(`the ${name} tree lies at ${logical}, expected a multiple of ${sector}`);
    }
    if (logical === 0n && name !== "log") fail(`the ${name} tree lies at 0`);
  }
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  if (superblock.generation > limit || superblock.chunkRootGeneration > limit) {
    fail(`its generation is ${superblock.generation}, the chunk tree's ${superblock.chunkRootGeneration}`);
  }
  const { devItem } = superblock;
  if (!equalBytes(devItem.fsid, metadataUuid(superblock))) {
    fail(`its device belongs to ${formatUuid(devItem.fsid)}, expected ${formatUuid(metadataUuid(superblock))}`);
  }
  if (devItem.devid > limit) fail(`its device id is ${devItem.devid}`);
}

/** A key and a chunk of one stripe. */
const MIN_SYSTEM_ARRAY_BYTES = 97;
const MAX_DEVICES = 1n << 16n;
/** Addresses have to stay exact as numbers, with room for a chunk's length above them. */
const MAX_LOGICAL = 1n << 52n;

function powerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}

/** The UUID that tree blocks and device items carry. */
export function metadataUuid(superblock: SuperblockView): Uint8Array {
  return superblock.incompatFlags & INCOMPAT_METADATA_UUID ? superblock.metadataUuid : superblock.fsid;
}
