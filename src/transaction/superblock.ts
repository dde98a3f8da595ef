import { viewOf } from "../bytes/bytes.ts";
import type { Checksum } from "../checksum/checksum.ts";
import type { ByteStore } from "../device/source.ts";
import {
  CHECKSUM_FIELD_BYTES,
  RootBackup,
  SUPER_FLAG_WRITTEN,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_OFFSETS,
  Superblock,
} from "../format/superblock.ts";

export type SuperblockStruct = InstanceType<typeof Superblock>;

/** A device and what its superblocks say of it alone. */
export interface SuperblockTarget {
  readonly store: ByteStore;
  /** Bytes that the filesystem has of the device. */
  readonly totalBytes: number;
  /** The 98 bytes of `devItem`. */
  readonly devItem: SuperblockStruct["devItem"];
}

/** Superblock copies that a device of so many bytes has; 0 is the primary one. */
export function superblockCopies(totalBytes: number): number[] {
  return SUPERBLOCK_OFFSETS.flatMap((offset, copy) => (offset + SUPERBLOCK_BYTES < totalBytes ? [copy] : []));
}

/** Writes one copy of `superblock`, sealed for its place. Durable after a flush. */
export async function writeSuperblock(
  { store, devItem }: SuperblockTarget,
  superblock: SuperblockStruct,
  copy: number,
  checksum: Checksum,
): Promise<void> {
  const own = new Uint8Array(SUPERBLOCK_BYTES);
  own.set(new Uint8Array(superblock.view.buffer, superblock.view.byteOffset + superblock.at, SUPERBLOCK_BYTES));
  const sealed = new Superblock(viewOf(own));
  sealed.flags |= SUPER_FLAG_WRITTEN;
  sealed.bytenr = BigInt(SUPERBLOCK_OFFSETS[copy]!);
  sealed.devItem = devItem;
  own.fill(0, 0, CHECKSUM_FIELD_BYTES);
  checksum.compute(own.subarray(CHECKSUM_FIELD_BYTES), own);
  await store.write(SUPERBLOCK_OFFSETS[copy]!, own);
}

/**
 * Makes `superblock` the filesystem's. All that it leads to has to be durable already: the primary copies come first,
 * and only when they are durable the others, so that one good copy is there at every moment.
 */
export async function writeSuperblocks(
  targets: readonly SuperblockTarget[],
  superblock: SuperblockStruct,
  checksum: Checksum,
): Promise<void> {
  for (const target of targets) await writeSuperblock(target, superblock, 0, checksum);
  for (const { store } of targets) await store.flush();
  for (const target of targets) {
    for (const copy of superblockCopies(target.totalBytes)) {
      if (copy !== 0) await writeSuperblock(target, superblock, copy, checksum);
    }
  }
  for (const { store } of targets) await store.flush();
}

/** Where a tree begins, for a backup root. */
export interface BackupTree {
  readonly logical: number;
  readonly level: number;
  readonly generation: number;
}

export interface BackupTrees {
  readonly extent: BackupTree;
  readonly fs: BackupTree;
  readonly dev: BackupTree;
  readonly csum: BackupTree;
}

/** Notes the roots of this commit in the oldest of the four backup slots. Root and chunk tree are `superblock`'s own. */
export function noteBackupRoots(superblock: SuperblockStruct, trees: BackupTrees): void {
  const slots = [superblock.backup0, superblock.backup1, superblock.backup2, superblock.backup3];
  const newest = slots.reduce((best, slot, index) => {
    return slot.treeRootGeneration > slots[best]!.treeRootGeneration ? index : best;
  }, 0);
  const isFirst = slots[newest]!.treeRootGeneration === 0n;
  const backup = slots[isFirst ? 0 : (newest + 1) % slots.length]!;
  new Uint8Array(backup.view.buffer, backup.view.byteOffset + backup.at, RootBackup.byteLength).fill(0);
  backup.treeRoot = superblock.root;
  backup.treeRootGeneration = superblock.generation;
  backup.treeRootLevel = superblock.rootLevel;
  backup.chunkRoot = superblock.chunkRoot;
  backup.chunkRootGeneration = superblock.chunkRootGeneration;
  backup.chunkRootLevel = superblock.chunkRootLevel;
  backup.extentRoot = BigInt(trees.extent.logical);
  backup.extentRootGeneration = BigInt(trees.extent.generation);
  backup.extentRootLevel = trees.extent.level;
  backup.fsRoot = BigInt(trees.fs.logical);
  backup.fsRootGeneration = BigInt(trees.fs.generation);
  backup.fsRootLevel = trees.fs.level;
  backup.devRoot = BigInt(trees.dev.logical);
  backup.devRootGeneration = BigInt(trees.dev.generation);
  backup.devRootLevel = trees.dev.level;
  backup.csumRoot = BigInt(trees.csum.logical);
  backup.csumRootGeneration = BigInt(trees.csum.generation);
  backup.csumRootLevel = trees.csum.level;
  backup.totalBytes = superblock.totalBytes;
  backup.bytesUsed = superblock.bytesUsed;
  backup.numDevices = superblock.numDevices;
}
