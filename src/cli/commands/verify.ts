import { availableParallelism } from "node:os";
import { FileSource } from "../../node/file-source.ts";
import { encodedThreads, WorkerPool } from "../../node/worker-pool.ts";
import { type Context, command } from "../command.ts";
import { PROGRESS_OPTION } from "../common-options.ts";
import { EXIT } from "../exit.ts";
import { UsageError } from "../options.ts";
import { Progress, progressMode } from "../progress.ts";
import { faultLines, reportJson, reportLines } from "../verify-report.ts";

export const verify = command({
  brief: "Check send streams, and say what damaged ones have lost",
  usage: ["[options] STREAM..."],
  details: `
Checks framing, every checksum, attributes, paths, that every encoded write decodes, that commands make sense where
they stand, and that several streams, given in the order in which they would be received, follow each other. Goes on
behind a fault. A STREAM of - is standard input. Exit status: 0 sound, 4 damaged.`,
  options: {
    format: { long: "format", value: "FORMAT", choices: ["text", "json"], brief: "how to print (default: text)" },
    threads: {
      long: "threads",
      value: "N",
      brief: "threads that decode, the main one included (default: processors)",
    },
    ...PROGRESS_OPTION,
    quiet: { short: "q", long: "quiet", brief: "print nothing, the exit status tells" },
  },
  example: "btrkit verify home.full.btrfs home.monday.btrfs",
  operands: [1, Number.POSITIVE_INFINITY],
  async run(context, { format, threads, progress, quiet }, names) {
    if (names.indexOf("-") !== names.lastIndexOf("-")) throw new UsageError("standard input can be read once only");
    const mode = progressMode(progress);
    const count = threadCount(threads);
    // The main thread is one of them. They start when there is something to decode.
    const pool = new WorkerPool(Math.max(1, count - 1));
    try {
      return await verifyNamed(context, names, { quiet, json: format === "json", mode, count, pool });
    } finally {
      await pool.close();
    }
  },
});

/** What a thread needs to pay for its start. */
const PARTS_FROM = 32 * 1024 * 1024;

interface Plan {
  readonly quiet: boolean;
  readonly json: boolean;
  readonly mode: ReturnType<typeof progressMode>;
  readonly count: number;
  readonly pool: WorkerPool;
}

async function verifyNamed({ out, signal }: Context, names: readonly string[], plan: Plan): Promise<number> {
  const shown = names.map((name) => (name === "-" ? "standard input" : name));
  const sources: FileSource[] = [];
  let progress: Progress | undefined;
  try {
    // All are opened before the first is read: a wrong name should not come to light after an hour.
    for (const name of names) sources.push(await FileSource.open(name, signal));
    const sizes = sources.map(({ size }) => size);
    const total = sizes.includes(undefined) ? undefined : sizes.reduce<number>((sum, size) => sum + size!, 0);
    const shower = new Progress(plan.mode, total);
    progress = shower;
    // Of large files each thread checks all of its own part; of others, the rest only decode.
    const inParts = plan.count > 1 && sources.every((source) => source.isReadAheadFrom(PARTS_FROM));
    // The threads begin while the rest is being loaded.
    const first = inParts ? await sources[0]!.decodeAhead(plan.count) : undefined;
    const { StreamVerifier } = await import("../../verify/verify.ts");
    const verifier = new StreamVerifier({
      signal,
      ...(plan.count === 1 || inParts ? {} : { threads: encodedThreads(plan.pool) }),
      onProgress: ({ bytes }) => shower.update(bytes),
      ...(plan.quiet || plan.json ? {} : { onFault: (fault) => out.line(faultLines(fault, shown).join("\n")) }),
    });
    for (const source of sources) {
      const ahead = source === sources[0] ? first : inParts ? await source.decodeAhead(plan.count) : undefined;
      await verifier.verify(ahead ?? source);
    }
    const report = verifier.finish();
    progress.end();
    progress = undefined;
    if (!plan.quiet && plan.json) await out.document("verify", reportJson(report, shown));
    else if (!plan.quiet) for (const line of reportLines(report, shown)) await out.line(line);
    return report.sound ? EXIT.done : EXIT.damaged;
  } finally {
    progress?.end();
    for (const source of sources) source.close();
  }
}

function threadCount(given: string | undefined): number {
  if (given === undefined) return availableParallelism();
  const count = Number(given);
  if (/^\d+$/.test(given) && count >= 1 && count <= 256) return count;
  throw new UsageError(`option '--threads' can't be '${given}', expected a number from 1 to 256`);
}
