// The table of the patch series that brought encoded sends: one tree received as version 1 into a filesystem without
// compression and into one that compresses, and with its extents as they are stored. Elapsed time goes on until all is
// flushed, as a filesystem that compresses does so when it writes. `npm run bench -- series [--quick] [--rounds N]`.
import { parseArgs } from "node:util";
import { Cache } from "./corpora/cache.mjs";
import { cleanUp } from "./corpora/host.mjs";
import { interleave, Unavailable } from "./measure.mjs";
import { markdown } from "./report.mjs";
import { receiveBenchmarks } from "./suites/receive.mjs";

const { values: options } = parseArgs({
  options: { quick: { type: "boolean", default: false }, rounds: { type: "string", default: "3" } },
});

const ROWS = {
  "receive-real-v1": "v1 into compress=none",
  "receive-real-v1-zstd": "v1 into compress-force=zstd",
  "receive-real-v2": "compressed",
};

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});
try {
  const cache = new Cache({ quick: options.quick });
  const rows = Object.entries(ROWS).flatMap(([name, title]) => measure(name, title, cache));
  const heads = ["receive", "by", "elapsed s, flushed", "user s", "sys s", "peak MiB"];
  console.log(`least of ${options.rounds} rounds\n\n${markdown(heads, rows)}`);
} finally {
  cleanUp();
}

/**
 * @param {string} name
 * @param {string} title
 * @param {Cache} cache
 */
function measure(name, title, cache) {
  const benchmark = receiveBenchmarks.find((each) => each.name === name);
  if (benchmark === undefined) throw new RangeError(`no benchmark is called ${name}`);
  const contest = benchmark.prepare(cache);
  try {
    const contenders = { "btrfs receive": flushed(contest.peer), "btrkit receive": flushed(contest.ours) };
    return Object.entries(interleave(contenders, Number(options.rounds))).map(([who, outcome]) => {
      if ("absent" in outcome) return [title, who, outcome.absent, "", "", ""];
      const { elapsed, user, sys, rss } = outcome.cost;
      return [title, who, elapsed.toFixed(2), user.toFixed(2), sys.toFixed(2), (rss / 2 ** 20).toFixed(0)];
    });
  } finally {
    contest.done?.();
  }
}

/**
 * The command, and then what it has left to be written. Its destination comes last.
 *
 * @param {import("./measure.mjs").Runnable | Unavailable | undefined} runnable
 */
function flushed(runnable) {
  if (runnable === undefined || runnable instanceof Unavailable) return runnable ?? new Unavailable("nobody does it");
  const root = /** @type {string} */ (runnable.command.at(-1));
  return { ...runnable, command: ["sh", "-c", '"$@" && sync -f "$0"', root, ...runnable.command] };
}
