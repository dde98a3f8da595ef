import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { btrkit } from "../cli/support.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { peerReceive, peerSend, type SendOptions } from "./support/peer.ts";
import { run } from "./support/run.ts";
import { FUNCTIONS } from "./support/send-scenarios.ts";
import { treeOf } from "./support/tree.ts";

// Snapshots that go from one filesystem to the next, and back to the first: after tests 110, 111 and 339 of the `btrfs`
// group of fstests.

const SCRIPT = `${FUNCTIONS}
  btrfs -q subvolume create live; cd live
  mkdir -p a/b; fill a/f 0 131072 a; fill a/b/g 0 70000 b; cp --reflink=always a/f h; touch old; ln old a/link
  setfattr -n user.x -v one a; fill s 0 8192 s
  btrfs -q subvolume snapshot -r . ../s1
  mv a/b c; fill c/g 4096 4096 c; clone a/f 0 n 65536 131072; rm old; fill s 8192 100 t; mv h a/b
  btrfs -q subvolume snapshot -r . ../s2
  mv a d; mv c d/a; cp --reflink=always n m; fallocate -p -o 0 -l 65536 d/f; setfattr -x user.x d; truncate -s 5000 s
  btrfs -q subvolume snapshot -r . ../s3`;

interface Leg {
  readonly snapshot: string;
  readonly parent?: string;
  readonly clones?: readonly string[];
}

const LEGS: readonly Leg[] = [
  { snapshot: "s1" },
  { snapshot: "s2", parent: "s1" },
  { snapshot: "s3", parent: "s2", clones: ["s1"] },
];
const FORMS: readonly SendOptions[] = [{ protocol: 1 }, { protocol: 2, compressed: true }];

/** Streams of each leg in each form: the kernel's of the mount, which ours of the unmounted image have to be. */
async function streamsOf(filesystem: TestFilesystem, legs: readonly Leg[]): Promise<string[][]> {
  const calls = FORMS.map((form, number) =>
    legs.map((leg) => ({ form, leg, stream: join(filesystem.work, `${leg.snapshot}-${number}`) })),
  );
  for (const { form, leg, stream } of calls.flat()) {
    const { snapshot, parent, clones = [] } = leg;
    const against = parent === undefined ? {} : { parent: filesystem.path(parent) };
    const sources = { clones: clones.map((name) => filesystem.path(name)) };
    await peerSend([filesystem.path(snapshot)], stream, { ...form, ...against, ...sources });
  }
  await filesystem.unmount();
  const image = (name: string): string => `${filesystem.images[0]}:/${name}`;
  for (const { form, leg, stream } of calls.flat()) {
    const { snapshot, parent, clones = [] } = leg;
    const words = ["send", "-q", "--proto", String(form.protocol), ...(form.compressed ? ["--compressed-data"] : [])];
    const sources = clones.flatMap((name) => ["-c", image(name)]);
    const against = parent === undefined ? [] : ["-p", image(parent)];
    const ours = btrkit([...words, ...against, ...sources, image(snapshot)]);
    expect([leg, form, ours.status, ours.stderr]).toEqual([leg, form, 0, ""]);
    expect([leg, form, ours.stdout.equals(readFileSync(stream))]).toEqual([leg, form, true]);
  }
  await filesystem.mount();
  return calls.map((ofForm) => ofForm.map(({ stream }) => stream));
}

async function treesOf(filesystem: TestFilesystem): Promise<unknown> {
  return Promise.all(LEGS.map(({ snapshot }) => treeOf(filesystem.path(snapshot))));
}

async function uuids(filesystem: TestFilesystem, name: string): Promise<{ uuid: string; received: string }> {
  const shown = (await run("btrfs", ["subvolume", "show", filesystem.path(name)])).stdout.toString();
  const field = (label: string): string => new RegExp(`^\\s*${label}:\\s+(\\S+)`, "m").exec(shown)![1]!;
  return { uuid: field("UUID"), received: field("Received UUID") };
}

