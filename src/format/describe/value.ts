import { hex } from "../../bytes/bytes.ts";
import type { Located } from "../../bytes/struct.ts";
import { formatUuid, isZeroUuid, UUID_BYTES } from "../../bytes/uuid.ts";
import { DiskKey, type Key } from "../key.ts";
import { keyTypeName } from "../key-type.ts";

/** Bytes are a name; everything else is as JSON has it, but for u64s. */
export type Value = number | bigint | string | null | Uint8Array | readonly Value[] | Described;

/**
 * What a structure says, field by field, in the kernel's names: to print it, or to make JSON of it. Where `field` is a
 * number that stands for words, `field_name` or `field_names` has them.
 */
export interface Described {
  readonly [field: string]: Value;
}

const UNSAID = new Set(["view", "at", "reserved", "unused", "padding"]);

/** The fields of a struct: u64s as bigints, uuids as text or `null`, checksums in hexadecimal, keys and structs inside. */
export function fieldsOf(struct: Located): Described {
  const fields: Record<string, Value> = {};
  for (const name in struct) {
    if (!UNSAID.has(name)) fields[snakeCase(name)] = plain(struct[name as keyof Located] as unknown);
  }
  return fields;
}

function plain(value: unknown): Value {
  if (typeof value === "number" || typeof value === "bigint") return value;
  if (value instanceof Uint8Array) return value.byteLength === UUID_BYTES ? uuidText(value) : hex(value);
  if (value instanceof DiskKey) return describeKey(value);
  return fieldsOf(value as Located);
}

export function uuidText(uuid: Uint8Array): string | null {
  return isZeroUuid(uuid) ? null : formatUuid(uuid);
}

export function describeKey({ objectid, type, offset }: Key): Described {
  return { objectid, type, type_name: keyTypeName(type), offset };
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
