import { create, freeSpot } from "./name-steps.ts";
import type { Fill } from "./operations.ts";
import type { Random } from "./random.ts";
import { type Inode, type Place, pickPlace, placesOf, type Step, type World } from "./world.ts";

/** What encoded writes and clones must be aligned to, in bytes. */
const SECTOR = 4096;
/** Largest extent that the kernel compresses, in bytes. */
const MAX_COMPRESSED = 128 << 10;

const isFile = ({ inode }: Place): boolean => inode.kind === "file";

function someFile(world: World): Place | undefined {
  return pickPlace(world, isFile);
}

function someFill(random: Random): Fill {
  return { kind: random.weighted({ text: 60, mixed: 20, noise: 12, zero: 8 }), seed: random.word() };
}

function someLength(world: World): number {
  const { random } = world;
  const wanted = random.pick([
    random.between(1, 100),
    random.between(1, 4000),
    SECTOR * random.between(1, 8),
    random.between(1, 60_000),
    random.between(1, world.maxWriteBytes),
  ]);
  return Math.min(wanted, world.maxWriteBytes);
}

/** An offset in or somewhat behind a file: at an edge of it, of a sector, or anywhere. */
function someOffset(world: World, size: number): number {
  const { random } = world;
  const end = Math.min(size + 64 * 1024, world.maxFileBytes - 1);
  const sectors = Math.floor(end / SECTOR);
  return random.pick([0, Math.min(size, end), random.between(0, end), SECTOR * random.between(0, sectors)]);
}

function write(world: World, file: Place, offset: number): void {
  const length = Math.min(someLength(world), world.maxFileBytes - offset);
  if (length <= 0) return;
  world.emit({ op: "write", path: file.path, offset, length, fill: someFill(world.random) });
  file.inode.size = Math.max(file.inode.size, offset + length);
}

const overwrite: Step = (world) => {
  const file = someFile(world);
  if (file !== undefined) write(world, file, someOffset(world, file.inode.size));
};

const append: Step = (world) => {
  const file = someFile(world);
  if (file !== undefined) write(world, file, file.inode.size);
};

/** A few bytes into an empty file: what the histories of names have for data. */
const note: Step = (world) => {
  const file = pickPlace(world, ({ inode }) => inode.kind === "file" && inode.size === 0);
  if (file === undefined) return;
  const length = world.random.between(1, 80);
  world.emit({ op: "write", path: file.path, offset: 0, length, fill: { kind: "text", seed: world.random.word() } });
  file.inode.size = length;
};

const truncate: Step = (world) => {
  const file = someFile(world);
  if (file === undefined) return;
  const size = world.random.chance(20) ? 0 : someOffset(world, file.inode.size);
  world.emit({ op: "truncate", path: file.path, size });
  file.inode.size = size;
};

function someRange(world: World, file: Place): { offset: number; length: number } | undefined {
  const offset = someOffset(world, file.inode.size);
  const length = Math.min(someLength(world), world.maxFileBytes - offset);
  return length > 0 ? { offset, length } : undefined;
}

const punch: Step = (world) => {
  const file = someFile(world);
  const range = file && someRange(world, file);
  if (range !== undefined) world.emit({ op: "punch", path: file!.path, ...range });
};

const allocate =
  (op: "prealloc" | "zeroRange"): Step =>
  (world) => {
    const file = someFile(world);
    const range = file && someRange(world, file);
    if (file === undefined || range === undefined) return;
    const keepSize = world.random.chance(50);
    world.emit({ op, path: file.path, ...range, keepSize });
    if (!keepSize) file.inode.size = Math.max(file.inode.size, range.offset + range.length);
  };

const compress: Step = (world) => {
  const file = pickPlace(world, ({ inode }) => inode.kind === "file" && !inode.nodatacow);
  const algorithm = world.random.pick(["none", "zlib", "lzo", "zstd", "zstd"] as const);
  if (file !== undefined) world.emit({ op: "compress", path: file.path, algorithm });
};

