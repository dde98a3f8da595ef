import type { Finding, ScrubReport } from "../../scrub/report.ts";
import { isClean } from "../../scrub/report.ts";
import { scrub as scrubVolume } from "../../scrub/scrub.ts";
import { command } from "../command.ts";
import { FORMAT_OPTION, PROGRESS_OPTION } from "../common-options.ts";
import { EXIT } from "../exit.ts";
import type { Output } from "../output.ts";
import { IMAGE_OPTIONS, imagePlace, openImage } from "../places.ts";
import { Progress, progressMode } from "../progress.ts";
import { findingJson, findingLine, reportJson, reportLines } from "../scrub-report.ts";

export const scrub = command({
  brief: "Verify every copy of everything in an image, and repair it",
  usage: ["[--repair] [options] IMAGE"],
  details: `
Reads all superblocks, tree blocks and data, each copy on each device, and the parity of raid5 and raid6, and verifies
them against their checksums. With --repair good bytes are written over bad ones; the devices may not be in use then.
Data without checksums can't be verified, and is counted. Exit status: 0 when nothing is damaged, or all of it was
repaired; 4 when damage is left.`,
  options: {
    repair: { long: "repair", brief: "write the good copy over the bad one, and say each" },
    ...FORMAT_OPTION,
    ...PROGRESS_OPTION,
    raw: { long: "raw", brief: "sizes in bytes" },
    quiet: { short: "q", long: "quiet", brief: "print nothing, the exit status tells" },
    ...IMAGE_OPTIONS,
  },
  example: "btrkit scrub --repair disk.img",
  operands: [1, 1],
  async run(context, options, [word]) {
    const { out, signal } = context;
    const { repair, quiet, raw } = options;
    const printer = quiet ? undefined : PRINTERS[options.format ?? "text"]!(out, raw);
    const mode = progressMode(options.progress);
    const { image } = imagePlace(word!);
    await using volume = await openImage(context, image, options, { writable: repair, warningsOnly: true });
    const progress = new Progress(mode, Number(volume.superblock.bytesUsed));
    try {
      const report = await scrubVolume(volume, {
        repair,
        signal,
        onFinding: (finding) => printer?.finding(finding),
        onProgress: (done) => progress.update(done),
      });
      progress.end();
      printer?.report(report);
      return isClean(report) ? EXIT.done : EXIT.damaged;
    } finally {
      progress.end();
    }
  },
});

/** Findings are printed as they come: there may be more than fit into memory. */
interface Printer {
  finding(finding: Finding): void;
  report(report: ScrubReport): void;
}

const PRINTERS: Readonly<Record<string, (out: Output, raw: boolean) => Printer>> = {
  text: (out, raw) => ({
    finding: (finding) => void out.line(findingLine(finding)),
    report: (report) => {
      for (const line of reportLines(report, raw)) out.line(line);
    },
  }),
  jsonl: (out) => ({
    finding: (finding) => void out.line(JSON.stringify(findingJson(finding))),
    report: (report) => void out.line(JSON.stringify(reportJson(report))),
  }),
  json: (out) => {
    const findings: unknown[] = [];
    return {
      finding: (finding) => void findings.push(findingJson(finding)),
      report: (report) => void out.document("scrub", { ...reportJson(report), findings }),
    };
  },
};
