import { expect } from "vitest";
import { USAGE_TYPES, type Usage } from "../../../src/index.ts";
import { tryRun } from "./run.ts";

/** Numbers by type, as compsize prints them. */
export interface Peer {
  readonly files: number;
  readonly extents: number;
  readonly references: number;
  readonly inline: number;
  readonly types: Readonly<Record<string, readonly bigint[]>>;
}

const NOTHING: Peer = { files: 0, extents: 0, references: 0, inline: 0, types: {} };

export async function compsize(path: string): Promise<Peer> {
  const { stdout, stderr, code } = await tryRun("compsize", ["-b", path]);
  const text = stdout.toString();
  const counts = /^Processed (\d+) files?, (\d+) regular extents? \((\d+) refs?\), (\d+) inline\.$/m.exec(text);
  if (counts === null) {
    // It takes a tree without extents for a failure.
    expect(`${text}${stderr}`).toMatch(/^(No files|Processed \d+ files?)|All empty or still-delalloced/);
    return NOTHING;
  }
  expect(code).toBe(0);
  const [files, extents, references, inline] = counts.slice(1).map(Number) as [number, number, number, number];
  const types: Record<string, bigint[]> = {};
  for (const [, type, ...numbers] of text.matchAll(/^(\w+) +\d+% +(\d+) +(\d+) +(\d+) *$/gm)) {
    types[type!.toLowerCase()] = numbers.map(BigInt);
  }
  expect(Object.keys(types)).toContain("total");
  return { files, extents, references, inline, types };
}

export function asPeer({ files, extents, references, inline, total, byType }: Usage): Peer {
  if (references + inline === 0) return NOTHING;
  const types: Record<string, bigint[]> = { total: [total.stored, total.decoded, total.referenced] };
  for (const type of USAGE_TYPES) {
    const bytes = byType[type];
    if (bytes !== undefined) types[type] = [bytes.stored, bytes.decoded, bytes.referenced];
  }
  return { files, extents, references, inline, types };
}
