import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, type Profile, snapshotNames } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { fillBytes, type Operation } from "./support/operations.ts";
import { peerReceive, peerSend } from "./support/peer.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

const profiles: readonly Profile[] = ["names", "data", "reflinks", "everything"];

test.each(profiles)(
  "history of profile %s: the same seed gives the same operations, another seed others",
  (profile) => {
    const history = makeHistory({ seed: 7, profile });
    expect(makeHistory({ seed: 7, profile })).toEqual(history);
    expect(makeHistory({ seed: 8, profile })).not.toEqual(history);
    expect(snapshotNames(history)).toEqual(["s1", "s2", "s3"]);
  },
);

describeKernel("histories on a kernel", () => {
  test.each(profiles.flatMap((profile) => [1, 2, 3, 4].map((seed) => ({ profile, seed }))))(
    "every operation of $profile, seed $seed, is accepted, and leaves a sound filesystem",
    async ({ profile, seed }) => {
      await using filesystem = await TestFilesystem.make();
      await applyHistory(filesystem.directory, makeHistory({ seed, profile, steps: 150 }));
      await filesystem.unmount();
      const check = await filesystem.check();
      expect(check.stderr.toString()).not.toMatch(/error|mismatch/i);
      expect(check.code).toBe(0);
    },
  );

  test("the executor writes the bytes that fillBytes gives", async () => {
    await using filesystem = await TestFilesystem.make();
    const lengths = [1, 100, 4096, 70_001];
    const writes = (["text", "noise", "mixed", "zero"] as const).flatMap((kind) =>
      lengths.map((length) => ({ path: `live/${kind}-${length}`, length, fill: { kind, seed: length + 5 } })),
    );
    const operations: Operation[] = [{ op: "subvolume", path: "live" }];
    for (const write of writes) {
      operations.push({ op: "create", path: write.path }, { op: "write", offset: 0, ...write });
    }
    await applyHistory(filesystem.directory, operations);
    const hashes = new Map((await treeOf(filesystem.directory)).map((entry) => [entry.path, entry.sha256]));
    for (const { path, fill, length } of writes) {
      expect(hashes.get(path), path).toBe(createHash("sha256").update(fillBytes(fill, length)).digest("hex"));
    }
  });

  // The comparison itself: equal after the peer's own send and receive, and not blind to a changed byte.
  test("treeDifferences finds nothing between a snapshot and its received copy, and finds what was changed", async () => {
    await using filesystem = await TestFilesystem.make();
    await using target = await TestFilesystem.make();
    await applyHistory(filesystem.directory, makeHistory({ seed: 5, profile: "everything", snapshots: 1, steps: 100 }));
    const stream = join(filesystem.work, "stream");
    await peerSend([join(filesystem.directory, "s1")], stream, { compressed: true });
    await peerReceive(stream, target.directory);
    const sent = await treeOf(join(filesystem.directory, "s1"));
    const received = await treeOf(join(target.directory, "s1"));
    expect(sent.length).toBeGreaterThan(20);
    expect(treeDifferences(received, sent)).toEqual([]);

    const changed = sent.map((entry, index) => (index === 9 ? { ...entry, mtime: "1" } : entry)).slice(1);
    expect(treeDifferences(received, changed)).toHaveLength(2);
  });
});
