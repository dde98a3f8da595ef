import { viewOf } from "../bytes/bytes.ts";
import { readSafe } from "../bytes/u64.ts";
import { BtrfsError } from "../errors.ts";
import { SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSETS, Superblock } from "../format/superblock.ts";
import { recognise } from "./recognise.ts";
import { sliceSource } from "./slice.ts";
import type { ByteSource } from "./source.ts";

/** A partition of a disk. Offsets in bytes. */
export interface Partition {
  /** As the system numbers it: 1 to 4 are the primary ones of an MBR, 5 and up its logical ones. */
  readonly number: number;
  readonly start: number;
  readonly size: number;
  readonly table: "mbr" | "gpt";
}

export interface LocateOptions {
  /** Number of the partition. */
  readonly partition?: number | undefined;
  /** Byte offset at which the filesystem begins. */
  readonly offset?: number | undefined;
}

/**
 * The part of `source` that holds the filesystem: all of it, or the one btrfs partition of a disk image.
 *
 * @throws {BtrfsError} `missing` when there is none, or several to choose from; `unsupported` when the bytes are a
 * container that has to be opened by something else first.
 */
export async function locateFilesystem(source: ByteSource, options: LocateOptions = {}): Promise<ByteSource> {
  if (options.offset !== undefined) {
    if (!Number.isSafeInteger(options.offset) || options.offset < 0 || options.offset >= source.size) {
      throw new RangeError(`Cannot use offset ${options.offset}: ${source.name} has ${source.size} bytes`);
    }
    return options.offset === 0 ? source : sliceSource(source, options.offset, source.size - options.offset);
  }
  const partitions = await readPartitions(source);
  if (options.partition !== undefined) {
    const wanted = partitions.find(({ number }) => number === options.partition);
    if (wanted !== undefined) return sliceSource(source, wanted.start, wanted.size);
    throw new BtrfsError("missing", `Cannot find partition ${options.partition}: ${describe(partitions)}`, {
      where: { file: source.name },
    });
  }
  const found: Partition[] = [];
  for (const partition of partitions) {
    if (await hasMagic(source, partition.start, 0)) found.push(partition);
  }
  const whole = await hasMagic(source, 0, 0);
  if (whole && found.length === 0) return source;
  if (!whole && found.length === 1) return sliceSource(source, found[0]!.start, found[0]!.size);
  if (found.length > 0) {
    const places = found.map(({ number, size }) => `partition ${number} (${size} bytes)`);
    if (whole) places.unshift("the disk itself (offset 0)");
    throw new BtrfsError("missing", `Cannot choose a filesystem: ${places.join(", ")} hold btrfs, one must be named`, {
      where: { file: source.name },
    });
  }
  for (let copy = 1; copy < SUPERBLOCK_OFFSETS.length; copy++) {
    if (await hasMagic(source, 0, copy)) return source;
  }
  await recognise(source);
  throw new BtrfsError("missing", `Cannot find btrfs: no superblock, and ${describe(partitions)}`, {
    where: { file: source.name },
  });
}

/** The partitions of a disk with an MBR or a GUID partition table; none when there is no table. */
export async function readPartitions(source: ByteSource): Promise<Partition[]> {
  const first = await readSector(source, 0, MBR_BYTES);
  if (first === undefined || first.getUint16(510, true) !== 0xaa55) return [];
  const entries = mbrEntries(first);
  if (entries.some(({ type }) => type === MBR_PROTECTIVE)) {
    for (const sector of [512, 4096]) {
      const partitions =
        (await readGpt(source, sector, sector)) ?? (await readGpt(source, source.size - sector, sector));
      if (partitions !== undefined) return partitions;
    }
  }
  const partitions: Partition[] = [];
  for (const [index, { type, start, size }] of entries.entries()) {
    if (MBR_EXTENDED.has(type)) await readLogical(source, start, partitions);
    else addInside(source, partitions, { number: index + 1, start, size, table: "mbr" });
  }
  return partitions.sort((a, b) => a.number - b.number);
}

