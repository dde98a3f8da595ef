// Issue 6: filesystems of directories, beside mkfs.btrfs and beside tar and zstd.
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { btrkit, but, installed, isInstalled } from "../benchmark.mjs";
import { mount, unmount } from "../corpora/host.mjs";
import { realTree } from "../corpora/real.mjs";
import { smallFiles100k } from "../corpora/synthetic.mjs";
import { Unavailable } from "../measure.mjs";

const PEAK_MIB = 500;

/**
 * @typedef {object} Source
 * @property {string} tree
 * @property {number} amount
 * @property {"bytes" | "files"} unit
 * @property {() => void} [done]
 */

/**
 * @param {string} name
 * @param {string} title
 * @param {string} peerName
 * @param {number} atLeast
 * @param {(cache: import("../corpora/cache.mjs").Cache) => Source} locate
 * @param {readonly string[]} flags
 * @param {(tree: string, target: string) => import("../measure.mjs").Runnable | Unavailable} makePeer
 * @returns {import("../benchmark.mjs").Benchmark}
 */
function fill(name, title, peerName, atLeast, locate, flags, makePeer) {
  return {
    name,
    needs: "mkfs",
    issue: 6,
    title: `mkfs --rootdir, ${title}`,
    peer: peerName,
    bar: { atLeast, peakMiB: PEAK_MIB },
    prepare(cache) {
      const { tree, amount, unit, done } = locate(cache);
      // Every contender finds the files in the page cache.
      spawnSync("tar", ["-C", tree, "-cf", "/dev/null", "--totals", "."], { stdio: "ignore" });
      spawnSync("bash", ["-c", 'find "$1" -type f -print0 | xargs -0 cat > /dev/null', "-", tree]);
      const folder = mkdtempSync(join(tmpdir(), "btrkit-bench-write-"));
      const [image, target] = [join(folder, "image"), join(folder, "target")];
      const before = () => rmSync(image, { force: true });
      const ours = but(btrkit("mkfs", "--quiet", "--rootdir", tree, ...flags, image), { before });
      return {
        amount,
        unit,
        ours,
        peer: makePeer(tree, target),
        check: () => [checked(ours, image)],
        done: () => {
          rmSync(folder, { recursive: true, force: true });
          done?.();
        },
      };
    },
  };
}

/**
 * What btrfs check says of an image that a command makes.
 *
 * @param {import("../measure.mjs").Runnable | Unavailable} runnable
 * @param {string} image
 */
function checked(runnable, image) {
  if (runnable instanceof Unavailable) throw runnable;
  runnable.before?.();
  const [program, ...args] = /** @type {[string, ...string[]]} */ (runnable.command);
  spawnSync(program, args);
  if (!isInstalled("btrfs")) return "not checked: no btrfs-progs";
  const { status } = spawnSync("btrfs", ["check", "--check-data-csum", image]);
  return status === 0 ? "btrfs check finds nothing" : "**btrfs check finds errors**";
}

/**
 * @param {string} tree
 * @param {string} target
 */
function mkfsBtrfs(tree, target) {
  const before = () => {
    rmSync(target, { force: true });
    closeSync(openSync(target, "w"));
    truncateSync(target, 4 * 2 ** 30);
  };
  return but(installed("mkfs.btrfs", "-q", "--rootdir", tree, target), { before });
}

/**
 * @param {string} tree
 * @param {string} target
 */
function tarZstd(tree, target) {
  if (!isInstalled("zstd")) return new Unavailable("zstd is not installed");
  const pipe = 'tar -C "$1" -cf - . | zstd -q -f -3 -T2 -o "$2" && sync -d "$2"';
  return { command: ["bash", "-c", pipe, "-", tree, target], before: () => rmSync(target, { force: true }) };
}

/** @param {import("../corpora/cache.mjs").Cache} cache */
function real(cache) {
  const { folder, tree, bytes } = cache.get(realTree);
  return { tree: join(folder, tree), amount: bytes, unit: /** @type {const} */ ("bytes") };
}

/** @param {import("../corpora/cache.mjs").Cache} cache */
function small(cache) {
  const { folder, image, files } = cache.get(smallFiles100k);
  const root = mount(["-o", "loop,ro", join(folder, image)]);
  return { tree: join(root, "live"), amount: files, unit: /** @type {const} */ ("files"), done: () => unmount(root) };
}

export const writeBenchmarks = [
  fill("mkfs-real", "1.5 GiB in 50,000 files", "mkfs.btrfs --rootdir", 1, real, [], mkfsBtrfs),
  fill(
    "mkfs-real-zstd",
    "1.5 GiB in 50,000 files, --compress zstd:3",
    "tar, zstd -3 -T2, sync",
    1 / 1.5,
    real,
    ["--compress", "zstd:3"],
    tarZstd,
  ),
  fill("mkfs-small-files", "100,000 small files", "mkfs.btrfs --rootdir", 1, small, [], mkfsBtrfs),
];
