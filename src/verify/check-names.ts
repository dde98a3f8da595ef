import type { ErrorCode } from "../errors.ts";
import { ATTRIBUTES, attributeName } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { COMMANDS, commandWord } from "../stream/commands.ts";
import { MAX_NAME_BYTES, pathFault } from "../stream/path.ts";

const PATHS: readonly number[] = [ATTRIBUTES.path.number, ATTRIBUTES.pathTo.number, ATTRIBUTES.clonePath.number];
const PATH = ATTRIBUTES.path.number;
const PATH_LINK = ATTRIBUTES.pathLink.number;
const XATTR_NAME = ATTRIBUTES.xattrName.number;
const { subvol: SUBVOL, snapshot: SNAPSHOT, symlink: SYMLINK } = COMMANDS;

const MAX_TARGET_BYTES = 4095;
const SLASH = 0x2f;

export interface NameFault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly attribute: number;
  readonly attributeName: string;
}

/** Whether the names in a command stay below the subvolume, and are such as a filesystem can hold. */
export function nameFaultOf(batch: CommandBatch, i: number): NameFault | undefined {
  const type = batch.type(i);
  for (let slot = batch.firstSlot(i); slot < batch.firstSlot(i + 1); slot++) {
    const attribute = batch.slotAttribute(slot);
    const at = batch.valueAt(slot);
    const end = at + batch.valueLength(slot);
    let fault: string | undefined;
    if (attribute === PATH_LINK && type === SYMLINK.number) fault = targetFault(batch.bytes, at, end);
    else if (attribute === XATTR_NAME) fault = xattrNameFault(batch.bytes, at, end);
    else if (attribute === PATH && (type === SUBVOL.number || type === SNAPSHOT.number)) {
      fault = subvolumeNameFault(batch.bytes, at, end);
    } else if (attribute === PATH_LINK || PATHS.includes(attribute)) fault = pathFault(batch.bytes, at, end);
    if (fault === undefined) continue;
    const name = attributeName(attribute);
    const message = `Cannot trust ${commandWord(type)}: ${name} is not safe to use, ${fault}`;
    return { code: "path", message, attribute, attributeName: name };
  }
  return undefined;
}

function targetFault(bytes: Uint8Array, at: number, end: number): string | undefined {
  if (at === end) return "it is empty";
  if (end - at > MAX_TARGET_BYTES) return `it has ${end - at} bytes, at most ${MAX_TARGET_BYTES} are allowed`;
  return hasNul(bytes, at, end) ? "it holds a NUL" : undefined;
}

function xattrNameFault(bytes: Uint8Array, at: number, end: number): string | undefined {
  if (at === end) return "it is empty";
  if (end - at > MAX_NAME_BYTES) return `it has ${end - at} bytes, at most ${MAX_NAME_BYTES} are allowed`;
  return hasNul(bytes, at, end) ? "it holds a NUL" : undefined;
}

function subvolumeNameFault(bytes: Uint8Array, at: number, end: number): string | undefined {
  if (at === end) return "it is empty";
  const fault = pathFault(bytes, at, end);
  if (fault !== undefined) return fault;
  for (let byte = at; byte < end; byte++) if (bytes[byte] === SLASH) return "it is more than one name";
  return undefined;
}

function hasNul(bytes: Uint8Array, at: number, end: number): boolean {
  for (let byte = at; byte < end; byte++) if (bytes[byte] === 0) return true;
  return false;
}
