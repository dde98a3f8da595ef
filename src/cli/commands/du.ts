import { displayName } from "../../bytes/display.ts";
import { loadNative } from "../../linux/native.ts";
import { LiveUsageCounter, type LiveUsageOptions } from "../../linux/usage.ts";
import type { Usage } from "../../usage/tally.ts";
import { UsageCounter, type UsageOptions, type UsageRow } from "../../usage/usage.ts";
import { type Context, command } from "../command.ts";
import { FORMAT_OPTION, PROGRESS_OPTION } from "../common-options.ts";
import { jsonNumber } from "../described.ts";
import { EXIT } from "../exit.ts";
import { Failures } from "../failures.ts";
import { Images, locate } from "../images.ts";
import { hostPathJson, pathJson } from "../inode-text.ts";
import { isLivePath } from "../live-path.ts";
import { UsageError } from "../options.ts";
import { IMAGE_OPTIONS, type ImageOptions, OLD_ROOT_OPTIONS } from "../places.ts";
import { Progress, progressMode } from "../progress.ts";
import { recordsFor } from "../records.ts";
import { humanSize, ROW_HEAD, rawSize, rowLine, usageJson, usageLines } from "../usage-report.ts";

export const du = command({
  brief: "Count what files take, by compression algorithm",
  usage: ["[options] IMAGE[:PATH]|PATH..."],
  details: `
Counts as compsize does. Stored: bytes on disk, each extent once, where it is first met, however many files share it.
Decoded: what the same extents decode to. Referenced: bytes that files use, as often as they do. With --by, a line for
each file, for each directory, or for each subvolume, with all that is below it; what it shares with an earlier line is
not stored again. Goes on past damage. Exit status: 4 when something could not be read, and is not counted.
Of a PATH on a mounted btrfs the kernel is asked, which takes root; what is not written out yet (see sync) is not
counted, and other filesystems mounted below are left out. A regular file is taken for an image unless it is none.`,
  options: {
    by: {
      long: "by",
      value: "KIND",
      choices: ["file", "directory", "subvolume"],
      many: true,
      brief: "a line for each of a kind (can be repeated)",
    },
    raw: { long: "raw", brief: "sizes in bytes" },
    ...FORMAT_OPTION,
    ...PROGRESS_OPTION,
    ...OLD_ROOT_OPTIONS,
    ...IMAGE_OPTIONS,
  },
  example: "btrkit du --by subvolume disk.img",
  operands: [1, Number.POSITIVE_INFINITY],
  async run(context, options, words) {
    const { out, signal, say } = context;
    const { by } = options;
    const failures = new Failures(say);
    const size = options.raw ? rawSize : humanSize;
    const records = recordsFor(out, options.format, "du");
    const progress = new Progress(progressMode(options.progress), undefined);
    let hasHead = false;
    const head = (): void => {
      if (!hasHead && by.length > 0) out.line(ROW_HEAD);
      hasHead = true;
    };
    const printRow = (row: UsageRow) => {
      head();
      return out.line(rowLine(row.usage, pathText(row, isLive), size));
    };
    const isLive = await areLive(words, options);
    const counting = {
      signal,
      rows: new Set(by as readonly UsageRow["kind"][]),
      onDamage: failures.note,
      onProgress: ({ stored }: { readonly stored: number }) => progress.update(stored),
      onRow: (row: UsageRow) => (records === undefined ? printRow(row) : records.add(rowJson(row, isLive))),
    };
    const other = (path: Uint8Array) =>
      say(`btrkit: warning: another filesystem is mounted at ${displayName(path)}, it is not counted`);
    let usage: Usage;
    try {
      usage = isLive
        ? await countLive(words, { ...counting, onOtherFilesystem: other })
        : await countImages(context, words, options, counting);
    } finally {
      progress.end();
    }
    // Zeros would say that there is nothing in what could not be counted at all.
    const isNothing = failures.status !== EXIT.done && usage.files === 0 && usage.extents === 0;
    if (records === undefined) {
      if (isNothing) return failures.status;
      head();
      if (by.length > 0) out.line("");
      for (const line of usageLines(usage, size)) await out.line(line);
    } else {
      if (!isNothing) await records.add({ kind: "total", ...usageJson(usage) });
      await records.end();
    }
    return failures.status;
  },
});

/** What can't be counted at all is noted as damage is. */
async function countImages(
  context: Context,
  words: readonly string[],
  options: ImageOptions,
  counting: Counting<UsageOptions>,
): Promise<Usage> {
  const counter = new UsageCounter(counting);
  await using images = new Images(context, options);
  for (const word of words) {
    try {
      await counter.add(await locate(await images.place(word), false));
    } catch (error) {
      counting.onDamage(error);
    }
  }
  return counter.usage;
}

async function countLive(words: readonly string[], counting: Counting<LiveUsageOptions>): Promise<Usage> {
  const counter = new LiveUsageCounter(loadNative(), counting);
  for (const word of words) {
    try {
      await counter.add(word);
    } catch (error) {
      counting.onDamage(error);
    }
  }
  return counter.usage;
}

type Counting<O> = O & { readonly onDamage: (error: unknown) => void };

/** @throws {UsageError} where some are in images and some are not. */
async function areLive(words: readonly string[], options: ImageOptions): Promise<boolean> {
  const live: boolean[] = [];
  for (const word of words) live.push(await isLivePath(word, options));
  if (new Set(live).size > 1) throw new UsageError("images and mounted filesystems can't be counted together");
  return live[0]!;
}

function pathText({ path }: UsageRow, isLive: boolean): string {
  return `${isLive ? "" : "/"}${displayName(path ?? new Uint8Array(0))}`;
}

function rowJson({ kind, path, subvolume, inode, usage }: UsageRow, isLive: boolean): Record<string, unknown> {
  const bytes = path ?? new Uint8Array(0);
  const named = isLive ? hostPathJson(bytes) : pathJson(bytes);
  const place = { subvolume: jsonNumber(subvolume), inode: jsonNumber(inode) };
  return { kind, ...named, ...place, ...usageJson(usage) };
}
