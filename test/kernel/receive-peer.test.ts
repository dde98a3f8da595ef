import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { getSubvolumeInfo, loadNative, openat } from "../../src/linux/index.ts";
import * as make from "../support/raw-commands.ts";
import { END, stream } from "../support/raw-stream.ts";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory } from "./support/history.ts";
import { describeKernel, progsVersion } from "./support/host.ts";
import { peerReceive, peerSend } from "./support/peer.ts";
import { run, tryRun } from "./support/run.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

// What no kernel sends, or seldom: the outcome, and the words of -vv, are those of `btrfs receive`.

const BIN = resolve(import.meta.dirname, "../../dist/cli/bin.js");
const { chmod, chown, mkdir, mkfile, rename, setXattr, utimes, write } = make;

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
/** cap_chown+ep, as `struct vfs_cap_data` of revision 2. */
const CAPABILITY = hex("01000002 01000000 00000000 00000000 00000000");
/** user::rw-, user:1002:rwx, group::r--, mask::rwx, other::--- */
const ACL = hex("02000000 01000600ffffffff 02000700ea030000 04000400ffffffff 10000700ffffffff 20000000ffffffff");
const acl = (path: string, which = "access") => setXattr(path, `system.posix_acl_${which}`, ACL);
const capability = (path: string) => setXattr(path, "security.capability", CAPABILITY);
const end = (path: string) => utimes(path);

const STORIES: Readonly<Record<string, readonly Uint8Array[]>> = {
  "a mode, then an owner, then the same mode": [
    mkfile("f"),
    chmod("f", 0o4755),
    chown("f", 7, 7),
    chmod("f", 0o4755),
    end("f"),
  ],
  "a capability, then the same owner": [mkfile("f"), capability("f"), chown("f", 0, 0), end("f")],
  "an owner, a capability, the same owner": [
    mkfile("f"),
    chown("f", 7, 7),
    capability("f"),
    chown("f", 7, 7),
    end("f"),
  ],
  "a mode, an ACL, the same mode": [mkfile("f"), chmod("f", 0o640), acl("f"), chmod("f", 0o640), end("f")],
  "what a default ACL hands down": [
    mkdir("d"),
    acl("d", "default"),
    mkfile("o1"),
    rename("o1", "d/f"),
    mkdir("o2"),
    rename("o2", "d/e"),
    mkfile("d/g"),
    chmod("d/g", 0o600),
    end("d/f"),
    end("d/g"),
    end("d/e"),
    end("d"),
  ],
  "what a setgid directory hands down": [
    mkdir("d"),
    chown("d", 0, 100),
    chmod("d", 0o2755),
    mkfile("d/f"),
    mkdir("d/e"),
    mkfile("o1"),
    rename("o1", "d/g"),
    end("d/f"),
    end("d/e"),
    end("d/g"),
    end("d"),
  ],
};

describeKernel("as btrfs receive", () => {
  test.each(Object.entries(STORIES))("%s", async (_, commands) => {
    await using filesystem = await TestFilesystem.make();
    const input = stream(2, make.subvol("s", 5), ...commands, utimes(""), END);
    const file = join(filesystem.work, "stream");
    writeFileSync(file, input);
    for (const who of ["peer", "one", "two"]) mkdirSync(filesystem.path(who));
    await peerReceive(file, filesystem.path("peer"));
    const expected = await treeOf(filesystem.path("peer/s"));
    expect(expected.length).toBeGreaterThan(1);
    for (const [place, threads] of Object.entries({ one: "1", two: "2" })) {
      await run(process.execPath, [BIN, "receive", "-q", "--threads", threads, "-f", file, filesystem.path(place)]);
      expect(treeDifferences(await treeOf(filesystem.path(`${place}/s`)), expected)).toEqual([]);
    }
    const native = loadNative();
    const received = getSubvolumeInfo(native, openat(native, -100, filesystem.path("one/s"), 0));
    const peers = getSubvolumeInfo(native, openat(native, -100, filesystem.path("peer/s"), 0));
    for (const field of ["receivedUuid", "stransid", "readOnly"] as const)
      expect(received[field]).toEqual(peers[field]);
  });

  test("a directory renamed while a file in it is at work, which the peer goes on writing to", async () => {
    await using filesystem = await TestFilesystem.make();
    const commands = [
      ...[mkdir("d"), mkfile("d/f"), write("d/f", "one"), rename("d", "e")],
      ...[mkdir("d"), mkfile("d/f"), write("d/f", "other"), write("e/f", "more", 3)],
    ];
    for (const threads of ["1", "2"]) {
      const input = stream(2, make.subvol(threads, 5), ...commands, END);
      await run(process.execPath, [BIN, "receive", "--threads", threads, filesystem.directory], { input });
      const read = (path: string) => readFileSync(filesystem.path(`${threads}/${path}`), "utf8");
      expect([read("d/f"), read("e/f")]).toEqual(["other", "onemore"]);
    }
  });

  test.skipIf(progsVersion() !== "6.2")("-vv says each command as the peer does", async () => {
    await using source = await TestFilesystem.make({ mount: "compress=zstd" });
    await applyHistory(source.directory, makeHistory({ seed: 31, profile: "everything", snapshots: 2, steps: 60 }), {
      lenient: true,
    });
    await using target = await TestFilesystem.make();
    for (const who of ["ours", "peers"]) mkdirSync(target.path(who));
    for (const snapshot of ["s1", "s2"]) {
      const file = join(source.work, snapshot);
      await peerSend([source.path(snapshot)], file, {
        compressed: true,
        ...(snapshot === "s2" ? { parent: source.path("s1") } : {}),
      });
      const peer = await tryRun("btrfs", ["-vv", "receive", "-f", file, target.path("peers")]);
      const ours = await tryRun(process.execPath, [BIN, "receive", "-vv", "-f", file, target.path("ours")]);
      // Odd names are shown escaped, values of attributes too; of inode flags the peer says nothing.
      const isSaid = (line: string) =>
        /^[ -[\]-~]+$/.test(line) && /^\w+ .*( - |->|=|: )|^(utimes|unlink|rmdir|mk\w+) /.test(line);
      const isOther = (line: string) => /^(set_xattr|fileattr) |^\d+ commands|^history /.test(line);
      const lines = (text: Buffer) =>
        text
          .toString("latin1")
          .split("\n")
          .filter((line) => isSaid(line) && !isOther(line));
      const said = lines(ours.stderr);
      expect(said.length).toBeGreaterThan(50);
      expect(said).toEqual(lines(peer.stderr));
      expect(ours.stdout).toEqual(peer.stdout);
    }
  });
});
