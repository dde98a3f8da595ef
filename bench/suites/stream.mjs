// Issue 2: dumping and verifying send streams.
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { btrkit, installed, script, warm } from "../benchmark.mjs";
import { realImage } from "../corpora/real.mjs";
import { codedHeavy, metadataHeavy, writeHeavy } from "../corpora/synthetic.mjs";
import { Unavailable } from "../measure.mjs";

const PEAK_MIB = 200;

/**
 * @param {string} name
 * @param {string} title
 * @param {number} atLeast
 * @param {"bytes" | "commands"} unit
 * @param {(cache: import("../corpora/cache.mjs").Cache) => string} locate
 * @returns {import("../benchmark.mjs").Benchmark}
 */
function dump(name, title, atLeast, unit, locate) {
  return {
    name,
    issue: 2,
    title: `receive --dump, ${title}`,
    peer: "btrfs receive --dump",
    bar: { atLeast, peakMiB: PEAK_MIB },
    prepare(cache) {
      const stream = locate(cache);
      warm(stream);
      const ours = btrkit("receive", "--dump", "-f", stream);
      const peer = installed("btrfs", "receive", "--dump", "-f", stream);
      return {
        amount: unit === "bytes" ? statSync(stream).size : linesOf(peer).lines,
        unit,
        ours,
        peer,
        limit: script("limit.mjs", stream),
        check: () => [linesOf(ours).sum === linesOf(peer).sum ? "same output as the peer's" : "**output differs**"],
      };
    },
  };
}

/**
 * How many lines a command prints, and their checksum.
 *
 * @param {import("../measure.mjs").Runnable | Unavailable} runnable
 */
function linesOf(runnable) {
  if (runnable instanceof Unavailable) throw runnable;
  const { stdout, stderr, status } = spawnSync(
    "bash",
    ["-c", 'set -o pipefail; "$@" | tee >(wc -l >&2) | sha256sum', "bash", ...runnable.command],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Unavailable(`\`${runnable.command.join(" ")}\` gave ${status}: ${stderr}`);
  return { lines: Number(stderr.trim().split("\n").at(-1)), sum: stdout };
}

/**
 * Our own single thread stands in the peer's place: nobody else verifies a stream.
 *
 * @param {string} name
 * @param {string} title
 * @param {number | undefined} atLeast none where there is next to nothing to decode
 * @param {(cache: import("../corpora/cache.mjs").Cache) => string} locate
 * @returns {import("../benchmark.mjs").Benchmark}
 */
function verify(name, title, atLeast, locate) {
  return {
    name,
    needs: "verify",
    issue: 2,
    title: `verify with decoding, 2 threads, ${title}`,
    peer: "the same with --threads 1",
    bar: { ...(atLeast && { atLeast }), peakMiB: PEAK_MIB },
    prepare(cache) {
      const stream = locate(cache);
      warm(stream);
      return {
        amount: statSync(stream).size,
        unit: "bytes",
        ours: btrkit("verify", "--threads", "2", stream),
        peer: btrkit("verify", "--threads", "1", stream),
        limit: script("limit.mjs", stream),
      };
    },
  };
}

/** @typedef {import("../corpora/cache.mjs").Cache} Cache */

/**
 * @template {object} Facts
 * @param {import("../corpora/cache.mjs").Recipe<Facts>} recipe
 * @param {(facts: Facts) => string} pick
 */
function from(recipe, pick) {
  return (/** @type {Cache} */ cache) => {
    const corpus = cache.get(recipe);
    return join(corpus.folder, pick(corpus));
  };
}

export const streamBenchmarks = [
  dump(
    "dump-write-heavy-v1",
    "v1, few large writes",
    1,
    "bytes",
    from(writeHeavy, ({ v1 }) => v1),
  ),
  dump(
    "dump-write-heavy-v2",
    "v2, few large encoded writes",
    1,
    "bytes",
    from(writeHeavy, ({ v2 }) => v2),
  ),
  dump(
    "dump-real-v1",
    "v1, real data in 50,000 files",
    1.5,
    "bytes",
    from(realImage, ({ v1 }) => v1),
  ),
  dump(
    "dump-real-v2",
    "v2 encoded, real data in 50,000 files",
    1.5,
    "bytes",
    from(realImage, ({ v2 }) => v2),
  ),
  dump(
    "dump-metadata",
    "v1, 320,000 empty files",
    3,
    "commands",
    from(metadataHeavy, ({ v1 }) => v1),
  ),
  verify(
    "verify-real-v2",
    "v2 encoded, real data in 50,000 files",
    1.6,
    from(realImage, ({ v2 }) => v2),
  ),
  verify(
    "verify-coded-heavy-v2",
    "v2, few large encoded writes",
    1.6,
    from(codedHeavy, ({ v2 }) => v2),
  ),
  verify(
    "verify-write-heavy-v2",
    "v2, few large encoded writes with next to nothing to decode",
    undefined,
    from(writeHeavy, ({ v2 }) => v2),
  ),
];
