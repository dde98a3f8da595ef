import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TreeEntry } from "../support.ts";

interface DifferenceLine {
  readonly path: string;
  readonly path_b64?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly mode?: number;
  readonly type?: "char" | "block" | "fifo" | "socket";
  readonly rdev?: { readonly major: number; readonly minor: number };
  readonly mtime_ns?: string;
  readonly xattrs?: readonly { readonly name_b64: string; readonly value_b64: string }[];
}

interface SubvolumeLine {
  readonly state: "receiving" | "complete" | "gone";
  readonly path: string;
  readonly uuid: string;
  readonly received_uuid: string;
  readonly in_place: boolean;
}

/** The last line of each subvolume that `.btrkit/subvolumes.jsonl` has. */
export function sidecarLines(directory: string): SubvolumeLine[] {
  const [head, ...lines] = jsonLines<SubvolumeLine>(join(directory, ".btrkit/subvolumes.jsonl"));
  if (JSON.stringify(head) !== '{"format":"btrkit received subvolumes","version":1}') throw new Error("no head");
  const last = new Map(lines.map((line) => [line.uuid, line]));
  return [...last.values()].filter(({ state }) => state !== "gone");
}

/** A tree as the sender had it: what is there, with what the sidecar says of it laid over. */
export function withSidecar(directory: string, subvolume: string, tree: readonly TreeEntry[]): TreeEntry[] {
  const entry = sidecarLines(directory).findLast(({ path, state }) => path === subvolume && state === "complete");
  if (entry === undefined) throw new Error(`${subvolume} is not complete`);
  const file = join(directory, `.btrkit/${entry.uuid}.jsonl`);
  const lines = existsSync(file) ? jsonLines<DifferenceLine>(file).slice(1) : [];
  const byPath = new Map(lines.map((line) => [pathOf(line), line]));
  const found = tree.map((each) => {
    const line = byPath.get(each.path);
    byPath.delete(each.path);
    return line === undefined ? each : laidOver(each, line);
  });
  if (byPath.size > 0) throw new Error(`the sidecar has paths that are not there: ${[...byPath.keys()]}`);
  return found;
}

function laidOver(entry: TreeEntry, line: DifferenceLine): TreeEntry {
  const { size: _, sha256: __, data: ___, ...node } = entry;
  const xattrs = { ...entry.xattrs };
  for (const { name_b64, value_b64 } of line.xattrs ?? []) {
    xattrs[Buffer.from(name_b64, "base64").toString("latin1")] = Buffer.from(value_b64, "base64").toString("hex");
  }
  const isDevice = line.type === "char" || line.type === "block";
  return {
    ...(line.type === undefined ? entry : { ...node, type: line.type }),
    ...(isDevice ? { rdev: [line.rdev!.major, line.rdev!.minor] as const } : {}),
    mode: line.mode ?? entry.mode,
    uid: line.uid ?? entry.uid,
    gid: line.gid ?? entry.gid,
    mtime: line.mtime_ns ?? entry.mtime,
    ...(Object.keys(xattrs).length === 0 ? {} : { xattrs: Object.fromEntries(Object.entries(xattrs).sort()) }),
  };
}

function pathOf({ path, path_b64: bytes }: DifferenceLine): string {
  return (bytes === undefined ? Buffer.from(path) : Buffer.from(bytes, "base64")).toString("latin1");
}

function jsonLines<T>(path: string): T[] {
  return readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}
