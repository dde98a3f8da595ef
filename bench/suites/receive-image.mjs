// Issue 6: receiving into an image that nothing has mounted, beside btrfs receive into a loop btrfs of the same size.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { btrkit, but, installed, script, warm } from "../benchmark.mjs";
import { makeImage, mount, needBtrfs, sh, unmount } from "../corpora/host.mjs";
import { realImage } from "../corpora/real.mjs";
import { smallFiles100k } from "../corpora/synthetic.mjs";
import { Unavailable } from "../measure.mjs";

const PEAK_MIB = 500;
const IMAGE_BYTES = 6 * 2 ** 30;

/**
 * @param {string} name
 * @param {string} title
 * @param {number} atLeast
 * @param {(cache: import("../corpora/cache.mjs").Cache) => string} locate the stream
 * @param {{ mount?: string, flags?: readonly string[], files?: number }} [how]
 * @returns {import("../benchmark.mjs").Benchmark}
 */
function receiveImage(name, title, atLeast, locate, { mount: mountOptions, flags = [], files } = {}) {
  return {
    name,
    needs: "receive",
    issue: 6,
    title: `receive into an image, ${title}`,
    peer: "btrfs receive",
    bar: { atLeast, peakMiB: PEAK_MIB },
    prepare(cache) {
      needBtrfs();
      const stream = locate(cache);
      warm(stream);
      const folder = mkdtempSync(join(tmpdir(), "btrkit-bench-receive-image-"));
      const contest = new Contest(folder, mountOptions);
      const ours = but(btrkit("receive", "-q", ...flags, "-f", stream, `${contest.image}:/`), {
        before: () => contest.renew(),
      });
      const peer = but(installed("btrfs", "-q", "receive", "-f", stream, contest.root), {
        before: () => contest.renewMounted(),
      });
      return {
        amount: files ?? statSync(stream).size,
        unit: files === undefined ? "bytes" : "files",
        ours,
        peer,
        limit: script("limit.mjs", stream),
        check: () => contest.compare(ours, peer),
        done: () => contest.remove(),
      };
    },
  };
}

/** One image, in which either of the two begins with an empty filesystem. */
class Contest {
  /**
   * @param {string} folder
   * @param {string | undefined} mountOptions
   */
  constructor(folder, mountOptions) {
    this.folder = folder;
    this.image = join(folder, "image.img");
    this.root = join(folder, "root");
    this.options = ["loop", "noatime", ...(mountOptions === undefined ? [] : [mountOptions])].join(",");
    this.isMounted = false;
  }

  renew() {
    this.#leave();
    rmSync(this.image, { force: true });
    makeImage(this.image, IMAGE_BYTES);
  }

  renewMounted() {
    this.renew();
    this.#enter();
    sh("btrfs", "filesystem", "sync", this.root);
  }

  /**
   * @param {import("../measure.mjs").Runnable | Unavailable} ours
   * @param {import("../measure.mjs").Runnable | Unavailable} peer
   */
  compare(ours, peer) {
    const same = this.#sumAfter(ours, true) === this.#sumAfter(peer, false);
    return [same ? "same tree as the peer's, btrfs check clean" : "**tree differs**"];
  }

  remove() {
    this.#leave();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /**
   * Of names, attributes and contents that a command has received.
   *
   * @param {import("../measure.mjs").Runnable | Unavailable} runnable
   * @param {boolean} isOurs
   */
  #sumAfter(runnable, isOurs) {
    if (runnable instanceof Unavailable) throw runnable;
    runnable.before?.();
    const [program, ...args] = /** @type {[string, ...string[]]} */ (runnable.command);
    sh(program, ...args);
    if (isOurs) {
      sh("btrfs", "check", "--check-data-csum", this.image);
      this.#enter();
    }
    // The time of the subvolume's own directory is the sender's, or that of the receive.
    const attributes = "find . -mindepth 2 -printf '%P %y %m %U %G %n %l %T@\\n' | sort";
    const contents = "find . -type f -print0 | sort -z | xargs -0 cat";
    const { stdout } = spawnSync("bash", ["-c", `{ ${attributes}; ${contents}; } | sha256sum`], {
      cwd: this.root,
      encoding: "utf8",
    });
    return stdout;
  }

  #enter() {
    mount(["-o", this.options, this.image], this.root);
    this.isMounted = true;
  }

  #leave() {
    if (this.isMounted) unmount(this.root);
    this.isMounted = false;
  }
}

/** @typedef {import("../corpora/cache.mjs").Cache} Cache */

const real = (/** @type {Cache} */ cache) => cache.get(realImage);

export const receiveImageBenchmarks = [
  receiveImage("receive-image-real-v2", "v2 encoded, real data in 50,000 files", 2, (cache) => {
    const { folder, v2 } = real(cache);
    return join(folder, v2);
  }),
  receiveImage(
    "receive-image-v1-zstd",
    "v1 with --compress zstd:3, real data in 50,000 files",
    1,
    (cache) => {
      const { folder, v1 } = real(cache);
      return join(folder, v1);
    },
    { mount: "compress=zstd:3", flags: ["--compress", "zstd:3"] },
  ),
  receiveImage(
    "receive-image-small-files",
    "v1, 100,000 small files",
    1,
    (cache) => {
      const { folder, v1 } = cache.get(smallFiles100k);
      return join(folder, v1);
    },
    { files: 100_000 },
  ),
];
