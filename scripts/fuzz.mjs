// npm run fuzz -- TARGET [--seconds N] [--seed N]: damages sound inputs of a target of test/fuzz/targets until something goes wrong.
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 2 ** 32) },
  },
});
if (positionals.length !== 1) {
  console.error("usage: npm run fuzz -- TARGET [--seconds N] [--seed N]");
  process.exit(2);
}
const { status } = spawnSync("npx", ["vitest", "run", "--project", "unit", "test/fuzz/run.test.ts"], {
  stdio: "inherit",
  env: { ...process.env, FUZZ_TARGET: positionals[0], FUZZ_SECONDS: values.seconds, FUZZ_SEED: values.seed },
});
process.exit(status ?? 1);
