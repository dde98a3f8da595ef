import { describe, expect, test } from "vitest";
import { concatBytes } from "../../src/bytes/bytes.ts";
import { BtrfsError } from "../../src/errors.ts";
import { type Attribute, commandOf, END, stream, time, u32, u64 } from "../support/raw-stream.ts";

/** Where a hostile stream is received to, and what is around it. */
export interface HostilePlace {
  /**
   * A directory beside the destination, not in it, with a file `victim` in it. Streams lead to it by symbolic links and
   * by `..`; what it holds is looked at afterwards.
   */
  readonly outside: string;
  /** All of what is around the destination, in a form that shows every change. */
  readonly around: () => unknown;
  readonly receive: (input: Uint8Array) => Promise<unknown>;
}

const PATH = 15;
const uuid = new Uint8Array(16).fill(1);
const v2 = (number: number, attributes: readonly Attribute[]) => commandOf(2, number, attributes);
const subvol = (name: string) =>
  v2(1, [
    [PATH, name],
    [1, uuid],
    [2, u64(7)],
  ]);
const mkfile = (path: string | Uint8Array) =>
  v2(3, [
    [PATH, path],
    [3, u64(257)],
  ]);
const mkdir = (path: string) =>
  v2(4, [
    [PATH, path],
    [3, u64(258)],
  ]);
const mkfifo = (path: string) =>
  v2(6, [
    [PATH, path],
    [3, u64(258)],
    [8, u64(0)],
    [5, u64(0o10644)],
  ]);
const symlink = (path: string, to: string) =>
  v2(8, [
    [PATH, path],
    [3, u64(259)],
    [17, to],
  ]);
const rename = (path: string, to: string) =>
  v2(9, [
    [PATH, path],
    [16, to],
  ]);
const link = (path: string, to: string) =>
  v2(10, [
    [PATH, path],
    [17, to],
  ]);
const unlink = (path: string) => v2(11, [[PATH, path]]);
const rmdir = (path: string) => v2(12, [[PATH, path]]);
const setXattr = (path: string) =>
  v2(13, [
    [PATH, path],
    [13, "user.a"],
    [14, "x"],
  ]);
const write = (path: string, offset: bigint | number = 0) =>
  v2(15, [
    [PATH, path],
    [18, u64(offset)],
    [19, "EVIL"],
  ]);
const clone = (path: string, source: string, length = 4, from = uuid) =>
  v2(16, [
    [18, u64(0)],
    [24, u64(length)],
    [PATH, path],
    [20, from],
    [21, u64(7)],
    [22, source],
    [23, u64(0)],
  ]);
const truncate = (path: string, size: bigint | number) =>
  v2(17, [
    [PATH, path],
    [4, u64(size)],
  ]);
const chmod = (path: string) =>
  v2(18, [
    [PATH, path],
    [5, u64(0o777)],
  ]);
const utimes = (path: string) =>
  v2(20, [
    [PATH, path],
    [11, time(5)],
    [10, time(6)],
    [9, time(7)],
  ]);
const fallocate = (path: string) =>
  v2(23, [
    [PATH, path],
    [25, u32(3)],
    [18, u64(0)],
    [4, u64(4096)],
  ]);
const encoded = (path: string, data: Uint8Array, length: bigint | number, offset: bigint | number = 0) =>
  v2(25, [
    [PATH, path],
    [18, u64(0)],
    [27, u64(length)],
    [28, u64(length)],
    [29, u64(offset)],
    [30, u32(1)],
    [31, u32(0)],
    [19, data],
  ]);

