import { ATTRIBUTE_SIZES, ATTRIBUTES, type AttributeField } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { COMMANDS, type CommandName, MAX_COMMAND } from "../stream/commands.ts";
import type { LineBuffer } from "./line-buffer.ts";
import { LocalTime, type TimeZone } from "./local-time.ts";

/** Why a command could not be shown: the sentence of `btrfs receive`, and the error that it ends with. */
export interface DumpFault {
  readonly sentence: Uint8Array;
  readonly reason: string;
}

/** Linux's PATH_MAX. */
const MAX_PATH = 4096;
const NAME_COLUMN = 16;
const PATH_COLUMN = 32;

/** A line has three strings of at most 65535 bytes, each escaped to four times that, and little else. */
export const MAX_LINE_BYTES = 3 * 4 * 65536;

const encoder = new TextEncoder();

/** Texts of the lines, made once. */
const texts = new Map<string, Uint8Array>();
function t(text: string): Uint8Array {
  if (!texts.has(text)) texts.set(text, encoder.encode(text));
  return texts.get(text)!;
}

/** How a value is shown. Strings end at a NUL, as in C. */
type Show =
  | "int"
  | "u64"
  | "u32"
  | "s32"
  | "u8"
  | "octal"
  | "hex"
  | "raw"
  | "length"
  | "uuid"
  | "time"
  | "link"
  | "to"
  | "from";

interface Field {
  readonly label: Uint8Array;
  readonly attribute: number;
  readonly show: Show;
}

interface Line {
  /** The name, filled up to its column. */
  readonly name: Uint8Array;
  readonly word: string;
  /** What must be there, in the order in which it is asked for. */
  readonly needed: Uint8Array;
  readonly fields: readonly Field[];
}

/** What comes after the path: `label attribute how`. A label begins with what separates it from the field before. */
const LINES: Readonly<Partial<Record<CommandName, readonly (readonly [string, AttributeField, Show])[]>>> = {
  subvol: [
    ["uuid=", "uuid", "uuid"],
    [" transid=", "ctransid", "u64"],
  ],
  snapshot: [
    ["uuid=", "uuid", "uuid"],
    [" transid=", "ctransid", "u64"],
    [" parent_uuid=", "cloneUuid", "uuid"],
    [" parent_transid=", "cloneCtransid", "u64"],
  ],
  mkfile: [],
  mkdir: [],
  mknod: [
    ["mode=", "mode", "octal"],
    [" dev=0x", "rdev", "hex"],
  ],
  mkfifo: [],
  mksock: [],
  symlink: [["dest=", "pathLink", "link"]],
  rename: [["dest=", "pathTo", "to"]],
  link: [["dest=", "pathLink", "link"]],
  unlink: [],
  rmdir: [],
  setXattr: [
    ["name=", "xattrName", "raw"],
    [" data=", "xattrData", "raw"],
    [" len=", "xattrData", "length"],
  ],
  removeXattr: [["name=", "xattrName", "raw"]],
  write: [
    ["offset=", "fileOffset", "u64"],
    [" len=", "data", "length"],
  ],
  clone: [
    ["offset=", "fileOffset", "u64"],
    // Through an int, as btrfs-progs prints it.
    [" len=", "cloneLen", "int"],
    [" from=", "clonePath", "from"],
    [" clone_offset=", "cloneOffset", "u64"],
  ],
  truncate: [["size=", "size", "u64"]],
  chmod: [["mode=", "mode", "octal"]],
  chown: [
    ["gid=", "gid", "u64"],
    [" uid=", "uid", "u64"],
  ],
  utimes: [
    ["atime=", "atime", "time"],
    [" mtime=", "mtime", "time"],
    [" ctime=", "ctime", "time"],
  ],
  updateExtent: [
    ["offset=", "fileOffset", "u64"],
    [" len=", "size", "u64"],
  ],
  fallocate: [
    ["mode=", "fallocateMode", "s32"],
    [" offset=", "fileOffset", "u64"],
    [" len=", "size", "u64"],
  ],
  // Decimal after 0x, as btrfs-progs prints it.
  fileattr: [["fileattr=0x", "fileattr", "u64"]],
  encodedWrite: [
    ["offset=", "fileOffset", "u64"],
    [" len=", "data", "length"],
    [", unencoded_file_len=", "unencodedFileLen", "u64"],
    [", unencoded_len=", "unencodedLen", "u64"],
    [", unencoded_offset=", "unencodedOffset", "u64"],
    [", compression=", "compression", "u32"],
    [", encryption=", "encryption", "u32"],
  ],
  enableVerity: [
    ["algorithm=", "verityAlgorithm", "u8"],
    [" block_size=", "verityBlockSize", "u32"],
    [" salt_len=", "veritySaltData", "length"],
    [" sig_len=", "veritySigData", "length"],
  ],
};

