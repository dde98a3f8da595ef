import { expect, test } from "vitest";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory, type Profile } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import type { SendOptions } from "./support/peer.ts";
import { PlainFilesystem } from "./support/plain-filesystem.ts";
import { receiveDirectory } from "./support/receive-directory.ts";
import { differencesFromSent, sendAll } from "./support/sent-history.ts";

// Streams that `btrfs send` makes of random histories, a full one and five increments, received into a directory of another
// filesystem, as root and as an ordinary user. What is there, with what the sidecar says could not be held laid over it,
// has to be what was sent, in every detail. The seeds are fixed; BTRKIT_SEEDS asks for more of them.

const seeds = Array.from({ length: Number(process.env.BTRKIT_SEEDS ?? 1) }, (_, index) => index + 1);
const profiles: readonly Profile[] = ["names", "data", "reflinks", "everything"];
const mounts = ["compress-force=zstd", "compress-force=lzo", "compress=zlib", "compress=none"];
const cases = profiles.flatMap((profile, index) =>
  seeds.map((seed) => ({ profile, seed, mount: mounts[(seed + index) % mounts.length]! })),
);
const SNAPSHOTS = ["s1", "s2", "s3", "s4", "s5", "s6"];
const SENDS: readonly (SendOptions & { readonly name: string })[] = [
  { name: "v1", protocol: 1 },
  { name: "v2", protocol: 2 },
  { name: "compressed", protocol: 2, compressed: true },
];
const PLACES = [
  { on: "tmpfs", user: false },
  { on: "tmpfs", user: true },
  { on: "ext4", user: false },
  { on: "ext4", user: true },
  { on: "btrfs", user: true },
] as const;

describeKernel("histories into a plain directory", () => {
  test.for(cases)("equal what was sent: $profile, seed $seed, $mount", async ({ profile, seed, mount }) => {
    await using source = await TestFilesystem.make({ mount });
    await applyHistory(source.directory, makeHistory({ seed, profile, snapshots: SNAPSHOTS.length, steps: 40 }));
    await source.remount("ro");
    const streams = new Map<string, string[]>();
    for (const { name, ...send } of SENDS) streams.set(name, await sendAll(source, SNAPSHOTS, name, send));
    for (const [index, { on, user }] of PLACES.entries()) {
      // Of the protocols, each place has another one with each seed.
      const { name } = SENDS[(seed + index) % SENDS.length]!;
      await using target = await PlainFilesystem.make(on);
      const received = receiveDirectory(target.directory, streams.get(name)!, { user });
      const about = `${name} on ${on}, as user: ${user}`;
      expect([received.stderr, received.said.error, received.status], about).toEqual(["", undefined, 0]);
      for (const snapshot of SNAPSHOTS) {
        expect(await differencesFromSent(source, target, snapshot), `${about}: ${snapshot}`).toEqual([]);
      }
    }
  });
});
