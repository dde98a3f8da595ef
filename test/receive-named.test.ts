import { expect, test } from "vitest";
import { MemoryDevice } from "../src/device/memory.ts";
import { BtrfsError } from "../src/errors.ts";
import { openFilesystem } from "../src/fs/filesystem.ts";
import { makeFilesystem } from "../src/mkfs/mkfs.ts";
import { ImageTarget } from "../src/receive/image-target.ts";
import { type ReceiveOptions, receive } from "../src/receive/receive.ts";
import { openWritableVolume } from "../src/transaction/writable.ts";
import {
  chmod,
  mkdir,
  mkfifo,
  mkfile,
  mknod,
  rename,
  setXattr,
  subvol,
  symlink,
  utimes,
  write,
} from "./support/raw-commands.ts";
import { END, stream } from "./support/raw-stream.ts";
import { treeOfImage } from "./support/tree-of-image.ts";

// What is made under a temporary name and renamed by the next command is made under its own name at once. Carried out one
// at a time, as `onCommand` asks for, the commands can't be seen together: all has to end the same.

const COMPRESSION = "btrfs.compression";
const DEFAULT_ACL = Uint8Array.of(2, 0, 0, 0, ...[1, 4, 32].flatMap((tag) => [tag, 0, 5, 0, 255, 255, 255, 255]));
const newFile = (path: string) => [mkfile("o1-1-0"), rename("o1-1-0", path), write(path, "data"), chmod(path, 0o640)];
const newDirectory = (path: string) => [mkdir("o2-1-0"), rename("o2-1-0", path), chmod(path, 0o755)];

const CASES: readonly (readonly [string, readonly Uint8Array[]])[] = [
  ["files", [...newDirectory("d"), ...newFile("d/f"), ...newFile("f")]],
  [
    "all kinds",
    [
      [mkdir("t"), "d"],
      [mkfifo("t"), "p"],
      [symlink("t", "to"), "l"],
      [mknod("t", 0x103, 0o20600), "c"],
    ].flatMap(([make, name]) => [make as Uint8Array, rename("t", name as string)]),
  ],
  ["a property of the directory", [...newDirectory("d"), setXattr("d", COMPRESSION, "zstd"), ...newFile("d/f")]],
  [
    "a property of the top",
    [...newDirectory("d"), setXattr("", COMPRESSION, "zlib"), ...newFile("d/f"), ...newFile("f")],
  ],
  ["a default ACL", [...newDirectory("d"), setXattr("d", "system.posix_acl_default", DEFAULT_ACL), ...newFile("d/f")]],
  ["a setgid directory", [...newDirectory("d"), chmod("d", 0o2770), ...newDirectory("d/e"), ...newFile("d/f")]],
  ["a name that is taken by a file", [...newFile("f"), setXattr("f"), ...newFile("f")]],
  ["a name that is taken by an empty directory", [...newDirectory("d"), setXattr("d"), ...newDirectory("d")]],
  ["a name that is taken by a directory, for a file", [...newDirectory("d"), ...newFile("d")]],
  ["a temporary name that is taken", [mkfile("o1-1-0"), write("o1-1-0", "old"), ...newFile("f")]],
  ["a temporary name elsewhere", [...newDirectory("d"), mkfile("d/t"), rename("d/t", "f"), write("f", "x")]],
  ["a directory that is not there", newFile("d/f")],
  ["a file for a directory", [...newFile("f"), ...newFile("f/g")]],
  ["a directory into itself", [mkdir("d"), rename("d", "d/e")]],
  ["a rename to the same name", [mkfile("f"), rename("f", "f"), write("f", "x")]],
  ["a rename of something else", [...newFile("f"), mkfile("g"), rename("f", "h")]],
  ["a long name", newFile("n".repeat(256))],
  ["a symbolic link that leads nowhere", [symlink("t", ""), rename("t", "l")]],
];

test.each(CASES)("%s", async (_, commands) => {
  const input = stream(2, subvol("s"), ...commands, utimes(""), END);
  const together = await received(input, {});
  const apart = await received(input, { onCommand() {} });
  expect(together).toEqual(apart);
  expect(together.length).toBeGreaterThan(0);
});

/** What stands in the image, or why it does not. */
async function received(input: Uint8Array, options: ReceiveOptions): Promise<unknown[]> {
  const store = new MemoryDevice(new Uint8Array(24 << 20));
  await makeFilesystem(store, { metadata: "single" });
  const target = new ImageTarget(await openWritableVolume([store]), { now: () => 5_000_000_000n });
  try {
    await receive([input], target, options);
  } catch (error) {
    if (!(error instanceof BtrfsError)) throw error;
    return [error.code, error.message, error.where];
  }
  return await treeOfImage(await (await openFilesystem([store])).lookup("s"));
}
