import { toSafe } from "../bytes/u64.ts";
import { BtrfsError, CorruptError, type Where } from "../errors.ts";
import { ROOT_TREE_OBJECTID } from "../format/objectid.ts";
import type { RootItem } from "../format/root.ts";
import { MAX_LEVELS } from "../format/superblock.ts";
import type { TreeRoot } from "../tree/source.ts";
import type { SuperblockView } from "./superblock.ts";

/** Which commit to show, when not the last one. */
export interface OldRoot {
  /** The commit of this generation. */
  readonly rootGeneration?: number | undefined;
  /** The root in this slot of the superblock: 0 to 3. */
  readonly backupRoot?: number | undefined;
}

/** A root tree that the superblock remembers. Its blocks may have been used again since. */
export interface BackupRoot extends TreeRoot {
  /** 0 to 3. */
  readonly slot: number;
}

/** The root trees of recent commits, as far as their slots make sense; newest first. */
export function backupRoots(superblock: SuperblockView): BackupRoot[] {
  const { backup0, backup1, backup2, backup3 } = superblock;
  const sector = BigInt(superblock.sectorSize);
  return [backup0, backup1, backup2, backup3]
    .map((backup, slot) => ({ backup, slot }))
    .filter(({ backup: { treeRoot, treeRootGeneration, treeRootLevel } }) => {
      const sane = treeRoot !== 0n && treeRoot % sector === 0n && treeRoot <= BigInt(Number.MAX_SAFE_INTEGER);
      return sane && treeRootGeneration <= superblock.generation && treeRootLevel < MAX_LEVELS;
    })
    .map(({ backup, slot }) => ({
      slot,
      id: ROOT_TREE_OBJECTID,
      logical: Number(backup.treeRoot),
      generation: Number(backup.treeRootGeneration),
      level: backup.treeRootLevel,
    }))
    .sort((a, b) => b.generation - a.generation);
}

/**
 * The root tree to show: the superblock's, or the older one that is asked for.
 *
 * @throws {BtrfsError} `missing`, with the generations that there are.
 */
export function chooseRoot(superblock: SuperblockView, { rootGeneration, backupRoot }: OldRoot): TreeRoot {
  const newest: TreeRoot = {
    id: ROOT_TREE_OBJECTID,
    logical: toSafe(superblock.root, "address of the root tree"),
    level: superblock.rootLevel,
    generation: toSafe(superblock.generation, "generation"),
  };
  if (rootGeneration === undefined && backupRoot === undefined) return newest;
  if (rootGeneration === newest.generation && backupRoot === undefined) return newest;
  const backups = backupRoots(superblock);
  const found = backups.find(
    ({ slot, generation }) =>
      (backupRoot === undefined || slot === backupRoot) &&
      (rootGeneration === undefined || generation === rootGeneration),
  );
  if (found !== undefined) return found;
  const known = backups.map(({ slot, generation }) => `${generation} (backup ${slot})`).join(", ");
  const wanted = rootGeneration === undefined ? `backup root ${backupRoot}` : `generation ${rootGeneration}`;
  throw new BtrfsError(
    "missing",
    `Cannot find ${wanted}: the superblock knows ${known === "" ? "no older root" : known}`,
  );
}

/**
 * Where the tree of a root item starts.
 *
 * @throws {CorruptError} when no tree can start there.
 */
export function rootOfItem(
  id: bigint,
  { bytenr, level, generation }: InstanceType<typeof RootItem>,
  sectorSize: number,
  where: Where,
): TreeRoot {
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  const aligned = bytenr !== 0n && bytenr % BigInt(sectorSize) === 0n && bytenr <= limit;
  if (!aligned || level >= MAX_LEVELS || generation > limit) {
    throw new CorruptError(
      `Cannot trust root item: root is at ${bytenr}, of level ${level} and generation ${generation}`,
      where,
    );
  }
  return { id, logical: Number(bytenr), level, generation: Number(generation) };
}
