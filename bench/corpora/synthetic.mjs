// What real data seldom shows: few large writes, very many small commands, small files, a huge device.
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { coded, noise, prose } from "./generate.mjs";
import { makeImage, onMount, send, sh, snapshot, subvolume } from "./host.mjs";

const FEW = 8;
const MIB = 2 ** 20;

/**
 * Eight files of 176 MiB that compress to about 86 %, so that the encoded stream too is above 1 GiB. What compresses
 * are runs of zeros: to decode an extent is to copy it.
 *
 * @type {import("./cache.mjs").Recipe<{ v1: string, v2: string }>}
 */
export const writeHeavy = {
  name: "write-heavy",
  version: 1,
  build: (folder, cache) => fewFiles(folder, cache, (part) => noise(MIB, part, 0.85)),
};

/**
 * The same sizes of bytes that are coded one by one: to decode an extent is work.
 *
 * @type {import("./cache.mjs").Recipe<{ v1: string, v2: string }>}
 */
export const codedHeavy = {
  name: "coded-heavy",
  version: 1,
  build: (folder, cache) => fewFiles(folder, cache, (part) => coded(MIB, part)),
};

/**
 * @param {string} folder
 * @param {import("./cache.mjs").Cache} cache
 * @param {(part: number) => Uint8Array} mebibyte
 */
function fewFiles(folder, cache, mebibyte) {
  const image = join(folder, "image");
  makeImage(image, 2 ** 32);
  onMount(["-o", "loop,compress-force=zstd:1", image], (root) => {
    const live = subvolume(root, "live");
    for (let file = 0; file < FEW; file++) {
      const fd = openSync(join(live, `file-${file}`), "w");
      for (let part = 0; part < cache.scaled(176); part++) writeSync(fd, mebibyte(file * 1000 + part));
      closeSync(fd);
    }
    snapshot(root, "live", "one");
    send(join(folder, "full.v1"), join(root, "one"));
    send(join(folder, "full.v2"), "--proto", "2", "--compressed-data", join(root, "one"));
  });
  rmSync(image);
  return { v1: "full.v1", v2: "full.v2" };
}

/**
 * 320,000 empty files: for each the kernel sends mkfile, rename, chown, chmod and utimes.
 *
 * @type {import("./cache.mjs").Recipe<{ v1: string, files: number }>}
 */
export const metadataHeavy = {
  name: "metadata-heavy",
  version: 1,
  build(folder, cache) {
    const files = cache.scaled(320_000);
    const image = join(folder, "image");
    makeImage(image, 2 ** 32);
    onMount(["-o", "loop", image], (root) => {
      fill(subvolume(root, "live"), files, () => "");
      snapshot(root, "live", "one");
      send(join(folder, "full.v1"), join(root, "one"));
    });
    rmSync(image);
    return { v1: "full.v1", files };
  },
};

/**
 * Small files (inline and a few sectors) on btrfs with zstd:3, and their streams.
 *
 * @typedef {{ image: string, v1: string, v2: string, files: number, bytes: number }} SmallFiles
 * @param {string} name
 * @param {number} count
 * @returns {import("./cache.mjs").Recipe<SmallFiles>}
 */
function smallFiles(name, count) {
  return {
    name,
    version: 1,
    build(folder, cache) {
      const files = cache.scaled(count);
      const image = join(folder, "image");
      makeImage(image, 2 ** 32);
      let bytes = 0;
      onMount(["-o", "loop,compress=zstd:3", image], (root) => {
        fill(subvolume(root, "live"), files, (file) => {
          const size = 64 + ((file * 7919) % (file % 10 === 0 ? 12_000 : 1500));
          bytes += size;
          return prose(size, file);
        });
        snapshot(root, "live", "one");
        send(join(folder, "full.v1"), join(root, "one"));
        send(join(folder, "full.v2"), "--proto", "2", "--compressed-data", join(root, "one"));
      });
      return { image: "image", v1: "full.v1", v2: "full.v2", files, bytes };
    },
  };
}

export const smallFiles100k = smallFiles("small-files-100k", 100_000);
export const smallFiles200k = smallFiles("small-files-200k", 200_000);

/**
 * @param {string} root
 * @param {number} files
 * @param {(file: number) => string | Uint8Array} content
 */
function fill(root, files, content) {
  for (let file = 0; file < files; file++) {
    const folder = join(root, `folder-${Math.floor(file / 500)}`);
    if (file % 500 === 0) mkdirSync(folder);
    writeFileSync(join(folder, `file-${file}`), content(file));
  }
}

/**
 * A sparse 8 TiB device, 7 TiB of it preallocated to a file: some 7,000 chunks to know before the first tree is read.
 *
 * @type {import("./cache.mjs").Recipe<{ image: string, bytes: number }>}
 */
export const hugeImage = {
  name: "huge-image",
  version: 1,
  build(folder, cache) {
    const bytes = Math.max(2 ** 37, cache.scaled(2 ** 43));
    const image = join(folder, "image");
    makeImage(image, bytes);
    onMount(["-o", "loop", image], (root) => {
      for (let file = 0; file < 1000; file++) writeFileSync(join(root, `file-${file}`), prose(1000, file));
      sh("fallocate", "-l", String((bytes / 8) * 7), join(root, "preallocated"));
    });
    return { image: "image", bytes };
  },
};
