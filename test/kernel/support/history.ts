import { attributeSteps } from "./attribute-steps.ts";
import { dataSteps } from "./data-steps.ts";
import { nameSteps, removeTree } from "./name-steps.ts";
import type { Operation } from "./operations.ts";
import { Random } from "./random.ts";
import { newInode, placesOf, type World } from "./world.ts";

export type Profile =
  /** Names, links, directories, attributes; files of a few bytes. */
  | "names"
  /** Data in every form but shared by reflinks, and some names. */
  | "data"
  /** The same with clones inside a file, between files, and out of earlier snapshots. */
  | "reflinks"
  /** And devices, nodatacow, encoded writes, remounts, snapshots of snapshots. */
  | "everything";

export interface HistoryOptions {
  readonly seed: number;
  readonly profile: Profile;
  /** Read-only snapshots `s1`, `s2`, ... 3 by default. */
  readonly snapshots?: number;
  /** Steps before each of them; a step is one operation or a few. 60 by default. */
  readonly steps?: number;
  /** No file grows longer, in bytes. 512 KiB by default. */
  readonly maxFileBytes?: number;
  /** No write is longer, in bytes. 200 KiB by default. */
  readonly maxWriteBytes?: number;
  /** Names alive at once, about. 80 by default. */
  readonly maxNames?: number;
}

const STEPS = { ...nameSteps, ...attributeSteps, ...dataSteps };

const NAMES = {
  create: 14,
  mkdir: 9,
  symlink: 2,
  special: 1,
  rename: 12,
  replace: 4,
  exchange: 5,
  invert: 3,
  rotate: 3,
  recreate: 4,
  link: 6,
  unlink: 6,
  removeTree: 2,
  chmod: 3,
  chown: 3,
  utimes: 3,
  setXattr: 4,
  removeXattr: 2,
  acl: 1,
  capability: 1,
};
const DATA = { write: 40, append: 14, truncate: 10, punch: 10, prealloc: 6, zeroRange: 2, compress: 8, sync: 8 };
const RARE = { special: 3, nodatacow: 2, encodedWrite: 6, remount: 3 };

/** As long as there is little to work with. */
const PLANTING = { create: 6, mkdir: 4, note: 1, link: 1 };
const FEW_NAMES = 12;

/** How often each step comes, in parts of the sum. */
const PROFILES: Readonly<Record<Profile, Readonly<Partial<Record<keyof typeof STEPS, number>>>>> = {
  names: { ...NAMES, note: 4, sync: 2 },
  data: { ...NAMES, ...DATA },
  reflinks: { ...NAMES, ...DATA, clone: 40 },
  everything: { ...NAMES, ...DATA, ...RARE, clone: 25 },
};

/**
 * A history for one filesystem: the subvolume `live` changes, and read-only snapshots `s1`, `s2`, ... are taken of it.
 * The same options give the same operations.
 */
export function makeHistory(options: HistoryOptions): Operation[] {
  const { seed, profile, snapshots = 3, steps = 60, maxNames = 80 } = options;
  const { maxFileBytes = 512 << 10, maxWriteBytes = 200 << 10 } = options;
  const operations: Operation[] = [];
  const world: World = {
    random: new Random(seed),
    live: "live",
    root: newInode("dir"),
    places: [],
    frozen: [],
    maxFileBytes,
    maxWriteBytes,
    emit: (operation) => operations.push(operation),
  };
  world.emit({ op: "subvolume", path: world.live });
  for (let number = 1; number <= snapshots; number++) {
    for (let step = 0; step < steps; step++) {
      world.places = placesOf(world.root, world.live);
      const weights = world.places.length < Math.min(FEW_NAMES, maxNames) ? PLANTING : PROFILES[profile];
      const next =
        world.places.length > maxNames ? removeTree : STEPS[world.random.weighted<keyof typeof STEPS>(weights)];
      next(world);
    }
    world.emit({ op: "snapshot", source: world.live, path: `s${number}`, readOnly: true });
    world.frozen.push({ path: `s${number}`, root: structuredClone(world.root) });
    if (profile === "everything" && number < snapshots && world.random.chance(30)) branch(world, number);
  }
  return operations;
}

/** Goes on from an earlier snapshot: new inodes then take numbers that the other line has used too. */
function branch(world: World, number: number): void {
  const from = world.random.pick(world.frozen);
  world.live = `live${number}`;
  world.root = structuredClone(from.root);
  world.emit({ op: "snapshot", source: from.path, path: world.live, readOnly: false });
}

/** The read-only snapshots that a history makes, in order. */
export function snapshotNames(operations: readonly Operation[]): string[] {
  return operations.flatMap((step) => (step.op === "snapshot" && step.readOnly ? [step.path] : []));
}
