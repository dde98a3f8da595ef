// Issue 3: reading unmounted images.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { btrkit, but, installed, warm } from "../benchmark.mjs";
import { mount, unmount } from "../corpora/host.mjs";
import { realImage } from "../corpora/real.mjs";
import { smallFiles100k } from "../corpora/synthetic.mjs";

const PEAK_MIB = 300;

/** @type {import("../benchmark.mjs").Benchmark} */
const restoreReal = {
  name: "restore-real",
  needs: "restore",
  issue: 3,
  title: "restore of 50,000 files, zstd:3, to tmpfs",
  peer: "btrfs restore -xmS",
  bar: { atLeast: 2, peakMiB: PEAK_MIB },
  prepare(cache) {
    const { folder, image, bytes } = cache.get(realImage);
    const file = join(folder, image);
    warm(file);
    const memory = mount(["-t", "tmpfs", "-o", "size=6g", "none"]);
    const target = join(memory, "target");
    const before = () => {
      rmSync(target, { recursive: true, force: true });
      mkdirSync(target);
    };
    return {
      amount: bytes,
      unit: "bytes",
      ours: but(btrkit("restore", `${file}:/live`, target), { before }),
      // 256 is the first subvolume of a filesystem: `live`.
      peer: but(installed("btrfs", "restore", "-xmS", "-r", "256", file, target), { before }),
      done: () => unmount(memory),
    };
  },
};

/** @type {import("../benchmark.mjs").Benchmark} */
const listSmall = {
  name: "ls-small",
  needs: "ls",
  issue: 3,
  title: "ls -R of 100,000 files",
  peer: "find on the freshly mounted image",
  bar: { atLeast: 0.5, peakMiB: PEAK_MIB },
  prepare(cache) {
    const { folder, image, files } = cache.get(smallFiles100k);
    const file = join(folder, image);
    warm(file);
    let root = mount(["-o", "loop,ro", file]);
    const before = () => {
      unmount(root);
      root = mount(["-o", "loop,ro", file], root);
    };
    return {
      amount: files,
      unit: "files",
      ours: btrkit("ls", "-R", `${file}:/live`),
      peer: but(installed("find", join(root, "live")), { before }),
      done: () => unmount(root),
    };
  },
};

/** @type {import("../benchmark.mjs").Benchmark} */
const usageReal = {
  name: "du-real",
  needs: "du",
  issue: 3,
  title: "du of 50,000 files",
  peer: "compsize on the mounted image",
  bar: { peakMiB: PEAK_MIB },
  prepare(cache) {
    const { folder, image, files } = cache.get(realImage);
    const file = join(folder, image);
    warm(file);
    const root = mount(["-o", "loop,ro", file]);
    return {
      amount: files,
      unit: "files",
      ours: btrkit("du", `${file}:/live`),
      peer: installed("compsize", "-x", join(root, "live")),
      done: () => unmount(root),
    };
  },
};

export const imageBenchmarks = [restoreReal, listSmall, usageReal];
