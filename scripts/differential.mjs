// npm run differential -- [--seed N] [--count N] [--steps N] [--profiles names,data,...]: random histories on the real
// btrfs, each snapshot sent by the kernel and by us. Needs root. Where streams differ, the history is shrunk to .differential/.
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "20" },
    steps: { type: "string", default: "60" },
    profiles: { type: "string", default: "names,data,reflinks,everything" },
  },
});
const wanted = {
  seed: Number(values.seed),
  count: Number(values.count),
  steps: Number(values.steps),
  profiles: values.profiles.split(","),
};
const { status } = spawnSync("npx", ["vitest", "run", "--project", "kernel", "test/kernel/differential.test.ts"], {
  stdio: "inherit",
  env: { ...process.env, BTRKIT_DIFFERENTIAL: JSON.stringify(wanted) },
});
process.exit(status ?? 1);
