import type { Operation } from "./operations.ts";
import type { Random } from "./random.ts";

/** What a history knows of one inode: enough that its next operation will be accepted. */
export interface Inode {
  readonly kind: "file" | "dir" | "symlink" | "special";
  /** Of a directory. */
  readonly children: Map<string, Inode>;
  /** In bytes, of a file. */
  size: number;
  nodatacow: boolean;
  /** Names of xattrs that can be removed again. */
  readonly xattrs: Set<string>;
}

/** A name that leads to an inode. */
export interface Place {
  /** From the top of the filesystem, subvolume first. */
  readonly path: string;
  readonly name: string;
  readonly parent: Inode;
  readonly inode: Inode;
}

/** The state of a history being made. */
export interface World {
  readonly random: Random;
  /** The subvolume that changes, and what it holds. */
  live: string;
  root: Inode;
  /** Every name in it, parents first, as of the begin of the step. */
  places: readonly Place[];
  /** Read-only snapshots so far. */
  readonly frozen: { readonly path: string; readonly root: Inode }[];
  readonly maxFileBytes: number;
  readonly maxWriteBytes: number;
  emit(operation: Operation): void;
}

/** Adds an operation or a few; none where its subject is missing. */
export type Step = (world: World) => void;

export function newInode(kind: Inode["kind"]): Inode {
  return { kind, children: new Map(), size: 0, nodatacow: false, xattrs: new Set() };
}

/** Every name below `root`, parents first. */
export function placesOf(root: Inode, path: string): Place[] {
  const places: Place[] = [];
  const visit = (parent: Inode, at: string): void => {
    for (const [name, inode] of parent.children) {
      const place = { path: `${at}/${name}`, name, parent, inode };
      places.push(place);
      visit(inode, place.path);
    }
  };
  visit(root, path);
  return places;
}

/** True when `path` is `above` or lies below it. */
export function isWithin(path: string, above: string): boolean {
  return path === above || path.startsWith(`${above}/`);
}

/** One of the places that `test` accepts. */
export function pickPlace(world: World, test: (place: Place) => boolean): Place | undefined {
  const fitting = world.places.filter(test);
  return fitting.length === 0 ? undefined : world.random.pick(fitting);
}

/**
 * A name, mostly out of a few, so that names are taken, left and taken again; sometimes bytes that are not UTF-8,
 * sometimes as long as a name may be.
 */
export function someName(random: Random): string {
  if (random.chance(80)) return random.pick([..."abcdefghijkl", "file.txt", "sub dir", "x1", "x2"]);
  if (random.chance(50)) return `n${random.between(0, 999)}`;
  const length = random.chance(20) ? random.between(200, 255) : random.between(1, 20);
  let name = "";
  while (name.length < length) {
    const byte = random.between(1, 255);
    if (byte !== 0x2f) name += String.fromCharCode(byte);
  }
  return name === "." || name === ".." ? "dots" : name;
}