const MBR_BYTES = 512;
const MBR_PROTECTIVE = 0xee;
const MBR_EXTENDED: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85]);
const MAX_LOGICAL = 128;
const MAX_GPT_ENTRIES = 1024;

function mbrEntries(sector: DataView): { type: number; start: number; size: number }[] {
  return [446, 462, 478, 494].map((at) => ({
    type: sector.getUint8(at + 4),
    start: sector.getUint32(at + 8, true) * 512,
    size: sector.getUint32(at + 12, true) * 512,
  }));
}

/** Logical partitions are a chain of small tables inside the extended one. */
async function readLogical(source: ByteSource, extended: number, partitions: Partition[]): Promise<void> {
  let table = extended;
  for (let number = 5; number < 5 + MAX_LOGICAL; number++) {
    const sector = await readSector(source, table, MBR_BYTES);
    if (sector === undefined || sector.getUint16(510, true) !== 0xaa55) return;
    const [own, next] = mbrEntries(sector);
    addInside(source, partitions, { number, start: table + own!.start, size: own!.size, table: "mbr" });
    if (!MBR_EXTENDED.has(next!.type) || next!.start === 0) return;
    table = extended + next!.start;
  }
}

async function readGpt(source: ByteSource, at: number, sectorBytes: number): Promise<Partition[] | undefined> {
  const header = await readSector(source, at, 92);
  if (header === undefined || header.getBigUint64(0, true) !== 0x5452_4150_2049_4645n) return undefined; // EFI PART
  const entryBytes = header.getUint32(84, true);
  const count = Math.min(header.getUint32(80, true), MAX_GPT_ENTRIES);
  if (entryBytes < 128 || entryBytes > 4096 || entryBytes % 8 !== 0) return undefined;
  const entriesAt = lba(header, 72, sectorBytes);
  const entries = entriesAt === undefined ? undefined : await readSector(source, entriesAt, count * entryBytes);
  if (entries === undefined) return undefined;
  const partitions: Partition[] = [];
  for (let index = 0; index < count; index++) {
    const entry = index * entryBytes;
    const used = entries.getBigUint64(entry, true) !== 0n || entries.getBigUint64(entry + 8, true) !== 0n;
    const start = lba(entries, entry + 32, sectorBytes);
    const last = lba(entries, entry + 40, sectorBytes);
    if (!used || start === undefined || last === undefined) continue;
    addInside(source, partitions, { number: index + 1, start, size: last + sectorBytes - start, table: "gpt" });
  }
  return partitions;
}

function lba(view: DataView, at: number, sectorBytes: number): number | undefined {
  if (view.getUint32(at + 4, true) >= 0x1000) return undefined;
  return readSafe(view, at) * sectorBytes;
}

/** Adds what lies inside of the disk; a partition that is cut by the disk's end keeps what is there. */
function addInside(source: ByteSource, partitions: Partition[], partition: Partition): void {
  if (partition.start <= 0 || partition.size <= 0 || partition.start >= source.size) return;
  partitions.push({ ...partition, size: Math.min(partition.size, source.size - partition.start) });
}

async function readSector(source: ByteSource, at: number, length: number): Promise<DataView | undefined> {
  if (at < 0 || at + length > source.size) return undefined;
  const sector = new Uint8Array(length);
  await source.read(at, sector);
  return viewOf(sector);
}

async function hasMagic(source: ByteSource, start: number, copy: number): Promise<boolean> {
  const at = start + SUPERBLOCK_OFFSETS[copy]! + Superblock.offsets.magic;
  return (await readSector(source, at, 8))?.getBigUint64(0, true) === SUPERBLOCK_MAGIC;
}

function describe(partitions: readonly Partition[]): string {
  if (partitions.length === 0) return "there is no partition table";
  return `the disk has partition ${partitions.map(({ number }) => number).join(", ")}`;
}