/** What `btrfs receive` asks for, where that is not the kernel's order or not all of it. */
const NEEDED: Readonly<Partial<Record<CommandName, readonly AttributeField[]>>> = {
  mknod: ["path", "ino", "mode", "rdev"],
  clone: ["path", "fileOffset", "cloneLen", "cloneUuid", "cloneCtransid", "clonePath", "cloneOffset"],
};

const PATH = ATTRIBUTES.path.number;
const OPTIONAL: ReadonlySet<number> = new Set([ATTRIBUTES.compression.number, ATTRIBUTES.encryption.number]);
const SUBVOL = COMMANDS.subvol.number;
const SNAPSHOT = COMMANDS.snapshot.number;
const UTIMES = COMMANDS.utimes.number;
const RENAME = COMMANDS.rename.number;
const SYMLINK = COMMANDS.symlink.number;
const LINK = COMMANDS.link.number;
const CLONE = COMMANDS.clone.number;

const lines: (Line | undefined)[] = new Array(MAX_COMMAND + 1).fill(undefined);
for (const [name, fields] of Object.entries(LINES) as [CommandName, NonNullable<(typeof LINES)[CommandName]>][]) {
  const word = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const needed = NEEDED[name] ?? COMMANDS[name].attributes.filter((entry) => !entry.endsWith("?"));
  const numbers: number[] = needed.map((field) => ATTRIBUTES[field as AttributeField].number);
  if (name === "encodedWrite") numbers.splice(-1, 0, ...OPTIONAL);
  lines[COMMANDS[name].number] = {
    name: t(word.padEnd(NAME_COLUMN)),
    word,
    needed: Uint8Array.from(numbers),
    fields: fields.map(([label, field, show]) => ({ label: t(label), attribute: ATTRIBUTES[field].number, show })),
  };
}

/** Writes commands as the lines of `btrfs receive --dump` (btrfs-progs 6.2). */
export class DumpFormatter {
  readonly #out: LineBuffer;
  readonly #time: LocalTime;
  /** The subvolume that the commands are in, with `./` in front. */
  #subvolume: Uint8Array = t(".");

  constructor(out: LineBuffer, zone: TimeZone) {
    this.#out = out;
    this.#time = new LocalTime(zone);
  }

  /** One line, or none for what has no line. Attributes are checked here, as and when `btrfs receive` does. */
  put(batch: CommandBatch, i: number): DumpFault | undefined {
    const type = batch.type(i);
    const line = type <= MAX_COMMAND ? lines[type] : undefined;
    if (line === undefined) return undefined;
    const fault = missingOrOdd(batch, i, line);
    if (fault !== undefined) return fault;
    return this.#putLine(batch, i, type, line);
  }

