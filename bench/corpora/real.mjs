// Real data: this machine's own files, as a tree, as a zstd:3 image with a snapshot of a 10 % change, and as streams.
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  opendirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { hash, noise, prose, random } from "./generate.mjs";
import { makeImage, onMount, send, sh, snapshot, subvolume } from "./host.mjs";

const SOURCES = ["/usr", "/opt", "/var/lib", "/srv"];
const FILES = 50_000;
const BYTES = 1.5 * 2 ** 30;
const LARGEST = 16 * 2 ** 20;
/** How far the total may stray from the count before the choice narrows. */
const SLACK = 2 ** 21;

/**
 * At least 1.5 GiB in 50,000 files. Files are taken in the order of a hash of their paths; where the total runs ahead of
 * the count, or behind, only smaller, or larger, ones for a while. Generated text and noise fill up what is lacking.
 *
 * @type {import("./cache.mjs").Recipe<{ tree: string, paths: string, files: number, bytes: number, generated: number }>}
 */
export const realTree = {
  name: "real-tree",
  version: 1,
  build(folder, cache) {
    const [files, bytes] = [cache.scaled(FILES), cache.scaled(BYTES)];
    const tree = join(folder, "tree");
    /** @type {string[]} */
    const paths = [];
    let total = 0;
    const average = (1.02 * bytes) / files;
    for (const path of ownFiles(resolve(cache.root, ".."))) {
      if (paths.length >= files && total >= bytes) break;
      const ahead = total - paths.length * average;
      const [least, most] = ahead < -SLACK ? [average, LARGEST] : [0, ahead > SLACK ? average : LARGEST];
      const size = copy(path, join(tree, path), least, most);
      if (size === undefined) continue;
      paths.push(path.slice(1));
      total += size;
    }
    const own = paths.length;
    while (paths.length < files || total < bytes) {
      const number = paths.length;
      const path = `generated/${number % 100}/${number}`;
      const size = 4096 * (1 + (hash(path) % 16));
      mkdirSync(join(tree, dirname(path)), { recursive: true });
      writeFileSync(join(tree, path), number % 2 === 0 ? prose(size, number) : noise(size, number, 0.6));
      paths.push(path);
      total += size;
    }
    writeFileSync(join(folder, "paths.json"), JSON.stringify(paths));
    return { tree: "tree", paths: "paths.json", files: paths.length, bytes: total, generated: paths.length - own };
  },
};

/**
 * Regular files of this machine, by the hash of their paths.
 *
 * @param {string} except
 */
function ownFiles(except) {
  const here = resolve(import.meta.dirname, "../..");
  /** @type {string[]} */
  const found = [];
  const folders = SOURCES.filter((folder) => existsSync(folder));
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    if (folder === except || folder === here) continue;
    for (const entry of entriesOf(folder)) {
      if (entry.isDirectory()) folders.push(join(folder, entry.name));
      else if (entry.isFile()) found.push(join(folder, entry.name));
    }
  }
  const keyed = found.map((path) => ({ path, key: hash(path) }));
  return keyed.sort((a, b) => a.key - b.key || (a.path < b.path ? -1 : 1)).map(({ path }) => path);
}

/** @param {string} folder */
function entriesOf(folder) {
  const entries = [];
  try {
    const open = opendirSync(folder);
    for (let entry = open.readSync(); entry !== null; entry = open.readSync()) entries.push(entry);
    open.closeSync();
  } catch (error) {
    if (!isErrno(error)) throw error;
  }
  return entries;
}

/**
 * Its size, or `undefined` where that is outside the range, or the file is unreadable or gone.
 *
 * @param {string} from
 * @param {string} to
 * @param {number} least
 * @param {number} most
 */
function copy(from, to, least, most) {
  try {
    const { size, mode, mtime } = statSync(from);
    if (size < least || size > most) return undefined;
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(from, to);
    chmodSync(to, mode & 0o7777);
    utimesSync(to, mtime, mtime);
    return statSync(to).size;
  } catch (error) {
    if (!isErrno(error)) throw error;
    return undefined;
  }
}

