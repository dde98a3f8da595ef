// Issue 5: send streams out of unmounted images, beside the kernel's send of the same image on its mount.
import { join } from "node:path";
import { btrkit, but, installed, warm } from "../benchmark.mjs";
import { mount, unmount } from "../corpora/host.mjs";
import { realImage, realImageLarge } from "../corpora/real.mjs";
import { smallFiles200k } from "../corpora/synthetic.mjs";

const PEAK_MIB = 400;
const ENCODED = ["--proto", "2", "--compressed-data"];

/**
 * One send, ours of the image and the kernel's of the mount, both to /dev/null.
 *
 * @param {object} about
 * @param {string} about.name
 * @param {string} about.title
 * @param {import("../benchmark.mjs").Bar} about.bar
 * @param {import("../corpora/cache.mjs").Recipe<{ image: string }>} about.recipe
 * @param {readonly string[]} about.options
 * @param {string} about.snapshot
 * @param {string} [about.parent]
 * @param {boolean} [about.fresh] the kernel's side is mounted anew for each round
 * @param {boolean} [about.live] ours sends what is mounted, too
 * @returns {import("../benchmark.mjs").Benchmark}
 */
function sending({ name, title, bar, recipe, options, snapshot, parent, fresh = false, live = false }) {
  return {
    name,
    needs: "send",
    issue: 5,
    title,
    peer: ["btrfs send", ...options, fresh ? "of the freshly mounted image" : "of the mount"].join(" "),
    bar,
    prepare(cache) {
      const { folder, image, ...facts } = cache.get(recipe);
      const file = join(folder, image);
      warm(file);
      let root = mount(["-o", "loop,ro,noatime", file]);
      /** @param {(snapshot: string) => string} at */
      const args = (at) => [
        ...["-q", ...options, "-f", "/dev/null"],
        ...(parent === undefined ? [] : ["-p", at(parent)]),
        at(snapshot),
      ];
      const remount = () => {
        unmount(root);
        root = mount(["-o", "loop,ro,noatime", file], root);
      };
      const mounted = args((one) => join(root, one));
      const peer = installed("btrfs", "send", ...mounted);
      const bytes = /** @type {{ bytes?: number }} */ (facts).bytes ?? 0;
      return {
        amount: bytes,
        unit: "bytes",
        ours: live
          ? btrkit("send", "--engine", "btrkit", ...mounted)
          : btrkit("send", ...args((one) => `${file}:/${one}`)),
        peer: fresh ? but(peer, { before: remount }) : peer,
        done: () => unmount(root),
      };
    },
  };
}

export const sendBenchmarks = [
  sending({
    name: "send-full-compressed",
    title: "full send of 50,000 files, extents as stored",
    bar: { atLeast: 4, peakMiB: PEAK_MIB },
    recipe: realImage,
    options: ENCODED,
    snapshot: "one",
  }),
  sending({
    name: "send-full-v1",
    title: "full send of 50,000 files, decoded",
    bar: { atLeast: 2, peakMiB: PEAK_MIB },
    recipe: realImage,
    options: ["--proto", "1"],
    snapshot: "one",
  }),
  sending({
    name: "send-incremental",
    title: "incremental send of a change of 10 %, extents as stored",
    bar: { atLeast: 3, peakMiB: PEAK_MIB },
    recipe: realImage,
    options: ENCODED,
    snapshot: "two",
    parent: "one",
  }),
  sending({
    name: "send-incremental-fresh",
    title: "the same, of what was just mounted",
    bar: { atLeast: 3, peakMiB: PEAK_MIB },
    recipe: realImage,
    options: ENCODED,
    snapshot: "two",
    parent: "one",
    fresh: true,
  }),
  sending({
    name: "send-incremental-large",
    title: "the same of 6 GiB in 200,000 files",
    bar: { atLeast: 3, peakMiB: PEAK_MIB },
    recipe: realImageLarge,
    options: ENCODED,
    snapshot: "two",
    parent: "one",
  }),
  sending({
    name: "send-full-large",
    title: "full send of 6 GiB in 200,000 files, extents as stored",
    bar: { atLeast: 4, peakMiB: PEAK_MIB },
    recipe: realImageLarge,
    options: ENCODED,
    snapshot: "one",
  }),
  sending({
    name: "send-metadata",
    title: "full send of 200,000 small files",
    bar: { atLeast: 2, peakMiB: PEAK_MIB },
    recipe: smallFiles200k,
    options: ENCODED,
    snapshot: "one",
  }),
  sending({
    name: "send-live",
    title: "full send of what is mounted, by our own engine",
    bar: { peakMiB: PEAK_MIB },
    recipe: realImage,
    options: ENCODED,
    snapshot: "one",
    live: true,
  }),
];