  #putLine(batch: CommandBatch, i: number, type: number, line: Line): DumpFault | undefined {
    const out = this.#out;
    if (type === SUBVOL || type === SNAPSHOT) return this.#enter(batch, i, line);
    if (type === UTIMES) {
      const fault = this.#checkTimes(batch, i, line);
      if (fault !== undefined) return fault;
    }
    if ((type === RENAME || type === CLONE) && !this.#fits(batch, i, line.fields[type === RENAME ? 0 : 2]!.attribute)) {
      return tooLong(line, batch, i, line.fields[type === RENAME ? 0 : 2]!.attribute);
    }
    if (!this.#fits(batch, i, PATH)) {
      const fault = tooLong(line, batch, i, PATH);
      if (type !== SYMLINK && type !== LINK && type !== RENAME) return fault;
      // btrfs-progs prints the rest of the line all the same, and counts no error.
      this.#putField(batch, i, line.fields[0]!);
      out.byte(10);
      return { ...fault, reason: "" };
    }
    out.text(line.name);
    const start = out.at;
    this.#putPath(batch, i, PATH, true);
    this.#putFields(batch, i, line, start);
    return undefined;
  }

  #putFields(batch: CommandBatch, i: number, line: Line, pathStart: number): void {
    const { fields } = line;
    if (fields.length > 0) {
      this.#out.pad(pathStart, PATH_COLUMN);
      for (let f = 0; f < fields.length; f++) {
        this.#out.text(fields[f]!.label);
        this.#putField(batch, i, fields[f]!);
      }
    }
    this.#out.byte(10);
  }

  #putField(batch: CommandBatch, i: number, { attribute, show }: Field): void {
    const out = this.#out;
    const slot = batch.find(i, attribute);
    const at = slot < 0 ? -1 : batch.valueAt(slot);
    switch (show) {
      case "u64":
        out.u64(batch.view, at);
        break;
      case "int":
        out.ascii(BigInt.asUintN(64, BigInt(batch.view.getInt32(at, true))).toString());
        break;
      case "u32":
        out.u32(at < 0 ? 0 : batch.view.getUint32(at, true));
        break;
      case "s32":
        out.ascii(String(batch.view.getInt32(at, true)));
        break;
      case "u8":
        out.u32(batch.bytes[at]!);
        break;
      case "octal":
        out.u64Radix(batch.view, at, 8);
        break;
      case "hex":
        out.u64Radix(batch.view, at, 16);
        break;
      case "length":
        out.u32(batch.valueLength(slot));
        break;
      case "raw":
        out.raw(batch.bytes, at, stringEnd(batch, slot));
        break;
      case "link":
        out.escaped(batch.bytes, at, stringEnd(batch, slot));
        break;
      case "to":
        this.#putPath(batch, i, attribute, true);
        break;
      case "from":
        this.#putPath(batch, i, attribute, false);
        break;
      case "uuid":
        putUuid(out, batch.bytes, at);
        break;
      case "time":
        this.#time.put(out, batch.view, at);
    }
  }

  /** SUBVOL and SNAPSHOT: from here on paths are inside of theirs. */
  #enter(batch: CommandBatch, i: number, line: Line): DumpFault | undefined {
    const slot = batch.find(i, PATH);
    const at = batch.valueAt(slot);
    let end = stringEnd(batch, slot);
    if (1 + end - at + 2 >= MAX_PATH) return tooLong(line, batch, i, PATH);
    if (end > at && batch.bytes[end - 1] === SLASH) end--;
    const path = new Uint8Array(2 + end - at);
    path.set([DOT, SLASH]);
    path.set(batch.bytes.subarray(at, end), 2);
    this.#subvolume = path;
    this.#out.text(line.name);
    const start = this.#out.at;
    this.#out.escaped(path, 0, path.byteLength);
    this.#putFields(batch, i, line, start);
    return undefined;
  }

  #fits(batch: CommandBatch, i: number, attribute: number): boolean {
    const slot = batch.find(i, attribute);
    // The NUL that may end it early only matters near the limit.
    const most = this.#subvolume.byteLength + 2 + batch.valueLength(slot);
    if (most < MAX_PATH) return true;
    return this.#subvolume.byteLength + 2 + stringEnd(batch, slot) - batch.valueAt(slot) < MAX_PATH;
  }

  /** The path behind the subvolume's, joined by a slash; of either, one slash at the end is dropped. */
  #putPath(batch: CommandBatch, i: number, attribute: number, isEscaped: boolean): void {
    const out = this.#out;
    const slot = batch.find(i, attribute);
    const at = batch.valueAt(slot);
    let end = stringEnd(batch, slot);
    if (end > at && batch.bytes[end - 1] === SLASH) end--;
    const subvolume = this.#subvolume;
    const length = subvolume.byteLength - (subvolume[subvolume.byteLength - 1] === SLASH ? 1 : 0);
    if (isEscaped) {
      out.escaped(subvolume, 0, length);
      out.byte(SLASH);
      out.escaped(batch.bytes, at, end);
    } else {
      out.raw(subvolume, 0, length);
      out.byte(SLASH);
      out.raw(batch.bytes, at, end);
    }
  }

  /** A time that local time can't show ends the command before anything is printed. */
  #checkTimes(batch: CommandBatch, i: number, line: Line): DumpFault | undefined {
    const out = this.#out;
    const start = out.at;
    for (const { attribute } of line.fields) {
      const at = batch.valueAt(batch.find(i, attribute));
      const high = batch.view.getInt32(at + 4, true);
      // Numbers of this size are within the range of years.
      if (high < SAFE_HIGH && high >= -SAFE_HIGH) continue;
      const shown = this.#time.put(out, batch.view, at);
      out.at = start;
      if (shown) continue;
      const nanoseconds = String(batch.view.getUint32(at + 8, true)).padStart(9, "0");
      return invalid(`failed to convert time ${batch.view.getBigInt64(at, true)}.${nanoseconds} to local time`);
    }
    return undefined;
  }
}

