import { ATTRIBUTES } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { COMMANDS, type CommandName } from "../stream/commands.ts";

/** Commands that belong together, from one place in a batch up to `end`. */
export interface Unit {
  readonly kind: /** Makes a regular file under its final name, and all that follows on it. */
    | "newFile"
    /** Data and attributes of a regular file that is there. */
    | "file"
    /** Makes a directory, link or node under its final name, and sets its attributes. */
    | "newName"
    /** Sets the times of something that is there. */
    | "times"
    /** Anything else: it may see, or change, what other commands have done. */
    | "alone";
  readonly end: number;
  /** What it is about; each character is one byte. */
  readonly path: string;
  /** The name that it begins with: of something new, a temporary one. */
  readonly firstPath: string;
  /** It reads other files of the same subvolume. */
  readonly readsOthers: boolean;
}

const UTIMES = COMMANDS.utimes.number;

const numbers = (...names: CommandName[]): ReadonlySet<number> => new Set(names.map((name) => COMMANDS[name].number));

const CREATIONS = numbers("mkfile", "mkdir", "mknod", "mkfifo", "mksock", "symlink");
const ATTRIBUTES_OF = numbers("setXattr", "removeXattr", "chmod", "chown", "utimes");
const DATA = numbers("write", "encodedWrite", "clone", "truncate", "fallocate", "updateExtent");
const MKFILE = COMMANDS.mkfile.number;
const RENAME = COMMANDS.rename.number;
const CLONE = COMMANDS.clone.number;
const PATH: number = ATTRIBUTES.path.number;
const PATH_TO = ATTRIBUTES.pathTo.number;

/** A path of command `i`: each character is one byte. */
export function pathAt(batch: CommandBatch, i: number, attribute = PATH): string {
  const slot = batch.find(i, attribute);
  const start = batch.valueAt(slot);
  return latin1(batch.bytes, start, start + batch.valueLength(slot));
}

/** Commands about one object follow each other: its path is made once. */
let recent = "";

function latin1(bytes: Uint8Array, start: number, end: number): string {
  if (!isText(bytes, start, end, recent)) recent = newLatin1(bytes, start, end);
  return recent;
}

function isText(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  // Paths differ at their ends.
  for (let n = text.length - 1; n >= 0; n--) if (bytes[start + n] !== text.charCodeAt(n)) return false;
  return true;
}

function newLatin1(bytes: Uint8Array, start: number, end: number): string {
  // As long as a path can be: safe as arguments of a call.
  return String.fromCharCode.apply(undefined, bytes.subarray(start, end) as unknown as number[]);
}

/**
 * The unit that begins with command `i`.
 *
 * Units of new files, of files and of new names commute with each other unless they are about the same path, or one of
 * them reads what the other writes; so they may run at the same time. A unit that is alone waits for all before it.
 */
export function unitAt(batch: CommandBatch, i: number, last: number): Unit {
  const type = batch.type(i);
  const path = pathAt(batch, i);
  if (CREATIONS.has(type)) {
    const isMoved = i + 1 < last && batch.type(i + 1) === RENAME && pathAt(batch, i + 1) === path;
    if (!isMoved) return { kind: "alone", end: i + 1, path, firstPath: path, readsOthers: false };
    const to = pathAt(batch, i + 1, PATH_TO);
    const isFile = type === MKFILE;
    const { end, readsOthers } = extent(batch, i + 2, last, to, isFile);
    return { kind: isFile ? "newFile" : "newName", end, path: to, firstPath: path, readsOthers };
  }
  if (!DATA.has(type) && !ATTRIBUTES_OF.has(type))
    return { kind: "alone", end: i + 1, path, firstPath: path, readsOthers: false };
  const { end, readsOthers, hasData } = extent(batch, i, last, path, true);
  if (hasData) return { kind: "file", end, path, firstPath: path, readsOthers };
  return { kind: type === UTIMES ? "times" : "alone", end: i + 1, path, firstPath: path, readsOthers: false };
}

/** Whether a command of this number is about one object that is there, and nothing else but what it clones from. */
export function isAboutOne(type: number): boolean {
  return DATA.has(type) || ATTRIBUTES_OF.has(type);
}

/** How far the commands on one object go from `i` on. */
function extent(
  batch: CommandBatch,
  i: number,
  last: number,
  path: string,
  withData: boolean,
): { readonly end: number; readonly hasData: boolean; readonly readsOthers: boolean } {
  let end = i;
  let hasData = false;
  let readsOthers = false;
  for (; end < last; end++) {
    const type = batch.type(end);
    const isData = withData && DATA.has(type);
    if (!(isData || ATTRIBUTES_OF.has(type)) || !isPath(batch, end, path)) break;
    hasData ||= isData;
    readsOthers ||= type === CLONE;
  }
  return { end, hasData, readsOthers };
}

/** Without making a string of it. */
function isPath(batch: CommandBatch, i: number, path: string): boolean {
  const slot = batch.find(i, PATH);
  const start = batch.valueAt(slot);
  return isText(batch.bytes, start, start + batch.valueLength(slot), path);
}