/** @param {unknown} error */
function isErrno(error) {
  return error instanceof Error && "errno" in error;
}

/**
 * The tree on btrfs with zstd:3: snapshots `one` and, after a change of 10 % of the files, `two`; their streams.
 *
 * @typedef {{ image: string, v1: string, v2: string, incrementalV1: string, incrementalV2: string, files: number, bytes: number }} RealImage
 * @type {import("./cache.mjs").Recipe<RealImage>}
 */
export const realImage = {
  name: "real-image",
  version: 1,
  build(folder, cache) {
    const { folder: source, tree, paths, files, bytes } = cache.get(realTree);
    const streams = { v1: "full.v1", v2: "full.v2", incrementalV1: "incremental.v1", incrementalV2: "incremental.v2" };
    const image = makeSnapshots(join(folder, "image"), 2 ** 33, (live) => {
      sh("cp", "-a", `${join(source, tree)}/.`, live);
      return readPaths(join(source, paths));
    });
    onMount(["-o", "loop,ro,noatime", image], (root) => {
      const [one, two] = [join(root, "one"), join(root, "two")];
      const encoded = ["--proto", "2", "--compressed-data"];
      send(join(folder, streams.v1), one);
      send(join(folder, streams.v2), ...encoded, one);
      send(join(folder, streams.incrementalV1), "-p", one, two);
      send(join(folder, streams.incrementalV2), ...encoded, "-p", one, two);
    });
    return { image: "image", ...streams, files, bytes };
  },
};

/**
 * Four copies of the tree in one filesystem, and the same snapshots.
 *
 * @type {import("./cache.mjs").Recipe<{ image: string, files: number, bytes: number }>}
 */
export const realImageLarge = {
  name: "real-image-large",
  version: 1,
  build(folder, cache) {
    const { folder: source, tree, paths, files, bytes } = cache.get(realTree);
    const copies = ["a", "b", "c", "d"];
    makeSnapshots(join(folder, "image"), 2 ** 35, (live) => {
      for (const copy of copies) sh("cp", "-a", join(source, tree), join(live, copy));
      return copies.flatMap((copy) => readPaths(join(source, paths)).map((path) => join(copy, path)));
    });
    return { image: "image", files: copies.length * files, bytes: copies.length * bytes };
  },
};

/**
 * @param {string} image to be made
 * @param {number} size in bytes
 * @param {(live: string) => readonly string[]} fill gives the paths of all files
 */
function makeSnapshots(image, size, fill) {
  makeImage(image, size);
  onMount(["-o", "loop,compress=zstd:3,noatime", image], (root) => {
    const live = subvolume(root, "live");
    const paths = fill(live);
    snapshot(root, "live", "one");
    change(live, paths);
    snapshot(root, "live", "two");
  });
  return image;
}

/**
 * @param {string} file
 * @returns {readonly string[]}
 */
function readPaths(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

/**
 * Changes every tenth file: overwritten in part, lengthened, replaced, renamed, removed or cut short.
 *
 * @param {string} live
 * @param {readonly string[]} paths
 */
function change(live, paths) {
  const next = random(10);
  for (let i = 0; i < paths.length; i += 10) {
    const path = join(live, /** @type {string} */ (paths[i]));
    const { size, mode } = statSync(path);
    const fresh = prose(4096 + (next() % 65536), i);
    const turn = next() % 10;
    chmodSync(path, mode | 0o200);
    if (turn < 4) writeAt(path, fresh.subarray(0, Math.max(1, size >> 1)), size >> 2);
    else if (turn < 6) writeAt(path, fresh, size);
    else if (turn < 8) writeFileSync(path, fresh);
    else if (turn < 9) renameSync(path, `${path}.renamed`);
    else if (i % 20 === 0) unlinkSync(path);
    else truncateSync(path, size >> 1);
  }
}

/**
 * @param {string} path
 * @param {Uint8Array} data
 * @param {number} at
 */
function writeAt(path, data, at) {
  const fd = openSync(path, "r+");
  writeSync(fd, data, 0, data.byteLength, at);
  closeSync(fd);
}
