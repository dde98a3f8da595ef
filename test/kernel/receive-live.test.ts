import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { concatBytes } from "../../src/bytes/bytes.ts";
import type { TreeEntry } from "../support.ts";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, type Profile } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { peerReceive, peerSend, type SendOptions } from "./support/peer.ts";
import { liveReceive, storedTree } from "./support/receive.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

// Random histories, sent by the kernel in every protocol, a full stream and increments: what we receive is what was sent,
// and what `btrfs receive` makes of the same streams, to the compressed byte. The seeds are fixed; BTRKIT_SEEDS asks for
// more of them.

const seeds = Array.from({ length: Number(process.env.BTRKIT_SEEDS ?? 2) }, (_, index) => index + 1);
const profiles: readonly Profile[] = ["names", "data", "reflinks", "everything"];
const forms: readonly SendOptions[] = [{ protocol: 1 }, { protocol: 2 }, { compressed: true }];
const mounts = ["compress=zstd", "compress-force=lzo", "compress-force=zlib", ""];
const cases = profiles.flatMap((profile, index) =>
  seeds.map((seed) => ({ profile, seed, mount: mounts[(seed + index) % mounts.length]! })),
);
const SNAPSHOTS = ["s1", "s2", "s3", "s4", "s5", "s6"];

const TWO_THREADS = { threads: 2, commandsBeforeThread: 0 } as const;

const ROOT_MTIME = '"": mtime is';

/** Place and field of a difference, without its values. */
function whatDiffers(difference: string): string {
  return /^.*? (?:is|mtime is)/.exec(difference)?.[0] ?? difference;
}

/** Sends each snapshot against the one before it, into files. */
async function chain(filesystem: TestFilesystem, options: SendOptions, label: string): Promise<string[]> {
  const at = (snapshot: string): string => join(filesystem.directory, snapshot);
  const streams: string[] = [];
  for (const [index, snapshot] of SNAPSHOTS.entries()) {
    const stream = join(filesystem.work, `${label}-${snapshot}`);
    const parent = index === 0 ? {} : { parent: at(SNAPSHOTS[index - 1]!) };
    await peerSend([at(snapshot)], stream, { ...options, ...parent });
    streams.push(stream);
  }
  return streams;
}

