import { join } from "node:path";
import { expect, test } from "vitest";
import { makeFilesystem } from "../../src/mkfs/mkfs.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { FileSource } from "../../src/node/file-source.ts";
import { ImageTarget } from "../../src/receive/image-target.ts";
import { receive } from "../../src/receive/receive.ts";
import { openWritableVolume } from "../../src/transaction/writable.ts";
import type { TreeEntry } from "../support.ts";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, type Profile } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { peerReceive, peerSend, type SendOptions } from "./support/peer.ts";
import { storedTree } from "./support/receive.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";
import { WrittenImage } from "./support/written.ts";

// Random histories, sent by the kernel in every protocol: the image that btrkit makes of the streams holds what was sent,
// and what `btrfs receive` makes of them, and the kernel goes on from it. BTRKIT_SEEDS asks for more seeds.

const seeds = Array.from({ length: Number(process.env.BTRKIT_SEEDS ?? 2) }, (_, index) => index + 1);
const profiles: readonly Profile[] = ["names", "data", "reflinks", "everything"];
const forms: readonly SendOptions[] = [{ protocol: 1 }, { protocol: 2 }, { compressed: true }];
const mounts = ["compress=zstd", "compress-force=lzo", "compress-force=zlib", ""];
const cases = profiles.flatMap((profile, index) =>
  seeds.map((seed) => ({
    profile,
    seed,
    mount: mounts[(seed + index) % mounts.length]!,
    form: forms[(seed + index) % forms.length]!,
  })),
);
const SNAPSHOTS = ["s1", "s2", "s3", "s4"];

async function imageReceive(image: WrittenImage, stream: string): Promise<void> {
  await using volume = await openWritableVolume([await openFileDevice(image.path, { writable: true })]);
  using source = await FileSource.open(stream);
  // Small, so that a stream takes many commits.
  await receive(source, new ImageTarget(volume, { commitBytes: 1 << 20 }));
}

/**
 * The stretches that are no holes are the peer's. Where a file ends within a hole's block and becomes longer, Linux writes
 * that block as zeros, which we leave a hole.
 */
function expectRanges({ path, data = [] }: TreeEntry, { data: peers = [] }: TreeEntry): void {
  const blocks = new Set(blocksOf(peers));
  const missing = blocksOf(data).filter((block) => !blocks.delete(block));
  expect([path, missing]).toEqual([path, []]);
  expect([path, [...blocks].filter((block) => blocks.has(block + 1))]).toEqual([path, []]);
}

/** Blocks of 4 KiB. */
function blocksOf(ranges: readonly (readonly [number, number])[]): number[] {
  return ranges.flatMap(([offset, length]) =>
    Array.from({ length: Math.ceil(length / 4096) }, (_, index) => Math.floor(offset / 4096) + index),
  );
}

describeKernel("receive into an image", () => {
  test.each(cases)(
    "gives what was sent, and what btrfs receive gives: $profile, seed $seed, $mount, $form",
    async ({ profile, seed, mount, form }) => {
      // The same everywhere: an attribute has to fit into a leaf.
      const nodeSize = seed % 2 === 0 ? 4096 : 16384;
      const mkfs = ["--nodesize", `${nodeSize}`];
      await using source = await TestFilesystem.make(mount === "" ? { mkfs } : { mkfs, mount });
      const history = makeHistory({ seed, profile, snapshots: SNAPSHOTS.length, steps: 40, maxFileBytes: 400 << 10 });
      await applyHistory(source.directory, history, { lenient: true });
      await using image = new WrittenImage(512);
      await image.open((store) => makeFilesystem(store, { nodeSize }));
      await using other = await TestFilesystem.make({ sizeMiB: 1024, mkfs });
      const at = (snapshot: string): string => join(source.directory, snapshot);
      const streams: string[] = [];
      for (const [index, snapshot] of SNAPSHOTS.entries()) {
        const stream = join(source.work, snapshot);
        await peerSend([at(snapshot)], stream, {
          ...form,
          ...(index === 0 ? {} : { parent: at(SNAPSHOTS[index - 1]!) }),
        });
        streams.push(stream);
      }
      const last = streams.pop()!;
      for (const stream of streams) {
        await imageReceive(image, stream);
        await image.check();
        await peerReceive(stream, other.directory);
      }
      await image.mounted(async (directory) => {
        const compressing = new Set<string>();
        for (const [index, snapshot] of SNAPSHOTS.slice(0, -1).entries()) {
          const received = await treeOf(join(directory, snapshot), { holes: true });
          const peer = await treeOf(join(other.directory, snapshot), { holes: true });
          const sent = await treeOf(at(snapshot));
          expect(treeDifferences(received.slice(1), sent.slice(1), ["data"])).toEqual([]);
          // Increments may not say the top's mtime, and with the peer it is always that of the receive.
          const top: (keyof TreeEntry)[] = index === 0 ? ["data"] : ["data", "mtime"];
          expect(treeDifferences(received.slice(0, 1), sent.slice(0, 1), top)).toEqual([]);
          expect(treeDifferences(received.slice(1), peer.slice(1), ["data"])).toEqual([]);
          for (const [place, entry] of received.entries()) expectRanges(entry, peer[place]!);
          if (form.compressed === true) {
            // What a property has compressed is each receiver's own work.
            for (const { path, xattrs } of received) {
              if (xattrs?.["btrfs.compression"] !== undefined) compressing.add(path);
            }
            const stored = async (place: string) =>
              Object.entries(await storedTree(join(place, snapshot))).filter(([path]) => !compressing.has(path));
            expect(await stored(directory)).toEqual(await stored(other.directory));
          }
        }
        // The kernel goes on: it receives the last increment onto ours, and sends one from ours.
        await peerReceive(last, directory);
        const expected = await treeOf(at(SNAPSHOTS.at(-1)!));
        const onto = await treeOf(join(directory, SNAPSHOTS.at(-1)!));
        expect(treeDifferences(onto.slice(1), expected.slice(1))).toEqual([]);
        const onward = join(source.work, "onward");
        await peerSend([join(directory, "s3")], onward, { parent: join(directory, "s2"), compressed: true });
      });
      await image.check();
    },
  );
});