describeKernel("snapshots sent from where they were received", () => {
  test("are the kernel's streams along a chain of filesystems, and back at the first one", async () => {
    await using first = await TestFilesystem.make({ mount: "compress=zstd" });
    await run("bash", ["-ec", SCRIPT], { directory: first.directory });
    await first.sync();
    const sent = await treesOf(first);
    const { uuid } = await uuids(first, "s1");
    await using second = await TestFilesystem.make({ mkfs: ["--nodesize", "4096"] });
    for (const stream of (await streamsOf(first, LEGS))[1]!) await peerReceive(stream, second.directory);
    expect(await treesOf(second)).toEqual(sent);
    await using third = await TestFilesystem.make({ mount: "compress-force=lzo" });
    const resent = await streamsOf(second, LEGS);
    for (const stream of resent[0]!) await peerReceive(stream, third.directory);
    expect(await treesOf(third)).toEqual(sent);
    expect((await uuids(third, "s1")).received).toBe(uuid);
    const again = await streamsOf(third, LEGS);
    // Back to the first, which finds its own snapshot by the uuid that it was sent with.
    await run("btrfs", ["-q", "subvolume", "delete", "s2", "s3"], { directory: first.directory });
    for (const stream of again[1]!.slice(1)) await peerReceive(stream, first.directory);
    expect(await treesOf(first)).toEqual(sent);
    // What was made of received snapshots on the way is another filesystem's own, sent against what both have.
    await run("btrfs", ["-q", "subvolume", "snapshot", "s3", "live"], { directory: second.directory });
    await run("bash", ["-ec", `cp --reflink=always d/f new; mv d/a x; btrfs -q subvolume snapshot -r . ../s4`], {
      directory: second.path("live"),
    });
    await second.sync();
    const [own] = await streamsOf(second, [{ snapshot: "s4", parent: "s3", clones: ["s1"] }]);
    await peerReceive(own![0]!, first.directory);
    expect(await treeOf(first.path("s4"))).toEqual(await treeOf(second.path("s4")));
  });

  test("are dumped the same by who is not root", async () => {
    await using filesystem = await TestFilesystem.make({ mount: "compress=zstd" });
    await run("bash", ["-ec", SCRIPT], { directory: filesystem.directory });
    await filesystem.sync();
    const streams = (await streamsOf(filesystem, LEGS)).flat();
    const { work } = filesystem;
    chmodSync(work, 0o755);
    // The sources may lie where only root comes to.
    const own = join(work, "btrkit");
    mkdirSync(own);
    for (const part of ["dist", "package.json"]) {
      cpSync(resolve(import.meta.dirname, "../..", part), join(own, part), { recursive: true });
    }
    const bin = join(own, "dist/cli/bin.js");
    const asNobody = (command: string, words: readonly string[], input?: Uint8Array): Buffer => {
      const user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
      const ran = spawnSync("setpriv", [...user, command, ...words], { input, maxBuffer: 1 << 28 });
      expect([command, ran.status, ran.stderr.toString()]).toEqual([command, 0, ""]);
      return ran.stdout;
    };
    for (const stream of streams) {
      chmodSync(stream, 0o644);
      const expected = (await run("btrfs", ["receive", "--dump", "-f", stream])).stdout;
      expect(expected.toString().split("\n").length).toBeGreaterThan(15);
      expect(asNobody(process.execPath, [bin, "receive", "--dump", "-f", stream]).equals(expected)).toBe(true);
      // btrfs-progs 6.2 opens a stream with O_NOATIME, which takes its owner.
      chownSync(stream, 65_534, 65_534);
      expect(asNobody("btrfs", ["receive", "--dump", "-f", stream]).equals(expected)).toBe(true);
      const piped = asNobody(process.execPath, [bin, "receive", "--dump"], readFileSync(stream));
      expect(piped.equals(expected)).toBe(true);
    }
  });
});
