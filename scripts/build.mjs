// Compiles src/ to dist/, one file each, so that `imports` conditions and worker files work the same built and unbuilt. What that
// makes of src/cli/ is then bundled: the command starts in half the time (docs/decisions/build.md).
import { spawnSync } from "node:child_process";
import { chmodSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { rolldown } from "rolldown";

rmSync("dist", { recursive: true, force: true });
const { status } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], {
  stdio: "inherit",
});
if (status !== 0) process.exit(status ?? 1);

// Packages stay packages.
const threads = [
  "node/chunk-reader",
  "node/chunk-decoder",
  "node/send-worker",
  "linux/restore-worker",
  "linux/compress-worker",
];
const input = ["cli/bin", ...threads].map((name) => `dist/${name}.js`);
const bundle = await rolldown({ input, platform: "node", external: /^(?![.#/])/ });
await bundle.write({ dir: "dist/bundle", format: "cjs", chunkFileNames: "[name]-[hash].js", comments: false });
rmSync("dist/cli", { recursive: true });
renameSync("dist/bundle", "dist/cli");
writeFileSync("dist/cli/package.json", '{ "type": "commonjs" }\n');
chmodSync("dist/cli/bin.js", 0o755);
