import { formatUuid, isZeroUuid } from "../bytes/uuid.ts";
import { ATTRIBUTES, attributeField } from "../stream/attributes.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { commandName } from "../stream/commands.ts";

/** Fields of 64 bits that hold 32 in the kernel: numbers. All other 64-bit fields are strings of decimal digits. */
const NUMBERS: ReadonlySet<string> = new Set(["mode", "uid", "gid", "rdev"]);

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * One sound command as an object for JSON.
 *
 * `command`, `segment`, `index` and `offset` (of its header in the stream, in bytes), then its attributes under the
 * kernel's names in small letters, of an attribute that comes twice the last one. A string that is not UTF-8 has its
 * bytes beside it as `…_b64`. Data appears by its length as `…_len`, and with `withData` by its bytes as `…_b64`. A uuid
 * of zeros is `null`; a time has `sec`, a string, and `nsec`, a number.
 */
export function commandToJson(batch: CommandBatch, i: number, withData: boolean): Record<string, unknown> {
  const type = batch.type(i);
  const name = commandName(type);
  const json: Record<string, unknown> = {
    command: name === undefined ? "unknown" : jsonName(name),
    segment: batch.segment.index,
    index: batch.index(i),
    offset: batch.streamOffset(i),
  };
  if (name === undefined) json.number = type;
  for (let slot = batch.firstSlot(i); slot < batch.firstSlot(i + 1); slot++) putAttribute(json, batch, slot, withData);
  return json;
}

function putAttribute(json: Record<string, unknown>, batch: CommandBatch, slot: number, withData: boolean): void {
  const number = batch.slotAttribute(slot);
  const at = batch.valueAt(slot);
  const bytes = batch.bytes.subarray(at, at + batch.valueLength(slot));
  const field = attributeField(number);
  const name = field === undefined ? `attribute_${number}` : jsonName(field);
  switch (field === undefined ? "data" : ATTRIBUTES[field].type) {
    case "u8":
      json[name] = batch.view.getUint8(at);
      break;
    case "u32":
      json[name] = batch.view.getUint32(at, true);
      break;
    case "u64":
      json[name] = u64Json(name, batch.view.getBigUint64(at, true));
      break;
    case "timespec":
      json[name] = { sec: String(batch.view.getBigInt64(at, true)), nsec: batch.view.getUint32(at + 8, true) };
      break;
    case "uuid":
      json[name] = isZeroUuid(bytes) ? null : formatUuid(bytes);
      break;
    case "string":
      putString(json, name, bytes);
      break;
    case "data":
      json[`${name}_len`] = bytes.byteLength;
      if (withData) json[`${name}_b64`] = base64(bytes);
  }
}

/** A number only where it is exact. */
function u64Json(name: string, value: bigint): number | string {
  return NUMBERS.has(name) && value <= Number.MAX_SAFE_INTEGER ? Number(value) : String(value);
}

function putString(json: Record<string, unknown>, name: string, bytes: Uint8Array): void {
  delete json[`${name}_b64`];
  try {
    json[name] = strict.decode(bytes);
  } catch {
    json[name] = lenient.decode(bytes);
    json[`${name}_b64`] = base64(bytes);
  }
}

/** `file_offset` for `fileOffset`: the kernel's word in small letters. */
function jsonName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** As many arguments as any engine takes. */
const CHARACTERS_AT_ONCE = 8192;

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.byteLength; at += CHARACTERS_AT_ONCE) {
    text += String.fromCharCode(...bytes.subarray(at, at + CHARACTERS_AT_ONCE));
  }
  return btoa(text);
}
