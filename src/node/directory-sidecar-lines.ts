import { displayName, textOf } from "../bytes/display.ts";
import { formatUuid, parseUuid } from "../bytes/uuid.ts";
import { CorruptError, UnsupportedError } from "../errors.ts";
import type { Difference } from "./directory-records.ts";

/** The directory of the sidecar, in that which is received into. */
export const SIDECAR = Buffer.from(".btrkit");
/** The log of subvolumes in it. */
export const LOG = Buffer.from("subvolumes.jsonl");
const FORMATS = { log: "btrkit received subvolumes", differences: "btrkit differences" } as const;
type FileKind = keyof typeof FORMATS;
const VERSION = 1;
export type SubvolumeState =
  /** Not all of it is there. */
  | "receiving"
  | "complete"
  /** Another one was received in its place, or it was cleaned up. */
  | "gone";

/** What the log says of a subvolume. */
export interface ReceivedSubvolume {
  /** A single name. */
  readonly path: Uint8Array;
  readonly state: SubvolumeState;
  /** Made up for this copy. */
  readonly uuid: string;
  /** What the sender knows it by. */
  readonly receivedUuid: string;
  /** Generation at the sender. */
  readonly ctransid: bigint;
  /** Received uuid of what it was made from. */
  readonly parentUuid: string | undefined;
  /** It was made out of its parent itself. */
  readonly inPlace: boolean;
}

type Json = Readonly<Record<string, unknown>>;

export function parseLine(line: string, name: Uint8Array): Json {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value as Json;
  } catch {}
  throw new CorruptError(`Cannot read sidecar: a line is no JSON object: ${line.slice(0, 60)}`, where(name));
}

/** The first line of a file. */
export function headOf(kind: FileKind): string {
  return JSON.stringify({ format: FORMATS[kind], version: VERSION });
}

/** @throws {CorruptError} for another first line; {UnsupportedError} for another version. */
export function checkHead({ format, version }: Json, kind: FileKind, name: Uint8Array): void {
  const expected = FORMATS[kind];
  if (format !== expected) throw new CorruptError(`Cannot read sidecar: it is no "${expected}"`, where(name));
  if (version === VERSION) return;
  throw new UnsupportedError(`Cannot read sidecar: its version is ${version}, known is ${VERSION}`, where(name));
}

/** What the log says of a subvolume. */
export function entryLine({
  path,
  state,
  uuid,
  receivedUuid,
  ctransid,
  parentUuid,
  inPlace,
}: ReceivedSubvolume): string {
  return JSON.stringify({
    state,
    ...pathJson(path),
    uuid,
    received_uuid: receivedUuid,
    ctransid: ctransid.toString(),
    parent_uuid: parentUuid ?? null,
    in_place: inPlace,
  });
}

/** How a path differs. */
export function differenceLine(path: Uint8Array, difference: Difference): string {
  return JSON.stringify({ ...pathJson(path), ...differenceJson(difference) });
}

export function entryOf(json: Json): ReceivedSubvolume {
  const { state, uuid, received_uuid: receivedUuid, ctransid, parent_uuid: parentUuid } = json;
  const isState = state === "receiving" || state === "complete" || state === "gone";
  if (!isState || !isUuid(uuid) || !isUuid(receivedUuid) || typeof ctransid !== "string" || !/^\d+$/.test(ctransid)) {
    throw new CorruptError("Cannot read sidecar: a line says no subvolume", where(LOG));
  }
  return {
    path: nameOf(json),
    state,
    uuid,
    receivedUuid,
    ctransid: BigInt(ctransid),
    parentUuid: isUuid(parentUuid) ? parentUuid : undefined,
    inPlace: json.in_place === true,
  };
}

function isUuid(value: unknown): value is string {
  try {
    return typeof value === "string" && formatUuid(parseUuid(value)) === value;
  } catch {
    return false;
  }
}

/** A name that a line says lies in the directory: nothing else may be led to by it. */
function nameOf(json: Json): Uint8Array {
  const name = pathOf(json, LOG);
  const isName = name.byteLength > 0 && !name.includes(0x2f) && !name.includes(0) && !/^\.\.?$/.test(displayName(name));
  if (isName) return name;
  throw new CorruptError("Cannot read sidecar: the path of a subvolume is no name", where(LOG));
}

function pathJson(path: Uint8Array): Json {
  const text = textOf(path);
  return { path: text ?? displayName(path), ...(text === undefined ? { path_b64: base64(path) } : {}) };
}

export function pathOf({ path, path_b64: bytes }: Json, name: Uint8Array): Uint8Array {
  if (typeof bytes === "string") return Buffer.from(bytes, "base64");
  if (typeof path === "string") return Buffer.from(path);
  throw new CorruptError("Cannot read sidecar: a line has no path", where(name));
}

function differenceJson({ owner, mode, node, times, xattrs, verity }: Difference): Json {
  return {
    ...owner,
    ...(mode === undefined ? {} : { mode }),
    ...(node === undefined ? {} : { type: node.kind, rdev: { major: node.major, minor: node.minor } }),
    ...(times === undefined ? {} : { atime_ns: times.atime.toString(), mtime_ns: times.mtime.toString() }),
    ...(xattrs === undefined
      ? {}
      : {
          xattrs: Array.from(xattrs, ([name, value]) => ({
            name_b64: base64(Buffer.from(name, "latin1")),
            name: displayName(Buffer.from(name, "latin1")),
            value_b64: base64(value),
          })),
        }),
    ...(verity === undefined ? {} : { verity: { algorithm: verity.algorithm, block_size: verity.blockSize } }),
  };
}

const NODES: ReadonlySet<unknown> = new Set(["char", "block", "fifo", "socket"]);

export function differenceOf(json: Json, name: Uint8Array): Difference {
  const difference: Difference = {};
  const { uid, gid, mode, type, rdev, xattrs, verity } = json;
  if (typeof uid === "number" && typeof gid === "number") difference.owner = { uid, gid };
  if (typeof mode === "number") difference.mode = mode & 0o7777;
  if (NODES.has(type)) {
    const { major, minor } = (rdev ?? {}) as Json;
    difference.node = { kind: type as "char", major: Number(major ?? 0), minor: Number(minor ?? 0) };
  }
  const { atime_ns: atime, mtime_ns: mtime } = json;
  if (isWhole(atime) && isWhole(mtime)) difference.times = { atime: BigInt(atime), mtime: BigInt(mtime) };
  if (Array.isArray(xattrs)) {
    difference.xattrs = new Map();
    for (const { name_b64: attribute, value_b64: value } of xattrs as Json[]) {
      if (typeof attribute !== "string" || typeof value !== "string") {
        throw new CorruptError("Cannot read sidecar: an extended attribute has no name or value", where(name));
      }
      difference.xattrs.set(Buffer.from(attribute, "base64").toString("latin1"), Buffer.from(value, "base64"));
    }
  }
  if (typeof verity === "object" && verity !== null) {
    const { algorithm, block_size: blockSize } = verity as Json;
    difference.verity = { algorithm: Number(algorithm), blockSize: Number(blockSize) };
  }
  return difference;
}

function isWhole(value: unknown): value is string {
  return typeof value === "string" && /^-?\d+$/.test(value);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

export function where(name: Uint8Array) {
  return { file: `${SIDECAR}/${displayName(name)}` };
}
