import { displayName } from "../../bytes/display.ts";
import { UsageCounter, type UsageRow } from "../../usage/usage.ts";
import { command } from "../command.ts";
import { jsonNumber } from "../described.ts";
import { Failures } from "../failures.ts";
import { Images, locate } from "../images.ts";
import { pathJson } from "../inode-text.ts";
import { FORMATS } from "../output.ts";
import { IMAGE_OPTIONS, OLD_ROOT_OPTIONS } from "../places.ts";
import { Progress, progressMode } from "../progress.ts";
import { recordsFor } from "../records.ts";
import { humanSize, ROW_HEAD, rawSize, rowLine, usageJson, usageLines } from "../usage-report.ts";

export const du = command({
  brief: "Count what files take, by compression algorithm",
  usage: ["[options] IMAGE[:PATH]..."],
  details: `
Counts as compsize does. Stored: bytes on disk, each extent once, where it is first met, however many files share it.
Decoded: what the same extents decode to. Referenced: bytes that files use, as often as they do. With --by, a line for
each file, for each directory, or for each subvolume, with all that is below it; what it shares with an earlier line is
not stored again. Goes on past damage. Exit status: 4 when something could not be read, and is not counted.`,
  options: {
    by: {
      long: "by",
      value: "KIND",
      choices: ["file", "directory", "subvolume"],
      many: true,
      brief: "a line for each of a kind (can be repeated)",
    },
    raw: { long: "raw", brief: "sizes in bytes" },
    format: { long: "format", value: "FORMAT", choices: FORMATS, brief: "how to print (default: text)" },
    progress: {
      long: "progress",
      value: "HOW",
      optionalValue: true,
      brief: "progress also where there is no terminal; json: a line of JSON each",
    },
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
    if (records === undefined && by.length > 0) out.line(ROW_HEAD);
    const counter = new UsageCounter({
      signal,
      rows: new Set(by as readonly UsageRow["kind"][]),
      onDamage: failures.note,
      onProgress: ({ stored }) => progress.update(stored),
      onRow: (row) =>
        records === undefined ? out.line(rowLine(row.usage, pathText(row), size)) : records.add(rowJson(row)),
    });
    try {
      await using images = new Images(context, options);
      for (const word of words) {
        try {
          await counter.add(await locate(await images.place(word), false));
        } catch (error) {
          failures.note(error);
        }
      }
    } finally {
      progress.end();
    }
    const { usage } = counter;
    if (records === undefined) {
      if (by.length > 0) out.line("");
      for (const line of usageLines(usage, size)) await out.line(line);
    } else {
      await records.add({ kind: "total", ...usageJson(usage) });
      await records.end();
    }
    return failures.status;
  },
});

function pathText({ path }: UsageRow): string {
  return `/${displayName(path ?? new Uint8Array(0))}`;
}

function rowJson({ kind, path, subvolume, inode, usage }: UsageRow): Record<string, unknown> {
  const place = { subvolume: jsonNumber(subvolume), inode: jsonNumber(inode) };
  return { kind, ...pathJson(path ?? new Uint8Array(0)), ...place, ...usageJson(usage) };
}
