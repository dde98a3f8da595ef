import { USAGE_TYPES, type Usage, type UsageBytes } from "../usage/tally.ts";
import { jsonNumber } from "./described.ts";
import { formatBytes } from "./sizes.ts";

/** Sizes as a person or a script wants them. */
export type FormatSize = (bytes: bigint) => string;

export const rawSize: FormatSize = (bytes) => String(bytes);
export const humanSize: FormatSize = (bytes) => formatBytes(Number(bytes));

/** `24.3 %`: what is stored of what it decodes to; `-` where nothing is. */
export function ratioText({ stored, decoded }: UsageBytes): string {
  return decoded === 0n ? "-" : `${(Number((stored * 1000n) / decoded) / 10).toFixed(1)} %`;
}

const HEAD = ["", "ratio", "stored", "decoded", "referenced"];

/** The table of a whole count. */
export function usageLines(usage: Usage, size: FormatSize): string[] {
  const { files, extents, references, inline } = usage;
  const rows = USAGE_TYPES.flatMap((type) => {
    const bytes = usage.byType[type];
    return bytes === undefined ? [] : [usageCells(type, bytes, size)];
  });
  const counts = [
    plural(files, "file"),
    plural(extents, "extent"),
    `${inline} inline`,
    plural(references, "reference"),
  ];
  return [counts.join(", "), ...columns([HEAD, usageCells("total", usage.total, size), ...rows])];
}

function usageCells(name: string, bytes: UsageBytes, size: FormatSize): string[] {
  return [name, ratioText(bytes), size(bytes.stored), size(bytes.decoded), size(bytes.referenced)];
}

/** The first cell to the left, others to the right. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  "),
  );
}

const ROW_WIDTHS = [8, 12, 12, 12];

export const ROW_HEAD = rowCells(["ratio", "stored", "decoded", "referenced"], "path");

/** One line of many: widths are fixed, for it is printed before the next is known. */
export function rowLine({ total }: Usage, path: string, size: FormatSize): string {
  return rowCells([ratioText(total), size(total.stored), size(total.decoded), size(total.referenced)], path);
}

function rowCells(cells: readonly string[], path: string): string {
  return `${cells.map((cell, column) => cell.padStart(ROW_WIDTHS[column]!)).join(" ")}  ${path}`;
}

/** Numbers above 2^53 are text. */
export function usageJson({ files, extents, references, inline, total, byType }: Usage): Record<string, unknown> {
  const algorithms = Object.entries(byType).map(([type, bytes]) => [type, bytesJson(bytes)] as const);
  return { files, extents, references, inline, total: bytesJson(total), by_type: Object.fromEntries(algorithms) };
}

function bytesJson({ stored, decoded, referenced }: UsageBytes): Record<string, unknown> {
  return { stored: jsonNumber(stored), decoded: jsonNumber(decoded), referenced: jsonNumber(referenced) };
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
