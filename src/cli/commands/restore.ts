import { mkdirSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { displayName } from "../../bytes/display.ts";
import { Filesystem } from "../../fs/filesystem.ts";
import { type DeviceFiles, deviceFilesOf, loadDeviceReads } from "../../linux/device-reads.ts";
import { findLibzstd } from "../../linux/libzstd.ts";
import { closeRestoreHost, openRestoreHost, restoreTargetOf } from "../../linux/restore-host.ts";
import { RestoreThreads } from "../../linux/restore-threads.ts";
import { hostError } from "../../node/host-error.ts";
import { findMatches, lastName } from "../../restore/glob.ts";
import type { RestoreRunner } from "../../restore/jobs.ts";
import type { RestoreProblem } from "../../restore/report.ts";
import { type LostSource, type RestoreSource, restore as restoreInto } from "../../restore/restore.ts";
import { Restorer } from "../../restore/restorer.ts";
import { SharedRunner } from "../../restore/shared-runner.ts";
import { type Context, command } from "../command.ts";
import { PROGRESS_OPTION } from "../common-options.ts";
import { EventTeller } from "../events.ts";
import { EXIT } from "../exit.ts";
import { parseBytes, parseWhole } from "../numbers.ts";
import { type Parsed, UsageError } from "../options.ts";
import { IMAGE_OPTIONS, imagePlace, OLD_ROOT_OPTIONS, openImage } from "../places.ts";
import { Progress, progressMode } from "../progress.ts";
import { problemLine, restoreJson, summaryLines } from "../restore-report.ts";

const OPTIONS = {
  overwrite: { long: "overwrite", brief: "replace files that are there; directories are kept and get new attributes" },
  dryRun: { short: "D", long: "dry-run", brief: "write nothing, say what would be done" },
  oneSubvolume: { long: "one-subvolume", brief: "leave subvolumes inside of what is restored empty" },
  threads: { long: "threads", value: "N", brief: "threads that read and write (default: processors)" },
  format: { long: "format", value: "FORMAT", choices: ["text", "json"], brief: "how to print (default: text)" },
  ...PROGRESS_OPTION,
  verbose: { short: "v", long: "verbose", brief: "print each name that is restored" },
  quiet: { short: "q", long: "quiet", brief: "print problems only" },
  ...IMAGE_OPTIONS,
  ...OLD_ROOT_OPTIONS,
} as const;

export const restore = command({
  brief: "Copy files and trees out of an image",
  usage: ["[options] IMAGE:PATH... DIR"],
  details: `
A file or directory becomes DIR/NAME; a path that ends with a slash, or the top of the image, stands for what is inside.
PATH may have *, ? and [...]. Contents, holes, modes, times, owners (as root), xattrs, hard links, symbolic links and
devices are restored; what DIR can't hold is counted. What is damaged is named, and restored as far as it can be read:
lost bytes are holes. Exit status: 0 done, 1 something was refused, 4 something is lost.`,
  options: OPTIONS,
  example: "btrkit restore disk.img:/home/anna ./restored",
  operands: [2, Number.POSITIVE_INFINITY],
  async run(context, options, operands) {
    const mode = progressMode(options.progress);
    const threads = threadCount(options.threads);
    const directory = operands.at(-1)!;
    const places = operands.slice(0, -1).map(imagePlace);
    const { image } = places[0]!;
    if (places.some((place) => place.image !== image)) throw new UsageError("all paths must be of one image");
    const volume = await openImage(context, image, options, { cacheBytes: CACHE_BYTES });
    const teller = new EventTeller(context.say);
    await using filesystem = new Filesystem(volume, (event) => teller.tell(event));
    const top = await filesystem.top();
    const sources: RestoreSource[] = [];
    const lost: LostSource[] = [];
    for (const { path } of places) {
      const whole = path.at(-1) === 0x2f;
      for (const inode of await findMatches(top, path, (at, error) => lost.push({ path: at, error }))) {
        sources.push({ inode, name: whole && inode.kind === "directory" ? undefined : lastName(inode.path!) });
      }
    }
    const isNew = makeDirectory(directory, options.dryRun);
    const host = openRestoreHost(isNew && options.dryRun ? dirname(directory) : directory);
    const progress = new Progress(mode, undefined);
    let runner: Runner | undefined;
    try {
      const isTree = sources.some(({ inode }) => inode.kind === "directory");
      // Without a descriptor the kernel can't be called.
      const deviceFiles = host.descriptor === undefined ? undefined : deviceFilesOf(volume);
      const job: Job = { filesystem, deviceFiles, host, image, options, isNew, isTree, lost };
      runner = await makeRunner(job, threads, context, teller);
      return await run(job, sources, runner, context, progress);
    } finally {
      progress.end();
      await runner?.close();
      closeRestoreHost(host);
    }
  },
});

/** Of tree blocks, for each thread and the main one: names that are close in a directory are close in the tree. */
const CACHE_BYTES = 16 << 20;

interface Job {
  readonly filesystem: Filesystem;
  /** Where plain files can be read and written by calls of their own. */
  readonly deviceFiles: DeviceFiles | undefined;
  readonly host: ReturnType<typeof openRestoreHost>;
  readonly image: string;
  readonly options: Parsed<typeof OPTIONS>;
  /** The directory was not there before. */
  readonly isNew: boolean;
  /** A directory is to be restored. */
  readonly isTree: boolean;
  /** What could not be looked at. */
  readonly lost: readonly LostSource[];
}

type Runner = RestoreRunner & { close(): Promise<void> };

async function run(
  { host, options, isNew, lost }: Job,
  sources: readonly RestoreSource[],
  runner: Runner,
  { out, say, signal }: Context,
  progress: Progress,
): Promise<number> {
  const { overwrite, dryRun, oneSubvolume, verbose, quiet, format } = options;
  const isJson = format === "json";
  const problems: RestoreProblem[] = [];
  const summary = await restoreInto(
    sources.map((source) => ({ ...source, isNew })),
    restoreTargetOf(host),
    runner,
    {
      signal,
      overwrite,
      dryRun,
      oneSubvolume,
      lost,
      onProgress: ({ bytes }) => progress.update(bytes),
      onProblem: (problem) => {
        if (isJson) problems.push(problem);
        else say(problemLine(problem));
      },
      onRestored: verbose && !isJson ? (path) => void out.line(displayName(path)) : undefined,
    },
  );
  progress.end();
  if (isJson) await out.document("restore", restoreJson(summary, problems));
  else if (!quiet) for (const line of summaryLines(summary, dryRun)) await out.line(line);
  if (summary.problems.lost > 0) return EXIT.damaged;
  return summary.problems.exists + summary.problems.failed > 0 ? EXIT.failed : EXIT.done;
}

/** Files from this size on are written by several threads. */
const LARGE_BYTES = 8 << 20;

/**
 * Smaller ones are restored as a whole where that needs no trees: what one thread spends longer on the last of them is less
 * than what it takes to open the image on all.
 */
const WHOLE_BYTES = 32 << 20;

/** The main thread counts as one of the threads. */
async function makeRunner(job: Job, threads: number, context: Context, teller: EventTeller): Promise<Runner> {
  const isAlone = threads === 1;
  const others = isAlone ? undefined : threadRunner(job, threads - 1, context, teller);
  // Trees keep a thread busy: it gets ready while this one does.
  if (job.isTree) others?.start();
  const here = await localRunner(job, context, isAlone ? Number.POSITIVE_INFINITY : LARGE_BYTES);
  const runner = others === undefined ? here : new SharedRunner(others, here, turn);
  return {
    width: runner.width,
    filesBelow: job.deviceFiles && WHOLE_BYTES,
    run: (one) => runner.run(one),
    close: async () => others?.close(),
  };
}

function threadRunner(
  { filesystem, deviceFiles, host, image, options }: Job,
  threads: number,
  context: Context,
  teller: EventTeller,
) {
  const { partition, offset, device, degraded, overwrite, dryRun, rootGeneration } = options;
  const { generation, checksum, sectorSize } = filesystem.volume;
  return new RestoreThreads(
    threads,
    {
      devices: [image, ...device],
      locate: {
        partition: partition === undefined ? undefined : parseWhole("--partition", partition),
        offset: offset === undefined ? undefined : parseBytes("--offset", offset),
      },
      degraded,
      rootGeneration: rootGeneration === undefined ? undefined : parseWhole("--root-generation", rootGeneration),
      cacheBytes: CACHE_BYTES,
      generation,
      target: host,
      options: { overwrite, dryRun, largeBytes: LARGE_BYTES, token: newToken() },
      plainFiles: deviceFiles && { devices: deviceFiles, checksumType: checksum.type, sectorSize },
    },
    { signal: context.signal, onEvent: (event) => teller.tell(event) },
  );
}

async function localRunner(
  { filesystem, deviceFiles, host, options }: Job,
  { signal }: Context,
  largeBytes: number,
): Promise<RestoreRunner> {
  const { overwrite, dryRun } = options;
  const restorer = await Restorer.make(filesystem, restoreTargetOf(host), {
    overwrite,
    dryRun,
    largeBytes,
    token: newToken(),
    stop: signal,
    decodeFrame: findLibzstd(),
    readDevice: deviceFiles && loadDeviceReads(deviceFiles),
    turn,
  });
  return { width: 1, run: (job) => restorer.run(job) };
}

function newToken(): string {
  return Math.random().toString(36).slice(2, 10);
}

/** Whether it is a new one; its parent has to be there. */
function makeDirectory(path: string, dryRun: boolean): boolean {
  try {
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) return false;
    if (!dryRun) mkdirSync(path, 0o700);
    return true;
  } catch (error) {
    throw hostError(error, "make directory", path);
  }
}

function threadCount(given: string | undefined): number {
  if (given === undefined) return availableParallelism();
  const count = Number(given);
  if (/^\d+$/.test(given) && count >= 1 && count <= 256) return count;
  throw new UsageError(`option '--threads' can't be '${given}', expected a number from 1 to 256`);
}
