import { join } from "node:path";
import { expect, test } from "vitest";
import { makeFilesystem } from "../../src/mkfs/mkfs.ts";
import { openFileDevice } from "../../src/node/file-device.ts";
import { FileSource } from "../../src/node/file-source.ts";
import { ImageTarget } from "../../src/receive/image-target.ts";
import { receive } from "../../src/receive/receive.ts";
import { openWritableVolume } from "../../src/transaction/writable.ts";
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

const seeds = Array.from({ length: Number(process.env.BTRKIT_SEEDS ?? 1) }, (_, index) => index + 1);
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

describeKernel("receive into an image", () => {
  test.each(cases)(
    "gives what was sent, and what btrfs receive gives: $profile, seed $seed, $mount, $form",
    async ({ profile, seed, mount, form }) => {
      await using source = await TestFilesystem.make(mount === "" ? {} : { mount });
      const history = makeHistory({ seed, profile, snapshots: SNAPSHOTS.length, steps: 40, maxFileBytes: 400 << 10 });
      await applyHistory(source.directory, history, { lenient: true });
      await using image = new WrittenImage(512);
      await image.open((store) => makeFilesystem(store, { nodeSize: seed % 2 === 0 ? 4096 : 16384 }));
      await using other = await TestFilesystem.make({ sizeMiB: 1024 });
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
        for (const snapshot of SNAPSHOTS.slice(0, -1)) {
          const received = await treeOf(join(directory, snapshot), { holes: true });
          const peer = await treeOf(join(other.directory, snapshot), { holes: true });
          expect(treeDifferences(received, await treeOf(at(snapshot)), ["data"])).toEqual([]);
          // The root's mtime is that of the receive, with the peer.
          expect(treeDifferences(received.slice(1), peer.slice(1))).toEqual([]);
          if (form.compressed === true) {
            const stored = (place: string) => storedTree(join(place, snapshot));
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