const DOT = 46;
const SLASH = 47;
const SAFE_HIGH = 0x10_0000;

function missingOrOdd(batch: CommandBatch, i: number, { needed }: Line): DumpFault | undefined {
  for (let n = 0; n < needed.length; n++) {
    const attribute = needed[n]!;
    const slot = batch.find(i, attribute);
    if (slot < 0) {
      if (OPTIONAL.has(attribute)) continue;
      return fault(`attribute ${attribute} requested but not present`, "No such file or directory");
    }
    const size = ATTRIBUTE_SIZES[attribute]!;
    if (size < 0 || size === batch.valueLength(slot)) continue;
    return invalid(`invalid size for attribute, expected = ${size}, got = ${batch.valueLength(slot)}`);
  }
  return undefined;
}

/** Where a string ends in `batch.bytes`: at its first NUL, if it has one. */
function stringEnd(batch: CommandBatch, slot: number): number {
  const at = batch.valueAt(slot);
  const end = at + batch.valueLength(slot);
  const { bytes } = batch;
  for (let i = at; i < end; i++) if (bytes[i] === 0) return i;
  return end;
}

function putUuid(out: LineBuffer, bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) out.byte(45);
    const byte = bytes[at + i]!;
    out.byte(HEX[byte >> 4]!);
    out.byte(HEX[byte & 15]!);
  }
}

const HEX = t("0123456789abcdef");

export function fault(sentence: string, reason: string): DumpFault {
  return { sentence: encoder.encode(sentence), reason };
}

function invalid(sentence: string): DumpFault {
  return fault(sentence, "Invalid argument");
}

/** Shows the path as it came, with a line of its own after it. */
function tooLong({ word }: Line, batch: CommandBatch, i: number, attribute: number): DumpFault {
  const slot = batch.find(i, attribute);
  const path = batch.bytes.slice(batch.valueAt(slot), stringEnd(batch, slot));
  const head = encoder.encode(`${word}: path invalid: `);
  const sentence = new Uint8Array(head.byteLength + path.byteLength + 1);
  sentence.set(head);
  sentence.set(path, head.byteLength);
  sentence[sentence.byteLength - 1] = 10;
  return { sentence, reason: "File name too long" };
}
