import { readFileSync } from "node:fs";
import type { TimeZone, ZoneSpan } from "../receive/local-time.ts";
import { UTC } from "../receive/local-time.ts";
import { parseZoneRule } from "./zone-rule.ts";

const LOCALTIME = "/etc/localtime";
const ZONEINFO = "/usr/share/zoneinfo";
const HEADER_BYTES = 44;

/**
 * The time zone of the C library: `TZ` as a file of the zone database or as a POSIX rule, else `/etc/localtime`, else
 * UTC. Node's own dates know neither all rules nor the host's version of the database.
 */
export function localZone(env: Readonly<Record<string, string | undefined>> = process.env): TimeZone {
  if (env.TZ === undefined) return zoneOfFile(LOCALTIME) ?? UTC;
  const text = env.TZ.startsWith(":") ? env.TZ.slice(1) : env.TZ;
  if (text === "") return UTC;
  const file = text.startsWith("/") ? text : `${env.TZDIR || ZONEINFO}/${text}`;
  return zoneOfFile(file) ?? parseZoneRule(text) ?? UTC;
}

function zoneOfFile(path: string): TimeZone | undefined {
  try {
    return decodeZone(readFileSync(path));
  } catch {
    // Not there, or not what it should be: the C library goes on to the next way as well.
    return undefined;
  }
}

/** Decodes a compiled zone (RFC 8536). `undefined` unless it is one. */
export function decodeZone(file: Uint8Array): TimeZone | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.byteLength < HEADER_BYTES || view.getUint32(0) !== 0x545a6966) return undefined;
  const old = readHeader(view, 0);
  if (file[4]! < 0x32) return zoneOf(readBlock(view, old, 4), undefined);
  const header = readHeader(view, old.end(4));
  const footer = new TextDecoder().decode(file.subarray(header.end(8))).split("\n")[1];
  return zoneOf(readBlock(view, header, 8), footer ? parseZoneRule(footer) : undefined);
}

interface Header {
  readonly at: number;
  readonly times: number;
  readonly types: number;
  end(timeBytes: number): number;
}

function readHeader(view: DataView, at: number): Header {
  const [isUt, isStd, leaps, times, types, chars] = [20, 24, 28, 32, 36, 40].map((field) => view.getUint32(at + field));
  return {
    at: at + HEADER_BYTES,
    times: times!,
    types: types!,
    end: (timeBytes) =>
      at + HEADER_BYTES + times! * (timeBytes + 1) + types! * 6 + chars! + leaps! * (timeBytes + 4) + isStd! + isUt!,
  };
}

interface Block {
  /** When an offset begins to hold, ascending. */
  readonly changes: readonly number[];
  readonly offsets: readonly number[];
  /** Before the first change. */
  readonly first: number;
}

function readBlock(view: DataView, { at, times, types }: Header, timeBytes: 4 | 8): Block {
  const typesAt = at + times * (timeBytes + 1);
  const offsetOf = (type: number) => view.getInt32(typesAt + type * 6);
  const changes = Array.from({ length: times }, (_, i) =>
    timeBytes === 4 ? view.getInt32(at + i * 4) : Number(view.getBigInt64(at + i * 8)),
  );
  const offsets = changes.map((_, i) => offsetOf(view.getUint8(at + times * timeBytes + i)));
  let standard = 0;
  while (standard < types && view.getUint8(typesAt + standard * 6 + 4) !== 0) standard++;
  return { changes, offsets, first: offsetOf(standard === types ? 0 : standard) };
}

function zoneOf({ changes, offsets, first }: Block, rule: TimeZone | undefined): TimeZone {
  return (seconds): ZoneSpan => {
    let low = 0;
    let high = changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (changes[middle]! <= seconds) low = middle + 1;
      else high = middle;
    }
    const from = low === 0 ? Number.NEGATIVE_INFINITY : changes[low - 1]!;
    if (low === changes.length && rule !== undefined) {
      const span = rule(seconds);
      return { ...span, from: Math.max(span.from, from) };
    }
    const offset = low === 0 ? first : offsets[low - 1]!;
    return { from, until: low === changes.length ? Number.POSITIVE_INFINITY : changes[low]!, offset };
  };
}