/** A contract of every target: streams that want to get out, or to do harm, are refused, and nothing outside changes. */
export function describeHostileStreams(title: string, make: () => Promise<HostilePlace>): void {
  describe(title, () => {
    const planted = (outside: string) =>
      concatBytes([symlink("l", outside), symlink("v", `${outside}/victim`), mkfile("f")]);
    const cases: readonly (readonly [string, (outside: string) => Uint8Array])[] = [
      ["a file above", () => mkfile("../evil")],
      ["a file by an absolute path", (outside) => mkfile(`${outside}/evil`)],
      ["a path that goes up and down again", () => concatBytes([mkdir("a"), mkfile("a/../../evil")])],
      ["an empty name in a path", () => concatBytes([mkdir("a"), mkfile("a//b")])],
      ["a name with NUL", () => mkfile(Uint8Array.of(0x61, 0, 0x62))],
      ["a path of 5000 bytes", () => mkfile(`${"a/".repeat(2500)}b`)],
      ["a name of 256 bytes", () => mkfile("a".repeat(256))],
      ["a rename out", () => concatBytes([mkfile("f"), rename("f", "../evil")])],
      ["a rename in", () => rename("../outside/victim", "f")],
      ["a hard link to what is above", () => link("f", "../outside/victim")],
      ["a clone of what is above", () => concatBytes([mkfile("f"), clone("f", "../outside/victim")])],
      ["a new file through a symbolic link", () => mkfile("l/evil")],
      ["a new directory through a symbolic link", () => mkdir("l/evil")],
      ["a rename through a symbolic link", () => rename("f", "l/evil")],
      ["a rename through a symbolic link to here", () => rename("l/victim", "g")],
      ["a removal through a symbolic link", () => unlink("l/victim")],
      ["a hard link through a symbolic link", () => link("g", "l/victim")],
      ["a hard link into a symbolic link", () => link("l/evil", "f")],
      ["a write through a symbolic link", () => write("l/victim")],
      ["a write to a symbolic link", () => write("v")],
      ["a truncation of a symbolic link", () => truncate("v", 0)],
      ["a mode of a symbolic link", () => chmod("v")],
      ["a mode through a symbolic link", () => chmod("l/victim")],
      ["times through a symbolic link", () => utimes("l/victim")],
      ["an attribute through a symbolic link", () => setXattr("l/victim")],
      ["a hole in a symbolic link", () => fallocate("v")],
      ["a clone to a symbolic link", () => clone("v", "f", 0)],
      ["a clone from a symbolic link", () => clone("f", "v")],
      ["a clone through a symbolic link", () => clone("f", "l/victim")],
      ["a clone from a subvolume that nobody knows", () => clone("f", "victim", 4, new Uint8Array(16).fill(9))],
      ["a clone of more than there is", () => clone("f", "f", 4096)],
      ["an encoded write to a symbolic link", () => encoded("v", new Uint8Array(8), 4096)],
      ["a file twice", () => mkfile("f")],
      ["a directory over a file", () => mkdir("f")],
      ["a write to a directory", () => concatBytes([mkdir("d"), write("d")])],
      ["a write to a fifo", () => concatBytes([mkfifo("p"), write("p")])],
      ["a truncation of a directory", () => concatBytes([mkdir("d"), truncate("d", 0)])],
      ["a size above 2^63", () => truncate("f", 2n ** 64n - 1n)],
      ["a write above 2^63", () => write("f", 2n ** 63n - 2n)],
      ["a removal of a directory that is not empty", () => concatBytes([mkdir("d"), mkfile("d/f"), rmdir("d")])],
      ["a removal of a directory as a file", () => concatBytes([mkdir("d"), unlink("d")])],
      ["a removal of what is not there", () => unlink("none")],
      ["a directory into itself", () => concatBytes([mkdir("d"), rename("d", "d/e")])],
      ["an encoded write that decodes to 1 GiB", () => encoded("f", new Uint8Array(64), 1 << 30)],
      ["an encoded write whose offsets overflow", () => encoded("f", new Uint8Array(64), 4096, 2n ** 64n - 1n)],
      ["an encoded write of rubbish", () => encoded("f", new Uint8Array(64).fill(0xff), 4096)],
      ["a second subvolume above", () => subvol("../evil")],
      ["a second subvolume called ..", () => subvol("..")],
      ["a second subvolume in a directory", () => subvol("s/x")],
    ];

    test.each(cases)("%s is refused, and nothing outside is touched", async (_, commands) => {
      const place = await make();
      const before = place.around();
      const input = stream(2, subvol("s"), planted(place.outside), commands(place.outside), END);
      const error = await place.receive(input).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(BtrfsError);
      expect(place.around()).toEqual(before);
    });
  });
}
