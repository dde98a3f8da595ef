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
  /** Unless said, each in full and against each other one, in all forms. */
  readonly sendings?: readonly Sending[];
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
    title: "an extent with exactly 1024 references, and one with 1025",
    script: `
      btrfs -q subvolume create live
      head -c 8192 /dev/urandom > live/as-many; head -c 8192 /dev/urandom > live/too-many; sync -f .
      python3 - <<'PY'
import fcntl, os
for name, copies in (("as-many", 1023), ("too-many", 1024)):
    source = os.open("live/" + name, os.O_RDONLY)
    for number in range(copies):
        copy = os.open(f"live/{name}-{number}", os.O_WRONLY | os.O_CREAT)
        fcntl.ioctl(copy, 0x40049409, source)
        os.close(copy)
PY
      ${snapshot("s1")}`,
    snapshots: ["s1"],
    sendings: [{ snapshot: "s1", protocol: 1 }],
  },
  {
    title: "snapshots that share inner nodes: the newest one is cloned from",
    filesystem: { mkfs: ["--nodesize", "4096"] },
    script: `
      btrfs -q subvolume create live; mkdir live/a
      for i in $(seq 600); do head -c 8192 /dev/urandom > live/a/$i; setfattr -n user.large -v $(printf '%02000d' $i) live/a/$i; done
      ${snapshot("s1")}; chmod 700 live/a/600; ${snapshot("s2")}
      for i in $(seq 20 40 580); do cp --reflink=always live/a/$i live/new-$i; done; rm live/a/60 live/a/220; chmod 711 live/a/600
      ${snapshot("s3")}`,
    snapshots: ["s1", "s2", "s3"],
    sendings: [
      { snapshot: "s3", parent: "s1" },
      { snapshot: "s3", parent: "s2" },
      { snapshot: "s3", parent: "s1", clones: ["s2"] },
      { snapshot: "s3", parent: "s2", clones: ["s1"] },
    ],
  },
  {
    title: "pieces of compressed extents in several leaves",
    filesystem: { mkfs: ["--nodesize", "4096"], mount: "compress-force=zstd" },
    script: `
      btrfs -q subvolume create live
      python3 - <<'PY'
import os
for name in range(12):
    fd = os.open(f"live/{name}", os.O_RDWR | os.O_CREAT, 0o644)
    for at in range(0, 131072, 4096): os.pwrite(fd, bytes([65 + at // 4096 % 50]) * 4096, at)
    os.fsync(fd)
    for at in range(4096, 131072, 8192):
        os.pwrite(fd, os.urandom(4096), at)
        os.fsync(fd)
PY
      for i in $(seq 0 11); do cp --reflink=always live/$i live/copy-$i; done
      ${snapshot("s1")}
      for i in $(seq 0 11); do cp --reflink=always live/$i live/new-$i; done; truncate -s 50000 live/3
      ${snapshot("s2")}`,
    snapshots: ["s1", "s2"],
  },
  {
    title: "references of one leaf before and behind those of another",
    filesystem: { mkfs: ["--nodesize", "4096"], mount: "compress=zstd" },
    script: `
      btrfs -q subvolume create live; mkdir live/a
      for i in $(seq 100); do touch live/a/$i; done
      python3 - <<'PY'
import fcntl, os, struct
def clone(at, to, length): fcntl.ioctl(fd, 0x4020940d, struct.pack("qQQQ", fd, at, length, to))
fd = os.open("live/f", os.O_RDWR | os.O_CREAT, 0o644)
os.pwrite(fd, b"a" * 131072, 131072)
os.fsync(fd)
clone(196608, 0, 65536)
for at in range(262144, 1048576, 8192):
    os.pwrite(fd, os.urandom(4096), at)
os.fsync(fd)
clone(131072, 1048576, 131072)
PY
      for i in $(seq 101 200); do touch live/a/$i; done
      sync -f live; ${snapshot("s1")}
      cp --reflink=always live/f live/g; truncate -s 262144 live/g
      ${snapshot("s2")}`,
    snapshots: ["s1", "s2"],
  },
  {
    title: "explicit holes",
    filesystem: { mkfs: ["-O", "^no-holes"], mount: "compress=zstd" },
    operations: makeHistory({ seed: 5, profile: "data", snapshots: 2, steps: 60 }),
    script: `
      btrfs -q subvolume create other
      fallocate -l 65536 other/f; head -c 20000 /dev/urandom > other/g; truncate -s 1M other/h
      btrfs -q subvolume snapshot -r other o1
      truncate -s 1M other/f other/g; head -c 5000 /dev/urandom | dd of=other/h bs=1 seek=300000 conv=notrunc status=none
      fallocate -p -o 4096 -l 8192 other/g
      btrfs -q subvolume snapshot -r other o2`,
    snapshots: ["s1", "s2", "o1", "o2"],
  },
  {
    title: "names as temporary ones, of one of both snapshots",
    script: `
      btrfs -q subvolume create live; cd live
      mkdir d e h i; touch d/f h/f
      temporary() { stat -c "o%i-$(lsattr -dv $1 | cut -d' ' -f1)-0" $1; }
      [ $(temporary e | cut -d- -f2) -gt 0 ]
      touch $(temporary d) $(temporary e); btrfs -q subvolume snapshot -r . ../s1
      rm o*-0; touch $(temporary h) $(temporary i); mv d t; mv e d; mv t e; mv h t; mv i h; mv t i
      btrfs -q subvolume snapshot -r . ../s2; rm o*-0
      btrfs -q subvolume snapshot -r . ../s3`,
    snapshots: ["s1", "s2", "s3"],
  },
  {
    title: "a removed name that begins with one which is kept",
    script: `
      btrfs -q subvolume create live; mkdir live/q; touch live/q/e live/q/g; ln live/q/e live/q/e11; ln live/q/g live/q/1g
      ${snapshot("s1")}
      ln live/q/e live/a1; rm live/q/e11; chmod 600 live/q/e; ln live/q/g live/a2; rm live/q/1g; chmod 600 live/q/g
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
  test.each(SCENARIOS)("$title", async (scenario) => {
    const { filesystem = {}, operations = [], script, snapshots, sendings = allSendings(snapshots) } = scenario;
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
