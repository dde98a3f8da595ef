// npm run histories -- [--seed N] [--count N] [--steps N]: long random histories of images, checked by btrfs check, a
// model in memory and the kernel. Needs root. A history that fails is shrunk to .histories/.
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "10" },
    steps: { type: "string", default: "300" },
  },
});
const wanted = { seed: Number(values.seed), count: Number(values.count), steps: Number(values.steps) };
const { status } = spawnSync("npx", ["vitest", "run", "--project", "kernel", "test/kernel/histories.test.ts"], {
  stdio: "inherit",
  env: { ...process.env, BTRKIT_HISTORIES: JSON.stringify(wanted) },
});
process.exit(status ?? 1);