describeKernel("receive into a mounted btrfs", () => {
  test.each(cases)(
    "gives what was sent, and what btrfs receive gives: $profile, seed $seed, $mount",
    async ({ profile, seed, mount }) => {
      await using source = await TestFilesystem.make(mount === "" ? {} : { mount });
      await applyHistory(
        source.directory,
        makeHistory({ seed, profile, snapshots: SNAPSHOTS.length, steps: 40, maxFileBytes: 400 << 10 }),
        { lenient: true },
      );
      await using target = await TestFilesystem.make({ sizeMiB: 1024 });
      const isCompressed = (form: SendOptions): boolean => form.compressed === true;
      for (const [index, form] of forms.entries()) {
        const ours = join(target.directory, `ours-${index}`);
        await mkdir(ours);
        // On one thread and on two, by turns.
        for (const [number, stream] of (await chain(source, form, `form-${index}`)).entries()) {
          await liveReceive(stream, ours, number % 2 === 0 ? TWO_THREADS : { threads: 1 });
        }
      }
      await target.unmount();
      await target.mount();
      const sent = new Map<string, TreeEntry[]>();
      for (const snapshot of SNAPSHOTS) sent.set(snapshot, await treeOf(join(source.directory, snapshot)));
      await using other = await TestFilesystem.make({ sizeMiB: 1024 });
      for (const [index, form] of forms.entries()) {
        const peers = join(other.directory, `peers-${index}`);
        await mkdir(peers);
        for (const snapshot of SNAPSHOTS) await peerReceive(join(source.work, `form-${index}-${snapshot}`), peers);
        for (const snapshot of SNAPSHOTS) {
          const place = join(target.directory, `ours-${index}`, snapshot);
          const received = await treeOf(place, { holes: true });
          const peer = await treeOf(join(peers, snapshot), { holes: true });
          const wanted = sent.get(snapshot)!;
          // The kernel forgets to send some times of the root directory, which are then those of the receive.
          const ours = treeDifferences(received, wanted, ["data"]).map(whatDiffers);
          const theirs = treeDifferences(peer, wanted, ["data"]).map(whatDiffers);
          expect(theirs).toEqual(expect.arrayContaining(ours));
          expect(theirs.filter((what) => what !== ROOT_MTIME)).toEqual([]);
          expect(treeDifferences(received.slice(1), peer.slice(1))).toEqual([]);
          if (isCompressed(form)) {
            const stored = await storedTree(place);
            const sentTree = await storedTree(join(source.directory, snapshot));
            const peersTree = await storedTree(join(peers, snapshot));
            // What we carry and the peer has to decode, as the file gets shorter after it only, is as it was sent.
            for (const [path, extents] of Object.entries(stored)) {
              const peersExtents = new Set(peersTree[path]);
              const more = extents.filter((extent) => !peersExtents.has(extent));
              expect(sentTree[path] ?? []).toEqual(expect.arrayContaining(more));
            }
            for (const [path, extents] of Object.entries(peersTree)) {
              expect(stored[path]).toEqual(expect.arrayContaining(extents));
            }
          }
        }
      }
      await target.unmount();
      expect((await target.check()).code).toBe(0);
    },
  );

  test("the chain goes on both ways: the peer receives onto ours and sends from ours, and we onto the peer's", async () => {
    await using source = await TestFilesystem.make({ mount: "compress=zstd" });
    const history = makeHistory({ seed: 11, profile: "everything", snapshots: 6, steps: 40 });
    await applyHistory(source.directory, history, { lenient: true });
    const streams = await chain(source, { compressed: true }, "chain");
    await using target = await TestFilesystem.make();
    for (const [index, stream] of streams.entries()) {
      if (index % 2 === 0) await liveReceive(stream, target.directory);
      else await peerReceive(stream, target.directory);
      const snapshot = SNAPSHOTS[index]!;
      const expected = await treeOf(join(source.directory, snapshot));
      expect(treeDifferences(await treeOf(join(target.directory, snapshot)), expected)).toEqual([]);
    }
    // Onward, out of what both have received, to a third place.
    await using third = await TestFilesystem.make();
    for (const [index, snapshot] of SNAPSHOTS.entries()) {
      const stream = join(target.work, `onward-${snapshot}`);
      const parent = index === 0 ? {} : { parent: join(target.directory, SNAPSHOTS[index - 1]!) };
      await peerSend([join(target.directory, snapshot)], stream, { compressed: true, ...parent });
      if (index % 2 === 0) await peerReceive(stream, third.directory);
      else await liveReceive(stream, third.directory);
      const expected = await treeOf(join(source.directory, snapshot));
      expect(treeDifferences(await treeOf(join(third.directory, snapshot)), expected)).toEqual([]);
    }
  });

  test("concatenated streams and segments without END between them are received whole", async () => {
    await using source = await TestFilesystem.make();
    await applyHistory(source.directory, makeHistory({ seed: 3, profile: "reflinks", snapshots: 3 }), {
      lenient: true,
    });
    const at = ["s1", "s2", "s3"].map((name) => join(source.directory, name));
    const together = join(source.work, "together");
    await peerSend(at, together, { compressed: true, omitEnd: true });
    const [one, two] = [join(source.work, "one"), join(source.work, "two")];
    await peerSend([at[0]!], one, { protocol: 1 });
    await peerSend([at[1]!], two, { protocol: 2, parent: at[0]! });
    await using target = await TestFilesystem.make();
    await mkdir(join(target.directory, "a"));
    await mkdir(join(target.directory, "b"));
    const all = await liveReceive(together, join(target.directory, "a"));
    expect(all.subvolumes).toHaveLength(3);
    const both = concatBytes([readFileSync(one), readFileSync(two)]);
    const first = await liveReceive(both, join(target.directory, "b"), { onlyFirstSegment: true });
    expect(first.subvolumes).toHaveLength(1);
    await liveReceive(readFileSync(two), join(target.directory, "b"));
    for (const [directory, names] of [
      ["a", ["s1", "s2", "s3"]],
      ["b", ["s1", "s2"]],
    ] as const) {
      for (const name of names) {
        const expected = await treeOf(join(source.directory, name));
        expect(treeDifferences(await treeOf(join(target.directory, directory, name)), expected)).toEqual([]);
      }
    }
  });
});
