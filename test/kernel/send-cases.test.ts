import { expect, test } from "vitest";
import { nameHash } from "../../src/tree/hash.ts";
import type { FilesystemOptions } from "./support/filesystem.ts";
import { makeHistory } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import type { Operation } from "./support/operations.ts";
import { run } from "./support/run.ts";
import { allSendings, type Sending, sendDifferences } from "./support/send-case.ts";

// What random histories do not come to: each scenario is a script on a mounted filesystem that leaves read-only
// snapshots, and all streams of them have to be the kernel's.

interface Scenario {
  readonly title: string;
  readonly filesystem?: FilesystemOptions;
  readonly operations?: readonly Operation[];
  /** Run by bash in the mounted filesystem. */
  readonly script: string;
  /** Paths of read-only snapshots. */
  readonly snapshots: readonly string[];
}

/** Two names of extended attributes with the same hash, so that one item has both. */
function collidingNames(): [string, string] {
  const seen = new Map<number, string>();
  for (let number = 0; ; number++) {
    const name = `user.${(number * 2_654_435_761) % 4_294_967_296}x${number}`;
    const hash = nameHash(Buffer.from(name));
    const other = seen.get(hash);
    if (other !== undefined) return [other, name];
    seen.set(hash, name);
  }
}

const [one, two] = collidingNames();
const snapshot = (name: string): string => `btrfs -q subvolume snapshot -r live ${name}`;

const SCENARIOS: readonly Scenario[] = [
  {
    title: "received snapshots, which go by the uuid that they had where they were sent",
    operations: makeHistory({ seed: 3, profile: "everything", snapshots: 2, steps: 40 }),
    script: `
      mkdir received
      btrfs -q send s1 | btrfs -q receive received
      btrfs -q send -p s1 s2 | btrfs -q receive received`,
    snapshots: ["s1", "s2", "received/s1", "received/s2"],
  },
  {
    title: "nested subvolumes that take the name of a directory, or give theirs to one",
    script: `
      btrfs -q subvolume create live
      mkdir live/x live/d; echo a > live/x/f; echo b > live/d/g; btrfs -q subvolume create live/y
      btrfs -q subvolume create live/d/n; echo c > live/z
      ${snapshot("s1")}
      rm -r live/x; btrfs -q subvolume create live/x
      btrfs -q subvolume delete live/y; mkdir live/y; echo d > live/y/h
      btrfs -q subvolume delete live/d/n; mv live/z live/d/n; mv live/d live/e
      ${snapshot("s2")}
      btrfs -q subvolume delete live/x; mv live/e live/x; mv live/y live/d
      ${snapshot("s3")}`,
    snapshots: ["s1", "s2", "s3"],
  },
  {
    title: "extended attributes whose names have the same hash",
    script: `
      btrfs -q subvolume create live
      echo a > live/f; setfattr -n ${one} -v first live/f; setfattr -n ${two} -v second live/f; echo b > live/g
      setfattr -n ${one} -v gone live/g
      ${snapshot("s1")}
      setfattr -n ${one} -v changed live/f; setfattr -n ${two} -v new live/g
      ${snapshot("s2")}
      setfattr -x ${one} live/f; setfattr -x ${one} live/g
      ${snapshot("s3")}`,
    snapshots: ["s1", "s2", "s3"],
  },
  {
    title: "an extent with more than 1024 references, and one with fewer",
    script: `
      btrfs -q subvolume create live
      head -c 65536 /dev/urandom > live/many; head -c 65536 /dev/urandom > live/few; sync -f .
      for i in $(seq 1040); do cp --reflink=always live/many live/m$i; done
      for i in $(seq 40); do cp --reflink=always live/few live/f$i; done
      ${snapshot("s1")}
      rm live/m?? live/f1?; cp --reflink=always live/few live/again
      ${snapshot("s2")}`,
    snapshots: ["s1", "s2"],
  },
  {
    title: "several devices",
    filesystem: { devices: 3, mkfs: ["-d", "raid0", "-m", "raid1"], mount: "compress=zstd" },
    operations: makeHistory({ seed: 4, profile: "reflinks", snapshots: 2, steps: 60 }),
    script: "true",
    snapshots: ["s1", "s2"],
  },
  {
    title: "more leaves than are remembered, shared and rewritten",
    filesystem: { mkfs: ["--nodesize", "4096"], mount: "compress=lzo" },
    script: `
      btrfs -q subvolume create live
      mkdir live/a; for i in $(seq 1500); do head -c 8192 /dev/zero | tr '\\0' "$((i % 10))" > live/a/$i; done; sync -f .
      cp -r --reflink=always live/a live/b
      ${snapshot("s1")}
      cp -r --reflink=always live/b live/c; for i in $(seq 1 7 1500); do echo x >> live/a/$i; done; sync -f .
      ${snapshot("s2")}
      for i in $(seq 1 50 1500); do echo y >> live/b/$i; done`,
    snapshots: ["s1", "s2"],
  },
];

describeKernel("sends of what histories do not come to", () => {
  test.each(SCENARIOS)("$title", async ({ filesystem = {}, operations = [], script, snapshots }) => {
    const sendings: Sending[] = allSendings(snapshots);
    const found = await sendDifferences(operations, {
      filesystem,
      lenient: true,
      sendings,
      afterwards: async ({ directory }) => {
        await run("bash", ["-ec", script], { directory });
        await run("btrfs", ["filesystem", "sync", directory]);
      },
    });
    expect(found.differences).toEqual([]);
    expect(found.same).toBe(sendings.length);
  });
});
