import { displayName, textOf } from "../bytes/display.ts";
import { formatUuid, parseUuid } from "../bytes/uuid.ts";
import { BtrfsError, CorruptError, UnsupportedError } from "../errors.ts";
import type { Handle } from "../restore/target.ts";
import type { DirectoryHost } from "./directory-host.ts";
import type { Difference } from "./directory-records.ts";

/** The directory of the sidecar, in that which is received into. */
export const SIDECAR = Buffer.from(".btrkit");
const LOG = Buffer.from("subvolumes.jsonl");
const FORMAT = "btrkit received subvolumes";
const VERSION = 1;
/** Larger ones are no log of ours. */
const MAX_LOG_BYTES = 256n << 20n;

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

/**
 * What a directory remembers of the subvolumes in it: `.btrkit/subvolumes.jsonl`, a log where the last line of a uuid
 * counts, and for each subvolume that differs from what was sent `.btrkit/UUID.jsonl`, a line for each path.
 */
export class Sidecar {
  readonly #host: DirectoryHost;
  readonly #directory: Handle;
  readonly #log: Handle;
  #end = 0n;
  readonly #entries = new Map<string, ReceivedSubvolume>();

  private constructor(host: DirectoryHost, directory: Handle, log: Handle) {
    this.#host = host;
    this.#directory = directory;
    this.#log = log;
  }

  /**
   * Opens the sidecar of the host's top directory for writing, and makes it if there is none.
   *
   * @throws {BtrfsError} `busy` while another process receives here.
   */
  static open(host: DirectoryHost): Sidecar {
    const top = host.openDirectory(new Uint8Array(0));
    try {
      if (!host.has(top, SIDECAR)) host.makeDirectory(top, SIDECAR);
    } finally {
      host.close(top);
    }
    const directory = host.openDirectory(SIDECAR);
    try {
      if (!host.lock(directory)) {
        throw new BtrfsError("busy", "Cannot receive: another btrkit is receiving into this directory");
      }
      const isNew = !host.has(directory, LOG);
      const log = isNew ? host.createFile(directory, LOG) : host.openRegular(directory, LOG, "write");
      const sidecar = new Sidecar(host, directory, log);
      if (isNew) sidecar.#append({ format: FORMAT, version: VERSION });
      else sidecar.#read(log);
      return sidecar;
    } catch (error) {
      host.close(directory);
      throw error;
    }
  }

  close(): void {
    this.#host.close(this.#log);
    this.#host.close(this.#directory);
  }

