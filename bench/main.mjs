// `npm run bench -- [NAME...] [--list] [--quick] [--rounds N] [--issue N] [--all] [--json FILE]`
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { help } from "./benchmark.mjs";
import { Cache } from "./corpora/cache.mjs";
import { cleanUp } from "./corpora/host.mjs";
import { interleave, Unavailable } from "./measure.mjs";
import { table, verdict } from "./report.mjs";
import { imageBenchmarks } from "./suites/images.mjs";
import { receiveBenchmarks } from "./suites/receive.mjs";
import { receiveImageBenchmarks } from "./suites/receive-image.mjs";
import { sendBenchmarks } from "./suites/send.mjs";
import { streamBenchmarks } from "./suites/stream.mjs";
import { writeBenchmarks } from "./suites/write.mjs";

/** @type {readonly import("./benchmark.mjs").Benchmark[]} */
const EVERY = [
  ...streamBenchmarks,
  ...imageBenchmarks,
  ...sendBenchmarks,
  ...receiveBenchmarks,
  ...receiveImageBenchmarks,
  ...writeBenchmarks,
];

/** What measures itself inside one process, and prints tables of its own. */
const REPORTS = {
  throughput: "codecs and checksums, one thread",
  series: "issue 4: one tree received as v1, into a filesystem that compresses, and compressed",
  reading: "issue 3: extents of an image as they are stored; opening 8 TiB",
};

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    list: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    json: { type: "string" },
    all: { type: "boolean", default: false },
    issue: { type: "string", multiple: true, default: [] },
  },
});

// What measures a command that is not there yet waits for it; `--all` shows its peers.
const commands = help();
const BENCHMARKS = EVERY.filter(
  ({ needs }) => needs === undefined || options.all || commands.includes(`\n  ${needs} `),
);

if (options.list) {
  for (const [name, title] of Object.entries(REPORTS)) console.log(`${name.padEnd(28)} ${title}`);
  for (const { name, issue, title } of BENCHMARKS) console.log(`${name.padEnd(28)} issue ${issue}: ${title}`);
} else if (wanted.some((name) => name in REPORTS)) {
  for (const name of wanted.filter((word) => word in REPORTS)) {
    const more = [...(options.quick ? ["--quick"] : []), ...(name === "series" ? ["--rounds", options.rounds] : [])];
    spawnSync(process.execPath, [join(import.meta.dirname, `${name}.mjs`), ...more], { stdio: "inherit" });
  }
} else {
  // A signal ends the child that runs; staying alive here lets `finally` unmount.
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});
  try {
    run();
  } finally {
    cleanUp();
  }
}

function run() {
  const chosen = BENCHMARKS.filter(
    ({ name, issue }) =>
      (wanted.length === 0 || wanted.some((part) => name.includes(part))) &&
      (options.issue.length === 0 || options.issue.includes(String(issue))),
  );
  if (chosen.length === 0) throw new RangeError(`no benchmark is called ${wanted.join(" or ")}: see --list`);
  const cache = new Cache({ quick: options.quick });
  const rows = chosen.map((benchmark) => measure(benchmark, cache));
  console.log(`\n${machine()}\n\n${table(rows)}`);
  if (options.json !== undefined) {
    mkdirSync(dirname(options.json), { recursive: true });
    const report = {
      machine: machine(),
      quick: options.quick,
      rows: rows.map((row) => ({ ...row, met: verdict(row) })),
    };
    writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
  }
}

/**
 * @param {import("./benchmark.mjs").Benchmark} benchmark
 * @param {Cache} cache
 * @returns {import("./report.mjs").Row}
 */
function measure({ prepare, ...about }, cache) {
  console.error(`${about.name}: ${about.title}`);
  try {
    const { amount, unit, ours, peer, limit, check, done } = prepare(cache);
    try {
      const contenders = { ours, ...(peer === undefined ? {} : { peer }), ...(limit === undefined ? {} : { limit }) };
      const outcomes = interleave(contenders, Number(options.rounds));
      return { ...about, amount, unit, outcomes, notes: attempt(check) };
    } finally {
      done?.();
    }
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return { ...about, amount: 0, unit: "bytes", outcomes: { all: { absent: error.message } }, notes: [] };
  }
}

/** @param {(() => string[]) | undefined} check */
function attempt(check) {
  try {
    return check?.() ?? [];
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return [`not checked: ${error.message}`];
  }
}

function machine() {
  const processors = cpus();
  const size = options.quick ? "small corpora: no bar counts" : "full corpora";
  return `${processors.length} × ${processors[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}; minima of ${options.rounds} interleaved rounds, ${size}.`;
}