/** Shares a range of a file with the same or another file, out of an earlier snapshot too. */
const clone: Step = (world) => {
  const { random } = world;
  const target = someFile(world);
  const old = world.frozen.length > 0 && random.chance(30) ? random.pick(world.frozen) : undefined;
  const sources = old === undefined ? world.places : placesOf(old.root, old.path);
  const fitting = sources.filter((place) => isFile(place) && place.inode.size > 0);
  if (target === undefined || fitting.length === 0) return;
  const source = random.pick(fitting);
  // The kernel shares only between files that both have checksums, or both have none.
  if (source.inode.nodatacow !== target.inode.nodatacow) return;
  const fromOffset = SECTOR * random.between(0, Math.floor((source.inode.size - 1) / SECTOR));
  const offset =
    SECTOR * random.between(0, Math.floor(Math.min(target.inode.size, world.maxFileBytes / 2) / SECTOR) + 4);
  const length = cloneLength(random, source.inode, fromOffset, target.inode, offset);
  if (length === undefined || offset + length > world.maxFileBytes) return;
  world.emit({ op: "clone", from: source.path, fromOffset, length, path: target.path, offset });
  target.inode.size = Math.max(target.inode.size, offset + length);
};

/** In whole sectors, or to the end of the source, which an unaligned clone must bring to the end of the target. */
function cloneLength(
  random: Random,
  source: Inode,
  fromOffset: number,
  target: Inode,
  offset: number,
): number | undefined {
  const rest = source.size - fromOffset;
  const sectors = Math.floor(rest / SECTOR);
  const aligned = sectors > 0 ? SECTOR * random.between(1, sectors) : undefined;
  const toEnd = rest % SECTOR === 0 || offset + rest >= target.size ? rest : undefined;
  const length = random.chance(60) ? (toEnd ?? aligned) : (aligned ?? toEnd);
  const overlaps = source === target && length !== undefined && Math.abs(offset - fromOffset) < length + SECTOR;
  return overlaps ? undefined : length;
}

/** A new file without checksums. Only a new one: what was ever found incompressible can't become nodatacow. */
const nodatacow: Step = (world) => {
  const spot = freeSpot(world);
  if (spot === undefined) return;
  create(world, spot, "file");
  world.emit({ op: "nodatacow", path: spot.path });
  spot.parent.children.get(spot.name)!.nodatacow = true;
};

const encodedWrite: Step = (world) => {
  const { random } = world;
  const file = pickPlace(world, ({ inode }) => inode.kind === "file" && !inode.nodatacow);
  if (file === undefined) return;
  const unencodedLength = SECTOR * random.between(1, MAX_COMPRESSED / SECTOR);
  const unencodedOffset = random.chance(60) ? 0 : SECTOR * random.between(0, unencodedLength / SECTOR - 1);
  const length = SECTOR * random.between(1, (unencodedLength - unencodedOffset) / SECTOR);
  const offset = SECTOR * random.between(0, Math.floor(Math.min(file.inode.size, world.maxFileBytes / 2) / SECTOR) + 2);
  const fill = { kind: "text", seed: random.word() } as const;
  world.emit({ op: "encodedWrite", path: file.path, offset, length, unencodedLength, unencodedOffset, fill });
  file.inode.size = Math.max(file.inode.size, offset + length);
};

const sync: Step = (world) => world.emit({ op: "sync" });

const remount: Step = (world) => {
  const algorithm = world.random.pick(["none", "zlib", "lzo", "zstd"] as const);
  world.emit({ op: "remount", algorithm, force: world.random.chance(50) });
};

/** Steps that change what is in files, and how it lies on disk. */
export const dataSteps = {
  write: overwrite,
  append,
  note,
  truncate,
  punch,
  prealloc: allocate("prealloc"),
  zeroRange: allocate("zeroRange"),
  compress,
  clone,
  nodatacow,
  encodedWrite,
  sync,
  remount,
} satisfies Record<string, Step>;
