import { formatUuid } from "../bytes/uuid.ts";
import { BtrfsError, CorruptError } from "../errors.ts";
import type { Handle } from "../restore/target.ts";
import type { DirectoryHost } from "./directory-host.ts";
import type { Difference } from "./directory-records.ts";
import {
  checkHead,
  differenceLine,
  differenceOf,
  entryLine,
  entryOf,
  headOf,
  LOG,
  parseLine,
  pathOf,
  type ReceivedSubvolume,
  SIDECAR,
  where,
} from "./directory-sidecar-lines.ts";

/** Larger ones are no log of ours. */
const MAX_LOG_BYTES = 256n << 20n;

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
      if (isNew) sidecar.#append(headOf("log"));
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
    this.#append(entryLine(entry));
    this.#set(entry);
    this.#host.syncFile(this.#log);
  }

  /** Keeps how paths differ from what was sent, in place of what was kept before. */
  keepDifferences(uuid: string, lines: Iterable<{ readonly path: Uint8Array; readonly difference: Difference }>): void {
    const host = this.#host;
    const name = differencesName(uuid);
    const beside = unfinishedName(uuid);
    const file = host.createFile(this.#directory, beside);
    let at = 0n;
    let count = 0;
    try {
      let text = `${headOf("differences")}\n`;
      const write = () => {
        const bytes = Buffer.from(text);
        host.write(file, bytes, at);
        at += BigInt(bytes.byteLength);
        text = "";
      };
      for (const { path, difference } of lines) {
        text += `${differenceLine(path, difference)}\n`;
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
        if (isFirst) checkHead(json, "differences", name);
        else found.set(Buffer.from(pathOf(json, name)).toString("latin1"), differenceOf(json, name));
        isFirst = false;
      }
    } finally {
      host.close(file);
    }
    return found;
  }

  /** Forgets what was kept of one that is gone, also where that was interrupted. */
  dropDifferences(uuid: string): void {
    this.#host.remove(this.#directory, differencesName(uuid));
    this.#host.remove(this.#directory, unfinishedName(uuid));
  }

  #set(entry: ReceivedSubvolume): void {
    // Also moves it to the end.
    this.#entries.delete(entry.uuid);
    this.#entries.set(entry.uuid, entry);
  }

  #append(line: string): void {
    const bytes = Buffer.from(`${line}\n`);
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
      if (isFirst) checkHead(json, "log", LOG);
      else this.#set(entryOf(json));
      isFirst = false;
    }
    // A line without an end was cut by a crash: it never counted.
    if (this.#end < size) this.#host.truncate(log, this.#end);
    if (isFirst) this.#append(headOf("log"));
  }
}

function differencesName(uuid: string): Uint8Array {
  return Buffer.from(`${uuid}.jsonl`);
}

/** Until all differences are written. */
function unfinishedName(uuid: string): Uint8Array {
  return Buffer.from(`${uuid}.part`);
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
