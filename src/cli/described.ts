import { displayName, textOf } from "../bytes/display.ts";
import type { Described, Value } from "../format/describe/value.ts";

const WIDTH = 110;

/** A described structure as JSON: u64s above 2^53 as text, bytes that are not UTF-8 as `name_b64` beside what can be shown. */
export function describedJson(described: Described): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(described)) {
    if (!(value instanceof Uint8Array)) {
      json[field] = jsonOf(value);
      continue;
    }
    const text = textOf(value);
    json[field] = text ?? displayName(value);
    if (text === undefined) json[`${field}_b64`] = Buffer.from(value).toString("base64");
  }
  return json;
}

function jsonOf(value: Exclude<Value, Uint8Array>): unknown {
  if (typeof value === "bigint") return jsonNumber(value);
  if (Array.isArray(value)) return value.map((one) => (one instanceof Uint8Array ? displayName(one) : jsonOf(one)));
  return typeof value === "object" && value !== null ? describedJson(value as Described) : value;
}

/** A number while it is exact, else its decimal digits. */
export function jsonNumber(value: bigint): number | string {
  const exact = value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER);
  return exact ? Number(value) : value.toString();
}

/** A described structure for people: its plain fields in filled lines, then lists and structures, further in. */
export function describedLines(described: Described, indent: string): string[] {
  const words: string[] = [];
  const inner: string[] = [];
  for (const [field, value] of Object.entries(described)) {
    if (/_names?$/.test(field) && field.replace(/_names?$/, "") in described) continue;
    const text = textOfValue(value);
    if (text !== undefined) words.push(`${field} ${text}${namesOf(described, field)}`);
    else inner.push(...innerLines(field, value as Described | readonly Value[], indent));
  }
  return [...fill(words, indent), ...inner];
}

/** One field to a line. */
export function describedTable(described: Described): string[] {
  const lines: string[] = [];
  const fields = Object.keys(described).filter(
    (field) => !(/_names?$/.test(field) && field.replace(/_names?$/, "") in described),
  );
  const width = Math.max(...fields.map((field) => field.length)) + 2;
  for (const field of fields) {
    const value = described[field]!;
    const text = textOfValue(value);
    if (text !== undefined) lines.push(`${field.padEnd(width)}${text}${namesOf(described, field)}`.trimEnd());
    else lines.push(...innerLines(field, value as Described | readonly Value[], ""));
  }
  return lines;
}

function innerLines(field: string, value: Described | readonly Value[], indent: string): string[] {
  const deeper = `${indent}  `;
  if (!Array.isArray(value)) return [`${indent}${field}:`, ...describedLines(value as Described, deeper)];
  if (value.length === 0) return [`${indent}${field}: none`];
  return [`${indent}${field}:`, ...value.flatMap((one: Value) => listItem(one, deeper))];
}

function listItem(value: Value, indent: string): string[] {
  const text = textOfValue(value);
  if (text !== undefined) return [`${indent}- ${text}`];
  const [first = "", ...rest] = describedLines(value as Described, `${indent}  `);
  return [`${indent}- ${first.trimStart()}`, ...rest];
}

/** Keys and times have a form of their own; `undefined` for other structures and for lists of them. */
function textOfValue(value: Value): string | undefined {
  if (value === null) return "none";
  if (value instanceof Uint8Array) return displayName(value);
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) {
    return value.every((one) => typeof one === "bigint" || typeof one === "string") && value.length > 0
      ? value.join(" ")
      : undefined;
  }
  const fields = value as Described;
  const names = Object.keys(fields).join(" ");
  if (names === "sec nsec") return `${fields.sec}.${String(fields.nsec).padStart(9, "0")}`;
  if (names === "objectid type type_name offset") return `(${fields.objectid} ${fields.type_name} ${fields.offset})`;
  return undefined;
}

function namesOf(described: Described, field: string): string {
  const names = described[`${field}_names`] ?? described[`${field}_name`];
  if (names === undefined) return "";
  const text = Array.isArray(names) ? names.join("|") : String(names);
  return text === "" ? "" : ` (${text})`;
}

function fill(words: readonly string[], indent: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of words) {
    if (line !== "" && indent.length + line.length + word.length + 2 > WIDTH) {
      lines.push(`${indent}${line},`);
      line = word;
    } else {
      line = line === "" ? word : `${line}, ${word}`;
    }
  }
  return line === "" ? lines : [...lines, `${indent}${line}`];
}
