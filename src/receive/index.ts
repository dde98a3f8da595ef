export { type DumpOptions, dumpStream } from "./dump.ts";
export { commandToJson } from "./json-lines.ts";
export { type TimeZone, UTC, type ZoneSpan } from "./local-time.ts";
