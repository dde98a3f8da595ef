import { defineConfig } from "vitest/config";

// Sources are tested as written: "source" picks the .ts side of the package's own imports.
const resolve = { conditions: ["source"] };
const ssr = { resolve: { conditions: ["source", "node"], externalConditions: ["node"] } };

// For .ci/run and test:nodes, which count what ran.
const report = process.env.BTRKIT_TEST_REPORT;

export default defineConfig({
  test: {
    reporters: report ? ["default", ["json", { outputFile: report }]] : ["default"],
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: "unit",
          include: ["src/**/*.test.ts", "test/**/*.test.ts"],
          exclude: ["test/kernel/**", "test/browser/**"],
          testTimeout: 30_000,
        },
      },
      {
        resolve,
        ssr,
        test: { name: "browser", include: ["test/browser/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 120_000 },
      },
      {
        resolve,
        ssr,
        // One file at a time: loop devices and mounts are shared by the whole machine.
        test: { name: "kernel", include: ["test/kernel/**/*.test.ts"], testTimeout: 600_000, fileParallelism: false },
      },
    ],
  },
});
