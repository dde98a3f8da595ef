import { test } from "vitest";
import { HISTORY_IMAGES, planHistory } from "./support/history-plans.ts";
import { describeKernel } from "./support/host.ts";
import { HistoryFailure, runHistory } from "./support/image-run.ts";

/** Steps of each history. More and longer ones: `npm run histories`. */
const STEPS = 40;

describeKernel("histories of images", () => {
  // `btrfs check` finds nothing, in both modes, and the image holds what a model in memory holds. Then the kernel mounts
  // it, finds the same, and changes it; and btrkit goes on from there.
  test.each(HISTORY_IMAGES.map((image, index) => [index, JSON.stringify(image)] as const))(
    "history %i, begun with %s, is clean at every step, and the kernel agrees",
    async (seed) => {
      try {
        await runHistory(planHistory(seed, STEPS));
      } catch (error) {
        if (error instanceof HistoryFailure) process.stderr.write(`${error.log.slice(-60).join("\n")}\n`);
        throw error;
      }
    },
  );
});
