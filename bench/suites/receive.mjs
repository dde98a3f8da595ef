// Issue 4: receiving into a mounted btrfs, beside btrfs receive. Every round gets a filesystem of its own, on a loop device.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { btrkit, but, installed, script, warm } from "../benchmark.mjs";
import { makeImage, mount, needBtrfs, sh, unmount } from "../corpora/host.mjs";
import { realImage } from "../corpora/real.mjs";
import { smallFiles100k, writeHeavy } from "../corpora/synthetic.mjs";
import { Unavailable } from "../measure.mjs";

const PEAK_MIB = 300;

/**
 * @typedef {object} Streams
 * @property {string} stream
 * @property {string} [first] what has to be received before, untimed
 */

/**
 * @param {string} name
 * @param {string} title
 * @param {number} atLeast
 * @param {(cache: import("../corpora/cache.mjs").Cache) => Streams} locate
 * @param {{ mount?: string, flags?: readonly string[] }} [how]
 * @returns {import("../benchmark.mjs").Benchmark}
 */
function receive(name, title, atLeast, locate, { mount: mountOptions, flags = [] } = {}) {
  return {
    name,
    needs: "receive",
    issue: 4,
    title: `receive, ${title}`,
    peer: "btrfs receive",
    bar: { atLeast, peakMiB: PEAK_MIB },
    prepare(cache) {
      needBtrfs();
      const { stream, first } = locate(cache);
      warm(stream);
      const folder = mkdtempSync(join(tmpdir(), "btrkit-bench-receive-"));
      const place = new Destination(folder, mountOptions, first);
      const before = () => place.renew();
      const ours = but(btrkit("receive", "-q", ...flags, "-f", stream, place.root), { before });
      const peer = but(installed("btrfs", "-q", "receive", "-f", stream, place.root), { before });
      return {
        amount: statSync(stream).size,
        unit: "bytes",
        ours,
        peer,
        limit: script("limit.mjs", stream),
        check: () => [place.sumAfter(ours) === place.sumAfter(peer) ? "same tree as the peer's" : "**tree differs**"],
        done: () => place.remove(),
      };
    },
  };
}

/** A filesystem that is made anew. */
class Destination {
  /**
   * @param {string} folder
   * @param {string | undefined} mountOptions
   * @param {string | undefined} first
   */
  constructor(folder, mountOptions, first) {
    this.folder = folder;
    this.image = join(folder, "image");
    this.root = join(folder, "root");
    this.options = ["loop", "noatime", ...(mountOptions === undefined ? [] : [mountOptions])].join(",");
    this.first = first;
    this.isMounted = false;
  }

  renew() {
    this.#leave();
    rmSync(this.image, { force: true });
    makeImage(this.image, 6 * 2 ** 30);
    mount(["-o", this.options, this.image], this.root);
    this.isMounted = true;
    if (this.first !== undefined) sh("btrfs", "-q", "receive", "-f", this.first, this.root);
    sh("btrfs", "filesystem", "sync", this.root);
  }

  /**
   * Of names, attributes and contents that a command has received. Not of the time of the subvolume's own directory:
   * where a stream makes temporary names in it after its last UTIMES, the peer leaves the time of the receive.
   *
   * @param {import("../measure.mjs").Runnable | Unavailable} runnable
   */
  sumAfter(runnable) {
    if (runnable instanceof Unavailable) throw runnable;
    runnable.before?.();
    const [program, ...args] = /** @type {[string, ...string[]]} */ (runnable.command);
    sh(program, ...args);
    const attributes = "find . -mindepth 2 -printf '%P %y %m %U %G %n %l %T@\\n' | sort";
    const contents = "find . -type f -print0 | sort -z | xargs -0 cat";
    const { stdout } = spawnSync("bash", ["-c", `{ ${attributes}; ${contents}; } | sha256sum`], {
      cwd: this.root,
      encoding: "utf8",
    });
    return stdout;
  }

  remove() {
    this.#leave();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #leave() {
    if (this.isMounted) unmount(this.root);
    this.isMounted = false;
  }
}

/**
 * @template {object} Facts
 * @param {import("../corpora/cache.mjs").Recipe<Facts>} recipe
 * @param {(facts: Facts) => string} pick
 * @param {(facts: Facts) => string} [pickFirst]
 */
function from(recipe, pick, pickFirst) {
  return (/** @type {import("../corpora/cache.mjs").Cache} */ cache) => {
    const corpus = cache.get(recipe);
    const stream = join(corpus.folder, pick(corpus));
    return pickFirst === undefined ? { stream } : { stream, first: join(corpus.folder, pickFirst(corpus)) };
  };
}

export const receiveBenchmarks = [
  receive(
    "receive-real-v2",
    "v2 encoded, real data in 50,000 files",
    1.3,
    from(realImage, ({ v2 }) => v2),
  ),
  receive(
    "receive-real-v2-increment",
    "v2 encoded, an increment of 10 % of the files",
    1.3,
    from(
      realImage,
      ({ incrementalV2 }) => incrementalV2,
      ({ v2 }) => v2,
    ),
  ),
  receive(
    "receive-real-v1",
    "v1, real data in 50,000 files",
    1,
    from(realImage, ({ v1 }) => v1),
  ),
  receive(
    "receive-real-v1-zstd",
    "v1 into compress-force=zstd, real data in 50,000 files",
    1,
    from(realImage, ({ v1 }) => v1),
    { mount: "compress-force=zstd" },
  ),
  receive(
    "receive-write-heavy-v1",
    "v1, few large writes",
    1,
    from(writeHeavy, ({ v1 }) => v1),
  ),
  receive(
    "receive-small-files",
    "v1, 100,000 small files",
    1,
    from(smallFiles100k, ({ v1 }) => v1),
  ),
  receive(
    "receive-small-files-two-threads",
    "v1, 100,000 small files, --threads 2",
    1,
    from(smallFiles100k, ({ v1 }) => v1),
    { flags: ["--threads", "2"] },
  ),
];
