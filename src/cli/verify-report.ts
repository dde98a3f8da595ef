import { displayName, textOf } from "../bytes/display.ts";
import { formatUuid } from "../bytes/uuid.ts";
import { kernelName } from "../stream/attributes.ts";
import type { LostRange, StreamFault, VerifyReport } from "../verify/report.ts";
import { formatBytes } from "./sizes.ts";

/** A fault for people: where, what, and below it what of which file is lost. */
export function faultLines(fault: StreamFault, streams: readonly string[]): string[] {
  const place = [
    `offset ${fault.streamOffset}`,
    fault.commandIndex === undefined ? "" : `command ${fault.commandIndex}`,
    fault.command ?? "",
    fault.attribute ?? "",
    fault.path === undefined ? "" : `path ${displayName(fault.path)}`,
  ].filter((part) => part !== "");
  const skipped = fault.skippedBytes === 0 ? "" : `; ${fault.skippedBytes} bytes left out`;
  return [
    `${streams[fault.stream]}: ${fault.message} (${place.join(", ")})${skipped}`,
    ...fault.lost.map((range) => `    may be lost: ${displayName(range.path)}, ${rangeWords(range)}`),
    ...(fault.lostUnnamed ? ["    may be lost: files and changes that are named nowhere else"] : []),
  ];
}

function rangeWords({ from, to }: LostRange): string {
  if (from === undefined) return "its contents";
  return to === undefined ? `from byte ${from} on` : `bytes ${from} to ${to}`;
}

/** What there is in the streams, for people. */
export function reportLines(report: VerifyReport, streams: readonly string[]): string[] {
  const lines: string[] = [];
  for (const [index, name] of streams.entries()) {
    const segments = report.segments.filter(({ stream }) => stream === index);
    lines.push(
      `${name}: ${segments.map(({ version, end }) => `protocol ${version}${end ? "" : " without END"}`).join(", ") || "no stream"}`,
    );
    for (const { stream, path, uuid, parent } of report.subvolumes) {
      if (stream !== index) continue;
      const from = parent === undefined ? "full" : `increment of ${formatUuid(parent.uuid)}`;
      lines.push(`  ${displayName(path)}  ${formatUuid(uuid)}  ${from}`);
    }
  }
  const commands = Object.entries(byCommand(report)).map(([name, count]) => [name, String(count)]);
  if (commands.length > 0) lines.push("", "commands", ...columns(commands));
  const algorithms = Object.entries(report.byAlgorithm);
  if (algorithms.length > 0) {
    const rows = algorithms.map(([name, { count, stored, decoded }]) => [
      name,
      String(count),
      formatBytes(stored),
      formatBytes(decoded),
      `${((100 * stored) / Math.max(1, decoded)).toFixed(1)} %`,
    ]);
    lines.push("", "encoded writes", ...columns([["", "count", "stored", "decoded", "ratio"], ...rows]));
  }
  lines.push("", verdict(report));
  return lines;
}

function verdict(report: VerifyReport): string {
  const size = `${formatBytes(report.bytes)} in ${report.commands} commands`;
  if (report.sound) return `sound: ${size}`;
  const faults = report.faults.length + report.faultsOmitted;
  return `damaged: ${faults} ${faults === 1 ? "fault" : "faults"} in ${size}, ${report.skippedBytes} bytes could not be used`;
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]!.length))) ?? [];
  return rows.map(
    (row) =>
      `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  ")}`,
  );
}

/** The value of `verify` in `--format json`. File offsets are strings, as they may pass 2^53; stream offsets are numbers. */
export function reportJson(report: VerifyReport, streams: readonly string[]): unknown {
  return {
    sound: report.sound,
    bytes: report.bytes,
    skipped_bytes: report.skippedBytes,
    commands: report.commands,
    by_command: byCommand(report),
    by_algorithm: report.byAlgorithm,
    segments: report.segments.map(({ stream, streamOffset, version, end }) => ({
      stream: streams[stream],
      stream_offset: streamOffset,
      version,
      end,
    })),
    subvolumes: report.subvolumes.map(({ stream, streamOffset, path, uuid, ctransid, parent, needs }) => ({
      stream: streams[stream],
      stream_offset: streamOffset,
      ...pathJson(path),
      uuid: formatUuid(uuid),
      ctransid: String(ctransid),
      parent: parent === undefined ? null : { uuid: formatUuid(parent.uuid), ctransid: String(parent.ctransid) },
      needs,
    })),
    faults: report.faults.map((fault) => ({
      stream: streams[fault.stream],
      code: fault.code,
      message: fault.message,
      stream_offset: fault.streamOffset,
      skipped_bytes: fault.skippedBytes,
      command_index: fault.commandIndex ?? null,
      command: fault.command ?? null,
      attribute: fault.attribute ?? null,
      ...(fault.path === undefined ? { path: null } : pathJson(fault.path)),
      lost: fault.lost.map(({ path, from, to }) => ({
        ...pathJson(path),
        from: from === undefined ? null : String(from),
        to: to === undefined ? null : String(to),
      })),
      lost_unnamed: fault.lostUnnamed,
    })),
    faults_omitted: report.faultsOmitted,
  };
}

function pathJson(path: Uint8Array): { readonly path: string; readonly path_b64?: string } {
  const text = textOf(path);
  if (text !== undefined) return { path: text };
  return { path: displayName(path), path_b64: Buffer.from(path).toString("base64") };
}

/** By the kernel's words, as `receive --dump` prints them. */
function byCommand({ byCommand }: VerifyReport): Record<string, number> {
  return Object.fromEntries(Object.entries(byCommand).map(([name, count]) => [kernelName(name).toLowerCase(), count]));
}