  get subvolumes(): ReceivedSubvolume[] {
    return [...this.#entries.values()].filter(({ state }) => state !== "gone");
  }

  /** The complete subvolume of a uuid that `isThere`, by received uuid first; the last one of several. */
  find(uuid: Uint8Array, isThere: (entry: ReceivedSubvolume) => boolean): ReceivedSubvolume | undefined {
    const wanted = formatUuid(uuid);
    const complete = this.subvolumes.filter(({ state }) => state === "complete").reverse();
    return (
      complete.find((entry) => entry.receivedUuid === wanted && isThere(entry)) ??
      complete.find((entry) => entry.uuid === wanted && isThere(entry))
    );
  }

  at(path: Uint8Array): ReceivedSubvolume | undefined {
    return this.subvolumes.findLast((entry) => Buffer.compare(entry.path, path) === 0);
  }

  /** Adds a line, which counts from now on, and makes it durable. */
  note(entry: ReceivedSubvolume): void {
    const { path, state, uuid, receivedUuid, ctransid, parentUuid, inPlace } = entry;
    this.#append({
      state,
      ...pathJson(path),
      uuid,
      received_uuid: receivedUuid,
      ctransid: ctransid.toString(),
      parent_uuid: parentUuid ?? null,
      in_place: inPlace,
    });
    this.#set(entry);
    this.#host.syncFile(this.#log);
  }

  /** Keeps how paths differ from what was sent, in place of what was kept before. */
  keepDifferences(uuid: string, lines: Iterable<{ readonly path: Uint8Array; readonly difference: Difference }>): void {
    const host = this.#host;
    const name = differencesName(uuid);
    const beside = Buffer.from(`${uuid}.part`);
    host.remove(this.#directory, beside);
    const file = host.createFile(this.#directory, beside);
    let at = 0n;
    let count = 0;
    try {
      let text = `${JSON.stringify({ format: "btrkit differences", version: VERSION })}\n`;
      const write = () => {
        const bytes = Buffer.from(text);
        host.write(file, bytes, at);
        at += BigInt(bytes.byteLength);
        text = "";
      };
      for (const { path, difference } of lines) {
        text += `${JSON.stringify({ ...pathJson(path), ...differenceJson(difference) })}\n`;
        count++;
        if (text.length > 1 << 16) write();
      }
      write();
      host.syncFile(file);
    } finally {
      host.close(file);
    }
    if (count > 0) host.move(this.#directory, beside, this.#directory, name);
    else {
      host.unlink(this.#directory, beside);
      host.remove(this.#directory, name);
    }
  }

  /** By path, a character for a byte. */
  differences(uuid: string): Map<string, Difference> {
    const host = this.#host;
    const found = new Map<string, Difference>();
    const name = differencesName(uuid);
    if (!host.has(this.#directory, name)) return found;
    const file = host.openRegular(this.#directory, name, "read");
    try {
      let isFirst = true;
      for (const line of linesOf(host, file)) {
        const json = parseLine(line, name);
        if (isFirst) checkVersion(json, "btrkit differences", name);
        else found.set(Buffer.from(pathOf(json, name)).toString("latin1"), differenceOf(json, name));
        isFirst = false;
      }
    } finally {
      host.close(file);
    }
    return found;
  }

  /** Forgets what was kept of one that is gone. */
  dropDifferences(uuid: string): void {
    this.#host.remove(this.#directory, differencesName(uuid));
  }

  #set(entry: ReceivedSubvolume): void {
    // Also moves it to the end.
    this.#entries.delete(entry.uuid);
    this.#entries.set(entry.uuid, entry);
  }

  #append(json: unknown): void {
    const bytes = Buffer.from(`${JSON.stringify(json)}\n`);
    this.#host.write(this.#log, bytes, this.#end);
    this.#end += BigInt(bytes.byteLength);
  }

  #read(log: Handle): void {
    const { size } = this.#host.stat(log, undefined);
    if (size > MAX_LOG_BYTES) throw new CorruptError(`Cannot read sidecar: it has ${size} bytes`, where(LOG));
    let isFirst = true;
    for (const line of linesOf(this.#host, log)) {
      const json = parseLine(line, LOG);
      this.#end += BigInt(Buffer.byteLength(line) + 1);
      if (isFirst) checkVersion(json, FORMAT, LOG);
      else this.#set(entryOf(json));
      isFirst = false;
    }
    // A line without an end was cut by a crash: it never counted.
    if (this.#end < size) this.#host.truncate(log, this.#end);
    if (isFirst) this.#append({ format: FORMAT, version: VERSION });
  }
}

function differencesName(uuid: string): Uint8Array {
  return Buffer.from(`${uuid}.jsonl`);
}

/** Whole lines only; each is UTF-8. */
function* linesOf(host: DirectoryHost, file: Handle): Generator<string> {
  const buffer = Buffer.alloc(1 << 16);
  let rest = Buffer.alloc(0);
  for (let at = 0n; ; ) {
    const count = host.read(file, buffer, at);
    if (count === 0) return;
    at += BigInt(count);
    rest = Buffer.concat([rest, buffer.subarray(0, count)]);
    let start = 0;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, start)) {
      yield rest.toString("utf8", start, end);
      start = end + 1;
    }
    rest = rest.subarray(start);
  }
}

type Json = Readonly<Record<string, unknown>>;

function parseLine(line: string, name: Uint8Array): Json {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value as Json;
  } catch {}
  throw new CorruptError(`Cannot read sidecar: a line is no JSON object: ${line.slice(0, 60)}`, where(name));
}

function checkVersion({ format, version }: Json, expected: string, name: Uint8Array): void {
  if (format !== expected) throw new CorruptError(`Cannot read sidecar: it is no "${expected}"`, where(name));
  if (version === VERSION) return;
  throw new UnsupportedError(`Cannot read sidecar: its version is ${version}, known is ${VERSION}`, where(name));
}

function entryOf(json: Json): ReceivedSubvolume {
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

function pathOf({ path, path_b64: bytes }: Json, name: Uint8Array): Uint8Array {
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

function differenceOf(json: Json, name: Uint8Array): Difference {
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

function where(name: Uint8Array) {
  return { file: `${SIDECAR}/${displayName(name)}` };
}
