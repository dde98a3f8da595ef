import { chmodSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { withSidecar } from "../../support/sidecar-tree.ts";
import type { TreeEntry } from "../../support.ts";
import type { TestFilesystem } from "./filesystem.ts";
import { peerSend, type SendOptions } from "./peer.ts";
import type { PlainFilesystem } from "./plain-filesystem.ts";
import { treeDifferences, treeOf } from "./tree.ts";

/**
 * Sends each snapshot against the one before it, into files that anybody may read; each may clone from all before it.
 *
 * @param name Of the files, before the snapshot's.
 */
export async function sendAll(
  source: TestFilesystem,
  snapshots: readonly string[],
  name: string,
  send: SendOptions,
): Promise<string[]> {
  const at = (snapshot: string) => join(source.directory, snapshot);
  const streams: string[] = [];
  for (const [index, snapshot] of snapshots.entries()) {
    const stream = join(source.work, `${name}-${snapshot}`);
    const parent = index === 0 ? {} : { parent: at(snapshots[index - 1]!), clones: snapshots.slice(0, index).map(at) };
    await peerSend([at(snapshot)], stream, { ...send, ...parent });
    chmodSync(stream, 0o644);
    streams.push(stream);
  }
  chmodSync(source.work, 0o755);
  return streams;
}

/** What differs between a snapshot and what was received of it into a plain directory, its sidecar laid over. */
export async function differencesFromSent(
  source: TestFilesystem,
  target: PlainFilesystem,
  snapshot: string,
): Promise<string[]> {
  const expected = await treeOf(join(source.directory, snapshot), { holes: true });
  const actual = await treeOf(join(target.directory, snapshot), { holes: true });
  expect(actual.length).toBeGreaterThan(5);
  const told = withSidecar(target.directory, snapshot, actual);
  // Where the parent has data or room that was preallocated, a kernel sends zeros for what is a hole.
  return [...treeDifferences(told, expected, snapshot === "s1" ? [] : ["data"]), ...missingData(told, expected)];
}

/** Files where a hole is and should be none. */
function missingData(actual: readonly TreeEntry[], expected: readonly TreeEntry[]): string[] {
  const byPath = new Map(actual.map((entry) => [entry.path, entry.data ?? []]));
  return expected.flatMap(({ path, data = [] }) => {
    const has = byPath.get(path) ?? [];
    const isCovered = data.every(([at, length]) =>
      has.some(([from, bytes]) => from <= at && from + bytes >= at + length),
    );
    return isCovered ? [] : [`${path}: data is ${JSON.stringify(has)}, expected ${JSON.stringify(data)}`];
  });
}
