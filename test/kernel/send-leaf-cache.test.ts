import { expect, test } from "vitest";
import type { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { run } from "./support/run.ts";
import { type Sending, sendDifferences } from "./support/send-case.ts";

// Which of two equal places a file is cloned from depends on which leaves the kernel remembers: places in those come
// first, and else the one with the higher inode number. `r` is a clone of `p` as `q` is, each in a leaf of its own.

const FUNCTIONS = `
import fcntl, os, struct, subprocess, sys

def make(path, source=None, at=0):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    # Two of them do not fit into a leaf of 4 KiB; a file without data keeps the extents of two others apart.
    os.setxattr(fd, "user.large", b"x" * 2400)
    if source is None:
        os.write(fd, os.urandom(8192))
    elif source != "":
        from_fd = os.open(source, os.O_RDONLY)
        fcntl.ioctl(fd, 0x4020940d, struct.pack("qQQQ", from_fd, at, 8192, 0))
        os.close(from_fd)
    os.fsync(fd)
    os.close(fd)
    if source != "":
        make(path + "-", "")

def fill(top, count):
    for number in range(0, count - 1, 2):
        make(f"{top}/{number}")
        make(f"{top}/{number + 1}", f"{top}/{number}")
    if count % 2 == 1:
        make(f"{top}/{count - 1}", f"{top}/{count - 2}")

def btrfs(*words):
    subprocess.run(["btrfs", "-q", "subvolume", *words], check=True)
`;

/** So many leaves are looked at between those of `p` and `q` and the last one. */
const COUNTS = [125, 126, 127, 128, 129];
const OTHERS = 18;

/** When `r` is sent, the leaf of `q` has been forgotten just before that of `p`. */
const FORGETTING = `
for count in [${COUNTS}]:
    top = f"live-{count}"
    btrfs("create", top)
    btrfs("snapshot", "-r", top, f"first-{count}")
    make(f"{top}/p")
    make(f"{top}/q", f"{top}/p")
    fill(top, count)
    make(f"{top}/r", f"{top}/p")
    btrfs("snapshot", "-r", top, f"s-{count}")
for number in range(${OTHERS}):
    btrfs("snapshot", "-r", "first-125", f"other-{number}")
`;

/** Snapshots that share the leaf of `p`, of which the last leaf but a few is: `u` has been cloned from there, too. */
const SHARED = 18;

const SHARING = `
btrfs("create", "live")
btrfs("snapshot", "-r", "live", "first")
make("live/a", "")
make("live/b", "")
make("live/p")
fd = os.open("live/p", os.O_RDWR)
os.pwrite(fd, os.urandom(8192), 8192)
os.fsync(fd)
os.close(fd)
make("live/q", "live/p")
for number in range(${SHARED}):
    btrfs("snapshot", "-r", "live", f"middle-{number}")
fill("live", 140)
make("live/u", "live/p", 8192)
make("live/r", "live/p")
btrfs("snapshot", "-r", "live", "s")
`;

/** `u` was cloned from the leaf of `p`, half way: that of `q` was looked at last before it. */
const USED_AGAIN = `
btrfs("create", "live")
btrfs("snapshot", "-r", "live", "first")
make("live/a", "")
make("live/p")
fd = os.open("live/p", os.O_RDWR)
os.pwrite(fd, os.urandom(8192), 8192)
os.fsync(fd)
os.close(fd)
make("live/q", "live/p")
fill("live", 80)
make("live/u", "live/p", 8192)
os.mkdir("live/more")
fill("live/more", 80)
make("live/r", "live/p")
btrfs("snapshot", "-r", "live", "s")
`;

const named = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${name}-${index}`);

/** Sends all, compares the streams, and gives what `r` is cloned from in each. */
async function sourcesOf(script: string, sendings: readonly Sending[]): Promise<string[]> {
  const sources: string[] = [];
  const found = await sendDifferences([], {
    filesystem: { mkfs: ["--nodesize", "4096"] },
    sendings,
    afterwards: async ({ directory }: TestFilesystem) => {
      await run("python3", ["-c", FUNCTIONS + script], { directory });
      await run("btrfs", ["filesystem", "sync", directory]);
    },
    onStreams: async (_, streams) => {
      for (const stream of streams) {
        const { stdout } = await run("btrfs", ["receive", "--dump", "-f", stream]);
        const line = stdout
          .toString()
          .trimEnd()
          .split("\n")
          .findLast((text) => /^clone .*\/r /.test(text));
        sources.push(/ from=\S*\/(\S+)/.exec(line!)![1]!);
      }
    },
  });
  expect(found.differences).toEqual([]);
  return sources;
}

describeKernel("sends where the kernel forgets leaves", () => {
  test("128 leaves are remembered, however many snapshots may be cloned from", { timeout: 300_000 }, async () => {
    const sendings = COUNTS.flatMap((count): Sending[] => {
      const form = { snapshot: `s-${count}`, protocol: 2 } as const;
      return [form, { ...form, parent: `first-${count}`, clones: named("other", OTHERS) }];
    });
    // In a full send a file's own leaf is not looked up: that of `q` is older by one then.
    const expected = COUNTS.flatMap((count) => [count === 126 || count === 127 ? "p" : "q", count === 127 ? "p" : "q"]);
    expect(await sourcesOf(FORGETTING, sendings)).toEqual(expected);
  });

  test("the leaf that was not used for longest is forgotten", { timeout: 300_000 }, async () => {
    const sendings: Sending[] = [
      { snapshot: "s", protocol: 2 },
      { snapshot: "s", parent: "first", protocol: 2 },
    ];
    expect(await sourcesOf(USED_AGAIN, sendings)).toEqual(["p", "p"]);
  });

  test("a leaf is remembered that 17 of these snapshots share, and not of 18", { timeout: 300_000 }, async () => {
    // The sent one has it as well.
    const sendings = [1, 3, 15, 16, 17, 18].map((count): Sending => {
      return { snapshot: "s", parent: "first", clones: named("middle", count), protocol: 2 };
    });
    expect(await sourcesOf(SHARING, sendings)).toEqual(["p", "p", "p", "p", "q", "q"]);
  });
});
