import {
  type Inode,
  isWithin,
  newInode,
  type Place,
  pickPlace,
  placesOf,
  type Step,
  someName,
  type World,
} from "./world.ts";

/** Paths stay below this, well under PATH_MAX, for whole subtrees that move. */
const MAX_PATH_BYTES = 2500;

interface Spot {
  readonly path: string;
  readonly name: string;
  readonly parent: Inode;
}

const anything = (): boolean => true;
const isDirectory = (place: Place): boolean => place.inode.kind === "dir";
const isNoDirectory = (place: Place): boolean => place.inode.kind !== "dir";

/** A directory to put something into, the top among them. */
function someDirectory(world: World): { readonly path: string; readonly inode: Inode } {
  return world.random.pick([{ path: world.live, inode: world.root }, ...world.places.filter(isDirectory)]);
}

/** A free name, most of the time. */
export function freeSpot(world: World): Spot | undefined {
  const directory = someDirectory(world);
  const name = someName(world.random);
  const path = `${directory.path}/${name}`;
  if (directory.inode.children.has(name) || path.length > MAX_PATH_BYTES) return undefined;
  return { path, name, parent: directory.inode };
}

/** Where a name in the way can be left for a moment. */
function temporarySpot(world: World): Spot {
  let name = "temporary";
  while (world.root.children.has(name)) name += "+";
  return { path: `${world.live}/${name}`, name, parent: world.root };
}

function put(spot: Spot, inode: Inode): void {
  spot.parent.children.set(spot.name, inode);
}

export function create(world: World, spot: Spot, kind: Inode["kind"]): void {
  const { random } = world;
  const { path } = spot;
  put(spot, newInode(kind));
  if (kind === "file") world.emit({ op: "create", path });
  else if (kind === "dir") world.emit({ op: "mkdir", path });
  else if (kind === "symlink") {
    const target = random.chance(30) ? someName(random) : random.pick(["a/b", "../c", "/etc/passwd", "x".repeat(1000)]);
    world.emit({ op: "symlink", path, target });
  } else {
    const mode = random.pick([0o010644, 0o140755, 0o020600, 0o060660]);
    const isDevice = mode < 0o100000 && mode !== 0o010644;
    const [major, minor] = isDevice ? [random.between(0, 511), random.between(0, 70_000)] : [0, 0];
    world.emit({ op: "mknod", path, mode, major, minor });
  }
}

function move(world: World, from: Place, to: Spot): void {
  world.emit({ op: "rename", from: from.path, path: to.path });
  from.parent.children.delete(from.name);
  put(to, from.inode);
}

function remove(world: World, place: Place): void {
  for (const below of placesOf(place.inode, place.path).reverse()) {
    world.emit({ op: below.inode.kind === "dir" ? "rmdir" : "unlink", path: below.path });
  }
  world.emit({ op: place.inode.kind === "dir" ? "rmdir" : "unlink", path: place.path });
  place.parent.children.delete(place.name);
}

/** Longest path below `place`, counted from its own name. */
function depthBytes(place: Place): number {
  return Math.max(0, ...placesOf(place.inode, "").map((below) => below.path.length));
}

function fits(world: World, place: Place, path: string): boolean {
  return !isWithin(path, place.path) && path.length + depthBytes(place) <= MAX_PATH_BYTES && path !== world.live;
}

const make =
  (kind: Inode["kind"]): Step =>
  (world) => {
    const spot = freeSpot(world);
    if (spot !== undefined) create(world, spot, kind);
  };

const rename: Step = (world) => {
  const place = pickPlace(world, anything);
  const spot = freeSpot(world);
  if (place !== undefined && spot !== undefined && fits(world, place, spot.path)) move(world, place, spot);
};

/** Onto a name that is taken: by a file, or by an empty directory. */
const replace: Step = (world) => {
  const place = pickPlace(world, anything);
  if (place === undefined) return;
  const isDirectory = place.inode.kind === "dir";
  const target = pickPlace(
    world,
    ({ inode }) => inode !== place.inode && (inode.kind === "dir") === isDirectory && inode.children.size === 0,
  );
  if (target !== undefined && fits(world, place, target.path)) move(world, place, target);
};

const exchange: Step = (world) => {
  const first = pickPlace(world, anything);
  const second = pickPlace(world, anything);
  if (first === undefined || second === undefined || first.inode === second.inode) return;
  if (!fits(world, first, second.path) || !fits(world, second, first.path)) return;
  world.emit({ op: "exchange", from: first.path, path: second.path });
  put(first, second.inode);
  put(second, first.inode);
};

/** `p/c` becomes `c/p`: the child takes its parent's place, and the parent moves into it. */
const invert: Step = (world) => {
  const child = pickPlace(world, isDirectory);
  const parent = world.places.find((place) => place.inode === child?.parent);
  if (child === undefined || parent === undefined) return;
  const grown = parent.path.length + child.name.length + parent.name.length + depthBytes(parent);
  if (grown > MAX_PATH_BYTES || child.inode.children.has(parent.name)) return;
  const aside = temporarySpot(world);
  move(world, child, aside);
  move(world, parent, { path: `${aside.path}/${parent.name}`, name: parent.name, parent: child.inode });
  move(world, { ...aside, inode: child.inode }, { ...parent, path: parent.path });
};

/** Three names of one directory go round. */
const rotate: Step = (world) => {
  const { inode, path } = someDirectory(world);
  const names = [...inode.children.keys()].slice(0, 3);
  if (names.length < 3) return;
  const places = names.map((name) => ({
    path: `${path}/${name}`,
    name,
    parent: inode,
    inode: inode.children.get(name)!,
  }));
  const [a, b, c] = places as [Place, Place, Place];
  const longest = Math.max(...places.map(depthBytes)) + Math.max(...places.map((place) => place.path.length));
  if (longest > MAX_PATH_BYTES) return;
  const aside = temporarySpot(world);
  move(world, a, aside);
  move(world, b, a);
  move(world, c, b);
  move(world, { ...aside, inode: a.inode }, c);
};

/** The same name at once for something new, of any kind. */
const recreate: Step = (world) => {
  const place = pickPlace(world, ({ inode }) => inode.children.size < 4);
  if (place === undefined) return;
  remove(world, place);
  create(world, place, world.random.pick(["file", "dir", "symlink"]));
};

const link: Step = (world) => {
  const place = pickPlace(world, isNoDirectory);
  const spot = freeSpot(world);
  if (place === undefined || spot === undefined) return;
  world.emit({ op: "link", from: place.path, path: spot.path });
  put(spot, place.inode);
};

const unlink: Step = (world) => {
  const place = pickPlace(world, isNoDirectory);
  if (place !== undefined) remove(world, place);
};

const SMALL_TREE = 8;

/** A small directory and all below it. */
const removeSmallTree: Step = (world) => {
  const place = pickPlace(world, (place) => isDirectory(place) && placesOf(place.inode, "").length < SMALL_TREE);
  if (place !== undefined) remove(world, place);
};

/** Any directory and all below it. */
export const removeTree: Step = (world) => {
  const place = pickPlace(world, isDirectory) ?? pickPlace(world, anything);
  if (place !== undefined) remove(world, place);
};

/** Steps that change what has which name. */
export const nameSteps = {
  create: make("file"),
  mkdir: make("dir"),
  symlink: make("symlink"),
  special: make("special"),
  rename,
  replace,
  exchange,
  invert,
  rotate,
  recreate,
  link,
  unlink,
  removeTree: removeSmallTree,
} satisfies Record<string, Step>;
