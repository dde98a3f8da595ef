import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { planHistory } from "./support/history-plans.ts";
import { describeKernel } from "./support/host.ts";
import { type HistoryEvent, HistoryFailure, type HistoryPlan, runHistory } from "./support/image-run.ts";
import { shrink } from "./support/shrink.ts";

// Long random histories of images, as many as are asked for: `npm run histories -- --seed N --count M`.

interface Wanted {
  readonly seed: number;
  readonly count: number;
  readonly steps: number;
}

const { BTRKIT_HISTORIES: asked } = process.env;
const wanted = asked === undefined ? undefined : (JSON.parse(asked) as Wanted);

/** Runs of a history that a shrink may take. */
const MAX_TRIES = 80;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function failureOf(plan: HistoryPlan, thorough: boolean): Promise<HistoryFailure | undefined> {
  try {
    await runHistory(plan, thorough);
    return undefined;
  } catch (error) {
    if (error instanceof HistoryFailure) return error;
    throw error;
  }
}

/** Writes down the shortest history that still fails. */
async function report(seed: number, plan: HistoryPlan, failure: HistoryFailure): Promise<void> {
  const folder = resolve(import.meta.dirname, "../../.histories");
  mkdirSync(folder, { recursive: true });
  const file = resolve(folder, `seed-${seed}.json`);
  const keep = (events: readonly HistoryEvent[], last: HistoryFailure): void => {
    const found = { ...plan, events, error: last.message, log: last.log.slice(-200) };
    writeFileSync(file, JSON.stringify(found, undefined, 1));
  };
  const { events } = plan;
  keep(events, failure);
  const upTo = events.slice(0, failure.after + 1);
  let [shortest, last] = [upTo, failure];
  const fails = async (fewer: readonly HistoryEvent[]): Promise<boolean> => {
    const again = await failureOf({ ...plan, events: fewer }, false);
    if (again !== undefined) {
      [shortest, last] = [[...fewer], again];
      keep(shortest, last);
    }
    return again !== undefined;
  };
  // The transaction that failed ends a little later than the event that it began with.
  const ends = events.findIndex((event, index) => index >= failure.after && (event.by === "kernel" || event.ends));
  const first = ends < 0 ? events : events.slice(0, ends + 1);
  if (await fails(first)) await shrink(first, fails, MAX_TRIES);
  say(
    `${shortest.length} of ${events.length} events show it: ${file}\n${last.message}\n${last.log.slice(-12).join("\n")}`,
  );
}

describeKernel("long histories of images", () => {
  test.skipIf(wanted === undefined)(
    "each is clean after its transactions, and the kernel goes on with it",
    { timeout: 86_400_000 },
    async () => {
      const { seed, count, steps } = wanted!;
      let failed = 0;
      const sum = { transactions: 0, full: 0, checks: 0, comparisons: 0 };
      for (let at = seed; at < seed + count; at++) {
        const plan = planHistory(at, steps);
        const about = `seed ${at}, ${plan.profile}, ${JSON.stringify(plan.image)}`;
        try {
          const counts = await runHistory(plan);
          for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += counts[key];
          say(`${about}: clean, ${JSON.stringify(counts)}`);
        } catch (error) {
          if (!(error instanceof HistoryFailure)) throw error;
          failed++;
          say(`${about}: failed at event ${error.after}\n${error.message}`);
          await report(at, plan, error);
        }
      }
      say(`${count} histories of ${steps} steps, ${failed} failed; ${JSON.stringify(sum)}`);
      expect(failed).toBe(0);
    },
  );
});
