import { describe, expect, test } from "vitest";
import { concatBytes } from "../../src/bytes/bytes.ts";
import { BtrfsError } from "../../src/errors.ts";
import {
  chmod,
  clone,
  encodedWrite,
  fallocate,
  link,
  mkdir,
  mkfifo,
  mkfile,
  rename,
  rmdir,
  setXattr,
  subvol,
  symlink,
  truncate,
  unlink,
  utimes,
  write,
} from "../support/raw-commands.ts";
import { END, stream } from "../support/raw-stream.ts";

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

/** A contract of every target: streams that want to get out, or to do harm, are refused, and nothing outside changes. */
export function describeHostileStreams(
  title: string,
  make: () => Promise<HostilePlace>,
  options: { readonly storesUnopened?: boolean } = {},
): void {
  describe(title, () => {
    const planted = (outside: string) =>
      concatBytes([symlink("l", outside), symlink("v", `${outside}/victim`), mkfile("f")]);
    // What is stored unopened is found out by who reads it, as with the kernel.
    const rubbish = [
      "an encoded write of rubbish",
      () => encodedWrite("f", new Uint8Array(64).fill(0xff), { length: 4096 }),
    ] as const;
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
      ["a write through a symbolic link", () => write("l/victim", "EVIL")],
      ["a write to a symbolic link", () => write("v", "EVIL")],
      ["a truncation of a symbolic link", () => truncate("v", 0)],
      ["a mode of a symbolic link", () => chmod("v", 0o777)],
      ["a mode through a symbolic link", () => chmod("l/victim", 0o777)],
      ["times through a symbolic link", () => utimes("l/victim")],
      ["an attribute through a symbolic link", () => setXattr("l/victim")],
      ["a hole in a symbolic link", () => fallocate("v", 3, 4096)],
      ["a clone to a symbolic link", () => clone("v", "f", 0)],
      ["a clone from a symbolic link", () => clone("f", "v")],
      ["a clone through a symbolic link", () => clone("f", "l/victim")],
      ["a clone from a subvolume that nobody knows", () => clone("f", "victim", 4, 9)],
      ["a clone of more than there is", () => clone("f", "f", 4096)],
      ["an encoded write to a symbolic link", () => encodedWrite("v", new Uint8Array(8), { length: 4096 })],
      ["a file twice", () => mkfile("f")],
      ["a directory over a file", () => mkdir("f")],
      ["a write to a directory", () => concatBytes([mkdir("d"), write("d", "EVIL")])],
      ["a write to a fifo", () => concatBytes([mkfifo("p"), write("p", "EVIL")])],
      ["a truncation of a directory", () => concatBytes([mkdir("d"), truncate("d", 0)])],
      ["a size above 2^63", () => truncate("f", 2n ** 64n - 1n)],
      ["a write above 2^63", () => write("f", "EVIL", 2n ** 63n - 2n)],
      ["a removal of a directory that is not empty", () => concatBytes([mkdir("d"), mkfile("d/f"), rmdir("d")])],
      ["a removal of a directory as a file", () => concatBytes([mkdir("d"), unlink("d")])],
      ["a removal of what is not there", () => unlink("none")],
      ["a directory into itself", () => concatBytes([mkdir("d"), rename("d", "d/e")])],
      ["an encoded write that decodes to 1 GiB", () => encodedWrite("f", new Uint8Array(64), { length: 1 << 30 })],
      [
        "an encoded write whose offsets overflow",
        () => encodedWrite("f", new Uint8Array(64), { length: 4096, unencodedOffset: 2n ** 64n - 1n }),
      ],
      ...(options.storesUnopened === true ? [] : [rubbish]),
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
