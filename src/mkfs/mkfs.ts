import { loadChecksum } from "#checksum";
import { toBytes } from "../bytes/bytes.ts";
import { newStruct } from "../bytes/struct.ts";
import { CHECKSUM_TYPES, type Checksum } from "../checksum/checksum.ts";
import type { ByteStore } from "../device/source.ts";
import { BtrfsError } from "../errors.ts";
import { DevItem } from "../format/chunk.ts";
import { compareKeys } from "../format/key.ts";
import * as types from "../format/key-type.ts";
import * as ids from "../format/objectid.ts";
import { MAX_NODE_BYTES, MIN_SECTOR_BYTES, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSETS } from "../format/superblock.ts";
import { uuidKey } from "../format/uuid-tree.ts";
import { bytesOf } from "../transaction/chunk-items.ts";
import { encodeInodeRef, newDirectoryInode } from "../transaction/new-items.ts";
import { writeSuperblocks } from "../transaction/superblock.ts";
import { Blocks } from "./blocks.ts";
import { ChecksumWriter } from "./checksum-writer.ts";
import { ExtentTable } from "./extent-table.ts";
import { Filling } from "./filling.ts";
import { ImageWriter } from "./image-writer.ts";
import { type Item, item } from "./item.ts";
import { write, writeLastTrees } from "./last-trees.ts";
import { planLayout } from "./layout.ts";
import type { MadeFilesystem, MakeOptions } from "./options.ts";
import type { Recipe } from "./recipe.ts";
import { rootTreeItems } from "./root-items.ts";
import { labelBytes, superblockOf } from "./superblock.ts";
import { type TreeRoot, TreeWriter } from "./tree-writer.ts";
import { type Uuids, uuidsOf } from "./uuids.ts";

export type { MadeFilesystem, MakeOptions } from "./options.ts";

const SECTOR_SIZE = 4096;
const GENERATION = 1;
const WIPED_BYTES = 1_048_576;
const MIB = 1_048_576;
/** What a filesystem that is made to fit has free beside its chunks, at least: the kernel makes chunks of it. */
const FREE_BYTES = 64 * MIB;
const PARENT = toBytes("..");

/**
 * Makes a filesystem on `store`, as `mkfs.btrfs` on one device does: empty, or with all that `from` has. Until it is
 * complete there is no superblock.
 *
 * @throws {BtrfsError} `space` when there is too little, `busy` when a file changes while it is read; what `from` and
 * `store` throw; RangeError and TypeError for options that can't be.
 */
export async function makeFilesystem(store: ByteStore, options: MakeOptions = {}): Promise<MadeFilesystem> {
  const checksum = await loadChecksum(CHECKSUM_TYPES.findIndex(({ name }) => name === (options.checksum ?? "crc32c")));
  const label = labelBytes(options.label ?? "");
  checkOptions(options);
  const filling = options.from === undefined ? undefined : await Filling.prepare(options.from, options, checksum);
  const limit = limitOf(store, options);
  const nodeSize = options.nodeSize ?? 16384;
  const profiles = { metadata: options.metadata ?? "dup", data: options.data ?? "single" } as const;
  const isTight = options.shrink === true;
  const layout = planLayout({ limit, nodeSize, ...profiles, content: filling?.estimate(nodeSize), isTight });
  const recipe = recipeOf(options, await uuidsOf(options, filling?.trees ?? []), (end) =>
    sizeOf(store, options, limit, end),
  );

  await wipe(store);
  const writer = new ImageWriter(store, options.grow === true);
  const blocks = new Blocks(
    layout.space,
    writer,
    profiles.metadata,
    limitsOf(recipe, checksum),
    checksum,
    layout.metadata,
  );
  const extents = new ExtentTable();
  const csums = new ChecksumWriter(
    new TreeWriter(recipe, ids.CSUM_TREE_OBJECTID, blocks.target(ids.CSUM_TREE_OBJECTID)),
    nodeSize,
    SECTOR_SIZE,
    checksum.byteLength,
  );
  const roots = new Map<bigint, TreeRoot>();
  const writeTree = (id: bigint, items: readonly Item[]): void => {
    roots.set(id, write(recipe, id, blocks.target(id), items));
  };
  try {
    if (filling === undefined) writeTree(ids.FS_TREE_OBJECTID, emptyDirectory(recipe));
    else
      await filling.write({
        recipe,
        space: layout.space,
        writer,
        blocks,
        extents,
        checksums: csums,
        profile: profiles.data,
        roots,
      });
    roots.set(ids.CSUM_TREE_OBJECTID, csums.finish());
    writeTree(
      ids.UUID_TREE_OBJECTID,
      uuidItems([[recipe.subvolumeUuid, ids.FS_TREE_OBJECTID], ...(filling?.uuids ?? [])]),
    );
    writeTree(ids.DATA_RELOC_TREE_OBJECTID, emptyDirectory(recipe));
    const subvolumes = filling?.subvolumes ?? [];
    const last = writeLastTrees(recipe, layout.space, blocks, extents, roots, (all) =>
      rootTreeItems(recipe, all, subvolumes),
    );
    blocks.flush();
    await writer.settle(true);
    const totalBytes = Number(recipe.device.totalBytes);
    if (options.grow === true && store.size < totalBytes) await store.resize(totalBytes);
    await store.flush();
    const superblock = superblockOf(recipe, layout.space, last, {
      checksumType: checksum.type,
      label,
      compressions: filling?.compressions ?? new Set(),
      hasDefault: subvolumes.some(({ isDefault }) => isDefault),
    });
    await writeSuperblocks([{ store, totalBytes, devItem: superblock.devItem }], superblock, checksum);
    return {
      size: totalBytes,
      bytesUsed: Number(superblock.bytesUsed),
      ...(filling?.counts ?? { inodes: 1, dataBytes: 0 }),
    };
  } catch (error) {
    await writer.settle(true).catch(() => {});
    throw error;
  }
}

