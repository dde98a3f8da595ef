import { chmodSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { withSidecar } from "../support/sidecar-tree.ts";
import type { TreeEntry } from "../support.ts";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, type Profile } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { peerSend, type SendOptions } from "./support/peer.ts";
import { PlainFilesystem } from "./support/plain-filesystem.ts";
import { receiveDirectory } from "./support/receive-directory.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

// Streams that `btrfs send` makes of random histories, received into a directory of another filesystem. What is there,
// with what the sidecar says could not be held laid over it, has to be what was sent, in every detail.

const SENDS: readonly (SendOptions & { readonly name: string })[] = [
  { name: "v1", protocol: 1 },
  { name: "v2", protocol: 2 },
  { name: "compressed", protocol: 2, compressed: true },
];
const SNAPSHOTS = ["s1", "s2", "s3"];

interface Case {
  readonly seed: number;
  readonly profile: Profile;
  readonly on: "tmpfs" | "ext4";
  readonly user: boolean;
  readonly mount: string;
}

const CASES: readonly Case[] = [
  { seed: 101, profile: "everything", on: "tmpfs", user: false, mount: "compress-force=zstd" },
  { seed: 103, profile: "everything", on: "tmpfs", user: true, mount: "compress=zlib" },
  { seed: 104, profile: "everything", on: "ext4", user: true, mount: "compress-force=zstd" },
  { seed: 105, profile: "names", on: "ext4", user: true, mount: "compress=none" },
  { seed: 106, profile: "reflinks", on: "ext4", user: false, mount: "compress-force=zstd" },
  { seed: 107, profile: "data", on: "tmpfs", user: true, mount: "compress-force=lzo" },
];

describeKernel("receive into a plain directory", () => {
  test.for(CASES)(
    "history $seed of $profile on $on, as user: $user: equals what was sent, whatever the protocol",
    async ({ seed, profile, on, user, mount }) => {
      await using source = await TestFilesystem.make({ mount });
      await applyHistory(source.directory, makeHistory({ seed, profile, steps: 80 }));
      await source.remount("ro");
      for (const { name, ...send } of SENDS) {
        await using target = await PlainFilesystem.make(on);
        const streams = await sendAll(source, name, send);
        const received = receiveDirectory(target.directory, streams, { user });
        expect([received.stderr, received.said.error, received.status]).toEqual(["", undefined, 0]);
        for (const snapshot of SNAPSHOTS) {
          expect(await differences(source, target, snapshot), `${name} ${snapshot}`).toEqual([]);
        }
      }
    },
  );
});

/** A full stream, an increment, and one that may clone from all before. */
async function sendAll(source: TestFilesystem, name: string, send: SendOptions): Promise<string[]> {
  const at = (snapshot: string) => join(source.directory, snapshot);
  const streams: string[] = [];
  for (const [index, snapshot] of SNAPSHOTS.entries()) {
    const stream = join(source.work, `${name}-${snapshot}`);
    const parent = index === 0 ? {} : { parent: at(SNAPSHOTS[index - 1]!), clones: SNAPSHOTS.slice(0, index).map(at) };
    await peerSend([at(snapshot)], stream, { ...send, ...parent });
    chmodSync(stream, 0o644);
    streams.push(stream);
  }
  chmodSync(source.work, 0o755);
  return streams;
}

async function differences(source: TestFilesystem, target: PlainFilesystem, snapshot: string) {
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
