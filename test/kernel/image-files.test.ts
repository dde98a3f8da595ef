import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { btrkit } from "../cli/support.ts";
import { makeWorkDirectory, removeWorkDirectory } from "./support/cleanup.ts";
import { describeKernel } from "./support/host.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";
import { WrittenImage } from "./support/written.ts";

/** All that a tree can hold, on whatever filesystem the machine has. */
const TREE = `
import os, socket, stat, sys
os.chdir(sys.argv[1])
os.makedirs("dir/inner")
text = b"".join(b"line %d of a text that gets smaller\\n" % n for n in range(60000))
open("text", "wb").write(text)
open("noise", "wb").write(os.urandom(700001))
open("small", "wb").write(b"x" * 1500)
open("sector", "wb").write(b"y" * 4096)
open("empty", "wb")
open(b"dir/\\xff\\xfe not utf-8", "wb").write(b"name")
with open("sparse", "wb") as file:
    file.seek(5_000_000); file.write(os.urandom(5000)); file.seek(9_000_000); file.write(text[:200000]); file.truncate(40_000_123)
with open("large", "wb") as file:
    for n in range(12): file.write(text[:1000000] + os.urandom(1000))
os.link("text", "dir/link"); os.link("text", "dir/inner/link")
os.symlink("../text", "dir/symlink"); os.symlink("/no/such", "dangling")
os.mkfifo("fifo", 0o640)
os.mknod("char", stat.S_IFCHR | 0o600, os.makedev(250, 70000))
os.mknod("block", stat.S_IFBLK | 0o660, os.makedev(7, 1000))
socket.socket(socket.AF_UNIX).bind("socket")
os.chown("small", 1000, 1001); os.chmod("small", 0o4755); os.chmod("dir/inner", 0o2770); os.lchown("dangling", 5, 6)
os.setxattr("text", "user.note", b"some\\0bytes"); os.setxattr("dir", "user.long", b"l" * 3000)
os.setxattr("sector", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
os.setxattr("dir", "system.posix_acl_default", bytes.fromhex("0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000500ffffffff"))
for name in ["text", "small", "sparse", "dir/inner", "dir", "dangling", "fifo"]:
    os.utime(name, ns=(1_000_000_000_123_456_789, 1_200_000_000_987_654_321), follow_symlinks=False)
`;

function makeTree(directory: string): void {
  mkdirSync(directory);
  const made = spawnSync("python3", ["-c", TREE, directory], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stderr);
}

function done(...args: string[]): void {
  const { stderr, status } = btrkit(args);
  expect([stderr, status]).toEqual(["", 0]);
}

/** The commands of a day, each on the unmounted image. */
const COMMANDS = (image: string, source: string): string[][] => [
  ["cp", "-aq", source, `${image}:/plain`],
  ["subvolume", "create", "-q", `${image}:/sub`],
  ["cp", "-aq", "--compress", "zstd:3", `${source}/.`, `${image}:/sub`],
  ["subvolume", "snapshot", "-q", "-r", `${image}:/sub`, `${image}:/fixed`],
  ["cp", "-aq", `${image}:/sub/.`, `${image}:/plain`],
  ["cp", "-aq", `${image}:/fixed`, `${image}:/shared`],
  ["cp", "-aq", "--reflink=never", "--compress", "lzo", `${image}:/fixed`, `${image}:/again`],
  ["subvolume", "snapshot", "-q", `${image}:/fixed`, `${image}:/writable`],
  ["cp", "-aq", "--compress", "zlib", `${source}/.`, `${image}:/writable`],
  ["rm", "-r", `${image}:/writable/dir`, `${image}:/writable/large`],
  ["cp", "-aq", `${source}/dir`, `${image}:/writable`],
  ["cp", "-aq", join(source, "large"), `${image}:/writable/large`],
  ["subvolume", "snapshot", "-q", `${image}:/writable`, `${image}:/other`],
  ["subvolume", "delete", "-q", "--now", `${image}:/writable`],
  ["subvolume", "delete", "-q", `${image}:/other`],
  ["subvolume", "set-default", `${image}:/sub`],
  ["subvolume", "set-default", "5", image],
];

const COPIES = ["plain", "sub", "fixed", "shared", "again"];

describeKernel("files of an image, by the command line", () => {
  test.each([
    ["", []],
    [", 4K nodes", ["-n", "4K"]],
    [", without no-holes", ["-O", "^no-holes", "-n", "4K"]],
  ])(
    "after every command the image is clean; the kernel reads the same, writes, and btrkit goes on%s",
    async (_, options) => {
      const work = makeWorkDirectory();
      await using image = new WrittenImage(400);
      try {
        const source = join(work, "source");
        makeTree(source);
        const expected = await treeOf(source, { holes: true });
        done("mkfs", "--quiet", ...options, image.path);
        for (const command of COMMANDS(image.path, source)) {
          done(...command);
          await image.check();
        }
        await image.mounted(async (directory) => {
          for (const name of COPIES) await expectSame(join(directory, name), expected, name);
          writeFileSync(join(directory, "sub/by the kernel"), "b".repeat(100_000));
          rmSync(join(directory, "shared"), { recursive: true });
        });
        await image.check();
        done("cp", "-aq", join(source, "text"), `${image.path}:/sub/by the kernel`);
        done("rm", "-r", `${image.path}:/plain`);
        done("subvolume", "delete", "-q", "--now", `${image.path}:/fixed`);
        await image.check();
        await image.mounted(async (directory) => {
          expect(readFileSync(join(directory, "sub/by the kernel"))).toEqual(readFileSync(join(source, "text")));
          rmSync(join(directory, "sub/by the kernel"));
          await expectSame(join(directory, "again"), expected, "again");
        });
        await image.check();
      } finally {
        removeWorkDirectory(work);
      }
    },
  );
});

async function expectSame(
  directory: string,
  expected: Awaited<ReturnType<typeof treeOf>>,
  name: string,
): Promise<void> {
  expect([name, treeDifferences(await treeOf(directory, { holes: true }), expected)]).toEqual([name, []]);
}