function checkOptions(options: MakeOptions): void {
  const nodeSize = options.nodeSize ?? 16384;
  if (!(nodeSize >= MIN_SECTOR_BYTES && nodeSize <= MAX_NODE_BYTES && Number.isInteger(Math.log2(nodeSize)))) {
    throw new RangeError(
      `Cannot make filesystem: node size is ${nodeSize}, expected a power of two from 4096 to 65536`,
    );
  }
  if (options.blockGroupTree && !((options.noHoles ?? true) && (options.freeSpaceTree ?? true))) {
    throw new TypeError("Cannot make filesystem: a block group tree needs no-holes and a free space tree");
  }
  const { algorithm, level } = options.compress ?? {};
  if (algorithm === undefined || level === undefined) return;
  const most = { zlib: 9, lzo: 0, zstd: 15 }[algorithm];
  if (!(Number.isInteger(level) && level >= 1 && level <= most)) {
    throw new RangeError(`Cannot make filesystem: ${algorithm} has no level ${level}`);
  }
}

/** Bytes of the device; infinite where the store gets as long as it has to be. */
function limitOf(store: ByteStore, { size, grow }: MakeOptions): number {
  if (grow === true && size === undefined) return Number.POSITIVE_INFINITY;
  const wanted = Math.floor((size ?? store.size) / SECTOR_SIZE) * SECTOR_SIZE;
  if (grow !== true && wanted > store.size) {
    throw new BtrfsError("space", `Cannot make filesystem of ${wanted} bytes: there are ${store.size}`, {
      where: { file: store.name },
    });
  }
  return wanted;
}

function sizeOf(store: ByteStore, { shrink }: MakeOptions, limit: number, end: number): number {
  if (shrink === true) return end;
  if (limit !== Number.POSITIVE_INFINITY) return limit;
  const free = Math.ceil(Math.max(FREE_BYTES, end / 10) / MIB) * MIB;
  return Math.max(end + free, Math.floor(store.size / SECTOR_SIZE) * SECTOR_SIZE);
}

function limitsOf({ nodeSize, fsid }: Recipe, checksum: Checksum) {
  return { nodeSize, sectorSize: SECTOR_SIZE, checksumSize: checksum.byteLength, fsid, generation: GENERATION };
}

function recipeOf(options: MakeOptions, uuids: Uuids, totalBytes: (end: number) => number): Recipe {
  const device = newStruct(DevItem);
  device.devid = 1n;
  device.ioAlign = SECTOR_SIZE;
  device.ioWidth = SECTOR_SIZE;
  device.sectorSize = SECTOR_SIZE;
  device.uuid = uuids.deviceUuid;
  device.fsid = uuids.uuid;
  return {
    nodeSize: options.nodeSize ?? 16384,
    sectorSize: SECTOR_SIZE,
    fsid: uuids.uuid,
    chunkTreeUuid: uuids.chunkTreeUuid,
    generation: GENERATION,
    subvolumeUuid: uuids.subvolumeUuid,
    device,
    freeSpaceTree: options.freeSpaceTree ?? true,
    blockGroupTree: options.blockGroupTree ?? false,
    noHoles: options.noHoles ?? true,
    now: options.now ?? BigInt(Date.now()) * 1_000_000n,
    isTight: options.from !== undefined,
    totalBytes,
  };
}

function emptyDirectory({ generation, now }: Recipe): Item[] {
  return [
    item(256n, types.INODE_ITEM, 0n, bytesOf(newDirectoryInode(0o755, generation, now))),
    item(256n, types.INODE_REF, 256n, encodeInodeRef(0n, PARENT)),
  ];
}

function uuidItems(uuids: readonly (readonly [Uint8Array, bigint])[]): Item[] {
  const items = uuids.map(([uuid, id]) => {
    const data = new Uint8Array(8);
    new DataView(data.buffer).setBigUint64(0, id, true);
    return { key: uuidKey(uuid, types.UUID_SUBVOL), data };
  });
  return items.sort((a, b) => compareKeys(a.key, b.key));
}

/** Takes away what could be mistaken for this filesystem or another: every superblock first. */
async function wipe(store: ByteStore): Promise<void> {
  const zeros = new Uint8Array(WIPED_BYTES);
  for (const offset of SUPERBLOCK_OFFSETS) {
    if (offset + SUPERBLOCK_BYTES <= store.size) await store.write(offset, zeros.subarray(0, SUPERBLOCK_BYTES));
  }
  await store.flush();
  await store.write(0, zeros.subarray(0, Math.min(WIPED_BYTES, store.size)));
}
