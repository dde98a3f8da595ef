import { displayName, textOf } from "../bytes/display.ts";
import { describeWhere } from "../errors.ts";
import type { RestoreCounts, RestoreProblem, RestoreSummary } from "../restore/report.ts";
import { formatBytes } from "./sizes.ts";

/** `btrkit: lost: home/anna/notes, bytes 4096 to 8191: cannot trust data: …`. */
export function problemLine({ kind, path, range, sentence, where }: RestoreProblem): string {
  const bytes = range === undefined ? "" : `, bytes ${range.start} to ${range.end - 1n}`;
  const { path: _path, ...rest } = where;
  const place = describeWhere(rest);
  const words = sentence.slice(0, 1).toLowerCase() + sentence.slice(1);
  return `btrkit: ${WORDS[kind]}: /${displayName(path)}${bytes}: ${words}${place === "" ? "" : ` (${place})`}`;
}

const WORDS = { lost: "lost", exists: "left alone", failed: "not restored" } as const;

export function summaryLines(summary: RestoreSummary, dryRun: boolean): string[] {
  const { files, fileBytes, directories, symlinks, specials, hardLinks, damagedFiles, lostBytes, problems } = summary;
  const made = [
    `${files} files (${formatBytes(fileBytes)})`,
    `${directories} directories`,
    ...(symlinks > 0 ? [`${symlinks} symbolic links`] : []),
    ...(specials > 0 ? [`${specials} special files`] : []),
    ...(hardLinks > 0 ? [`${hardLinks} hard links`] : []),
  ];
  const lines = [`${dryRun ? "would restore" : "restored"} ${made.join(", ")}`];
  const notHeld = NOT_HELD.filter(([field]) => summary[field] > 0).map(
    ([field, words]) => `${summary[field]} ${words}`,
  );
  if (notHeld.length > 0) lines.push(`the target does not hold: ${notHeld.join(", ")}`);
  if (problems.exists > 0) lines.push(`left alone because they are there already: ${problems.exists}`);
  if (problems.failed > 0) lines.push(`not restored because the target refused: ${problems.failed}`);
  if (problems.lost > 0) {
    lines.push(`damage: ${problems.lost} losses, ${damagedFiles} files with holes in place of ${lostBytes} lost bytes`);
  }
  return lines;
}

const NOT_HELD = [
  ["ownersNotHeld", "owners"],
  ["modesNotHeld", "modes"],
  ["xattrsNotHeld", "extended attributes"],
  ["timesNotHeld", "times"],
  ["specialsNotHeld", "devices, fifos and sockets"],
] as const satisfies readonly (readonly [keyof RestoreCounts, string])[];

export function restoreJson(summary: RestoreSummary, problems: readonly RestoreProblem[]): unknown {
  return {
    files: summary.files,
    directories: summary.directories,
    symlinks: summary.symlinks,
    specials: summary.specials,
    hard_links: summary.hardLinks,
    file_bytes: summary.fileBytes,
    written_bytes: summary.bytes,
    damaged_files: summary.damagedFiles,
    lost_bytes: summary.lostBytes,
    owners_not_held: summary.ownersNotHeld,
    modes_not_held: summary.modesNotHeld,
    xattrs_not_held: summary.xattrsNotHeld,
    times_not_held: summary.timesNotHeld,
    specials_not_held: summary.specialsNotHeld,
    problems: problems.map(({ kind, path, range, sentence, where }) => ({
      kind,
      path: displayName(path),
      ...(textOf(path) === undefined ? { path_b64: Buffer.from(path).toString("base64") } : {}),
      start: range === undefined ? null : range.start.toString(),
      end: range === undefined ? null : range.end.toString(),
      message: sentence,
      place: describeWhere(where),
    })),
  };
}
