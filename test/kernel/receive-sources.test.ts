import { closeSync, openSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { getSubvolumeInfo, loadNative } from "../../src/linux/index.ts";
import { clone, mkfile, snapshot, subvol, uuid, write } from "../support/raw-commands.ts";
import { commandOf, END, stream, u64 } from "../support/raw-stream.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { describeKernel } from "./support/host.ts";
import { liveReceive } from "./support/receive.ts";
import { run } from "./support/run.ts";

// Which subvolume a stream means: it names them by uuid.

const PAGE = 4096;
const page = (letter: string) => letter.repeat(PAGE);

function ownUuid(path: string): Uint8Array {
  const fd = openSync(path, "r");
  try {
    return getSubvolumeInfo(loadNative(), fd).uuid;
  } finally {
    closeSync(fd);
  }
}

const named = (number: 1 | 2, name: string, id: Uint8Array, parent?: Uint8Array) =>
  commandOf(2, number, [
    [15, name],
    [1, id],
    [2, u64(7)],
    ...(parent === undefined ? [] : ([[20, parent] as const, [21, u64(7)] as const] as const)),
  ]);

describeKernel("parents and sources of clones", () => {
  test("what was received from a uuid goes before what has it itself", async () => {
    await using filesystem = await TestFilesystem.make();
    const original = filesystem.path("original");
    await run("btrfs", ["-q", "subvolume", "create", original]);
    const id = ownUuid(original);
    const full = stream(2, named(1, "received", id), mkfile("f"), write("f", "received"), END);
    await liveReceive([full], filesystem.directory);
    await liveReceive([stream(2, named(2, "next", uuid(9), id), write("f", "R"), END)], filesystem.directory);
    expect(readFileSync(filesystem.path("next/f"), "utf8")).toBe("Received");
  });

  test("an unfinished receive is nobody's parent, by its own uuid neither", async () => {
    await using filesystem = await TestFilesystem.make();
    await expect(liveReceive([stream(2, subvol("half"), mkfile("f"))], filesystem.directory)).rejects.toThrow();
    const next = stream(2, named(2, "next", uuid(9), ownUuid(filesystem.path("half"))), END);
    await expect(liveReceive([next], filesystem.directory)).rejects.toThrow("it is an unfinished receive itself");
  });

  test("files of one path are cloned from the subvolume that each clone names", async () => {
    await using filesystem = await TestFilesystem.make();
    for (const [name, id, letter] of [
      ["a", 1, "A"],
      ["b", 2, "B"],
    ] as const) {
      await liveReceive(
        [stream(2, subvol(name, id), mkfile("f"), write("f", page(letter)), END)],
        filesystem.directory,
      );
    }
    const clones = ["x", "y", "z"].flatMap((name, n) => [mkfile(name), clone(name, "f", PAGE, n === 1 ? 2 : 1)]);
    await liveReceive([stream(2, snapshot("c", 3, 1), ...clones, END)], filesystem.directory);
    const read = (name: string) => readFileSync(filesystem.path(`c/${name}`), "utf8");
    expect(["x", "y", "z"].map((name) => read(name) === page(name === "y" ? "B" : "A"))).toEqual([true, true, true]);
  });
});
