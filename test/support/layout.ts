import { readdirSync } from "node:fs";
import { resolve } from "node:path";

/** Size and field offsets of one struct, in bytes, under the C names. */
export interface Layout {
  readonly size: number;
  readonly fields: Readonly<Record<string, number>>;
}

interface Declared {
  readonly structName: string;
  readonly byteLength: number;
  readonly offsets: Readonly<Record<string, number>>;
}

/** The header counts the first of the stripes that follow; ours does not. */
const TAILS: Readonly<Record<string, number>> = { btrfs_chunk: 32 };

/** Every struct that `src/format` declares. */
export async function declaredStructs(): Promise<Declared[]> {
  const folder = resolve(import.meta.dirname, "../../src/format");
  const files = readdirSync(folder).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
  const modules = await Promise.all(files.map((name) => import(resolve(folder, name)) as Promise<object>));
  return modules.flatMap((exports) => Object.values(exports)).filter((value) => "structName" in Object(value));
}

/**
 * What a declaration says otherwise than the header, in words. A field of the header's name has to be at the header's
 * offset; one of another name (we spell out what C cuts short) has to start where some field starts.
 * Structs that the header lacks are not compared.
 */
export function differences(declared: Declared, headers: Readonly<Record<string, Layout>>): string[] {
  const header = headers[declared.structName];
  if (header === undefined) return [];
  const found: string[] = [];
  const size = header.size - (TAILS[declared.structName] ?? 0);
  const starts = new Set(Object.values(header.fields));
  if (declared.byteLength !== size) found.push(`size ${declared.byteLength}, header ${size}`);
  for (const [field, offset] of Object.entries(declared.offsets)) {
    const name = field.replace(/([A-Z]|(?<=[a-z])\d)/g, (part) => `_${part.toLowerCase()}`);
    const expected = header.fields[name] ?? header.fields[field];
    // One array in the header, fields with names here: their order is the header's enumeration.
    if (expected === undefined && (starts.has(offset) || header.fields.values === 0)) continue;
    if (offset !== expected) found.push(`${name} at ${offset}, header ${expected ?? "starts no field there"}`);
  }
  return found.map((difference) => `${declared.structName}: ${difference}`);
}
