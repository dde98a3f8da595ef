import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { btrkit } from "../cli/support.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { peerReceive } from "./support/peer.ts";
import { run } from "./support/run.ts";
import { treeOf } from "./support/tree.ts";

// A compressed inline extent that the file goes on behind: what follows it in its block is zeros. Linux 6.18 sends it as
// an encoded write of its own length, and a receiver keeps what the parent had in the rest of the block; where the file
// ends with that block, it gets too short at the receiver, in full sends too.

const SCRIPT = `
  inline() {
    head -c 1000 /dev/zero | tr '\\0' a > $1
    sync -f .
    python3 - $1 $2 <<'PY'
import fcntl, os, struct, sys
source, target = os.open("live/other", os.O_RDONLY), os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(target, 0x4020940D, struct.pack("qQQQ", source, 0, 8192, 16384))
os.ftruncate(target, int(sys.argv[2]))
PY
  }
  btrfs -q subvolume create live
  head -c 40000 /dev/urandom > live/f; head -c 40000 /dev/urandom > live/other; head -c 500 /dev/zero > live/grown
  inline live/short 4096
  btrfs -q subvolume snapshot -r live s1
  inline live/f 24576; inline live/new 4096; inline live/grown 4096
  btrfs -q subvolume snapshot -r live s2`;

describeKernel("a compressed inline extent in front of others", () => {
  test.for(["zlib", "lzo", "zstd"])(
    "with %s: what is received is what was sent, from the image and from the mount",
    { timeout: 120_000 },
    async (algorithm) => {
      await using source = await TestFilesystem.make({ mount: `compress-force=${algorithm}` });
      await run("bash", ["-ec", SCRIPT], { directory: source.directory });
      const at = (name: string): string => join(source.directory, name);
      const file = readFileSync(at("s2/f"));
      expect(file.subarray(1000, 4096).every((byte) => byte === 0)).toBe(true);
      expect(["short", "new", "grown"].map((name) => statSync(at(`s2/${name}`)).size)).toEqual([4096, 4096, 4096]);
      const sent = await treeOf(at("s2"));
      const common = ["send", "-q", "--proto", "2", "--compressed-data"];
      const streams = (from: string): [string, string] => [
        join(source.work, `${from}.full`),
        join(source.work, `${from}.increment`),
      ];
      const sendBoth = (from: string, place: (name: string) => string, ...more: string[]): void => {
        const [full, increment] = streams(from);
        const ran = [
          btrkit([...common, ...more, "-f", full, place("s1")]),
          btrkit([...common, ...more, "-f", increment, "-p", place("s1"), place("s2")]),
        ];
        expect(ran.map(({ status, stderr }) => [status, stderr.toString()])).toEqual([
          [0, ""],
          [0, ""],
        ]);
      };
      sendBoth("mount", at, "--engine", "btrkit");
      await source.unmount();
      sendBoth("unmounted", (name) => `${source.images[0]}:/${name}`);
      for (const from of ["mount", "unmounted"]) {
        await using target = await TestFilesystem.make();
        for (const stream of streams(from)) await peerReceive(stream, target.directory);
        expect(readFileSync(join(target.directory, "s2/f")).equals(file), from).toBe(true);
        expect(await treeOf(join(target.directory, "s2")), from).toEqual(sent);
      }
    },
  );
});
