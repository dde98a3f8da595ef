// Compiles src/ to dist/, one file each, so that `imports` conditions and worker files work the same built and unbuilt.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, rmSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
const { status } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], {
  stdio: "inherit",
});
if (existsSync("dist/cli/bin.js")) chmodSync("dist/cli/bin.js", 0o755);
process.exit(status ?? 1);
