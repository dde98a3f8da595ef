import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { findXattr, loadNative } from "../../src/linux/index.ts";
import { BIN, btrkit } from "../cli/support.ts";
import { mkdir, mkfile, rename, setXattr, snapshot, subvol, write } from "../support/raw-commands.ts";
import { END, stream } from "../support/raw-stream.ts";
import { sidecarLines } from "../support/sidecar-tree.ts";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import type { Operation } from "./support/operations.ts";
import { peerSend } from "./support/peer.ts";
import { PlainFilesystem } from "./support/plain-filesystem.ts";
import { receiveDirectory } from "./support/receive-directory.ts";
import { differencesFromSent, sendAll } from "./support/sent-history.ts";

// A plain directory in the corners: attributes that lock the receiver out, in place, full, killed. Random histories are in
// receive-directory-histories.test.ts.

const SNAPSHOTS = ["s1", "s2", "s3"];

describeKernel("receive into a plain directory", () => {
  test("an ACL that takes the receiver's rights away waits for the end, as a mode does", async () => {
    // user::---, user:1002:r-x, group::r-x, mask::r-x, other::---
    const acl = Buffer.from(
      "02000000 01000000ffffffff 02000500ea030000 04000500ffffffff 10000500ffffffff 20000000ffffffff".replaceAll(
        " ",
        "",
      ),
      "hex",
    );
    const lock = (path: string) => setXattr(path, "system.posix_acl_access", acl);
    const full = [
      mkdir("d"),
      lock("d"),
      mkfile("d/f"),
      setXattr("d/f", "user.b", "v"),
      lock("d/f"),
      write("d/f", "one"),
      mkdir("e"),
    ];
    const increment = [rename("d", "e/d"), write("e/d/f", "two"), mkfile("e/d/g")];
    await using target = await PlainFilesystem.make("tmpfs");
    const streams = [stream(2, subvol("s1", 1), ...full, END), stream(2, snapshot("s2", 2, 1), ...increment, END)];
    const files = streams.map((bytes, index) => {
      const file = join(target.directory, `stream-${index}`);
      writeFileSync(file, bytes);
      return file;
    });
    expect(receiveDirectory(target.directory, files, { user: true })).toMatchObject({ stderr: "", status: 0 });
    const found = (path: string) => {
      const value = findXattr(loadNative(), -100, join(target.directory, path), "system.posix_acl_access");
      return [(statSync(join(target.directory, path)).mode & 0o777).toString(8), Buffer.from(value!).equals(acl)];
    };
    for (const path of ["s1/d", "s1/d/f", "s2/e/d", "s2/e/d/f"]) expect(found(path), path).toEqual(["50", true]);
    expect(readFileSync(join(target.directory, "s2/e/d/f"), "utf8")).toBe("two");
    const copied = findXattr(loadNative(), -100, join(target.directory, "s2/e/d/f"), "user.b");
    expect(Buffer.from(copied!).toString()).toBe("v");
  });

  test("in place, one directory goes through all snapshots", async () => {
    await using source = await TestFilesystem.make({ mount: "compress=zstd" });
    await applyHistory(source.directory, makeHistory({ seed: 109, profile: "names", steps: 80 }));
    await source.remount("ro");
    await using target = await PlainFilesystem.make("tmpfs");
    const streams = await sendAll(source, SNAPSHOTS, "v2", { protocol: 2 });
    const received = receiveDirectory(target.directory, streams, { user: true, inPlace: true });
    expect([received.stderr, received.said.error, received.status]).toEqual(["", undefined, 0]);
    expect(readdirSync(target.directory).sort()).toEqual([".btrkit", "s3"]);
    expect(await differencesFromSent(source, target, "s3")).toEqual([]);
  });

  /** 8 MiB that do not compress, in 40 files, and a change of half of them. */
  async function withTwoSnapshots(): Promise<{ source: TestFilesystem; streams: string[] }> {
    const source = await TestFilesystem.make();
    const operations: Operation[] = [{ op: "subvolume", path: "live" }];
    const write = (from: number, seed: number) => {
      for (let file = from; file < 40; file++) {
        const path = `live/file-${file}`;
        if (seed === 0) operations.push({ op: "create", path });
        const length = 200_000;
        operations.push({ op: "write", path, offset: 0, length, fill: { kind: "noise", seed: seed + file } });
      }
    };
    write(0, 0);
    operations.push({ op: "snapshot", source: "live", path: "s1", readOnly: true });
    write(20, 100);
    operations.push({ op: "snapshot", source: "live", path: "s2", readOnly: true });
    await applyHistory(source.directory, operations);
    const streams: string[] = [];
    for (const [index, snapshot] of ["s1", "s2"].entries()) {
      const stream = join(source.work, snapshot);
      const parent = index === 0 ? {} : { parent: join(source.directory, "s1") };
      await peerSend([join(source.directory, snapshot)], stream, { protocol: 2, ...parent });
      chmodSync(stream, 0o644);
      streams.push(stream);
    }
    chmodSync(source.work, 0o755);
    return { source, streams };
  }

  test("a full disk is an error that says so; what was complete stays, and the rest can be received again", async () => {
    const { source, streams } = await withTwoSnapshots();
    await using _source = source;
    for (const sizeMiB of [1, 4, 9, 12, 15]) {
      await using target = await PlainFilesystem.make("tmpfs", sizeMiB);
      const full = receiveDirectory(target.directory, streams, { user: true });
      expect([sizeMiB, full.status, full.said.code]).toEqual([sizeMiB, 1, "space"]);
      const states = sidecarLines(target.directory).map(({ path, state }) => [path, state]);
      const first = sizeMiB > 8;
      // A copy that could not be made is taken away at once.
      if (first) expect(states.filter(([path]) => path === "s1")).toEqual([["s1", "complete"]]);
      else expect(states).toEqual([["s1", "receiving"]]);
      expect(states.filter(([path, state]) => path === "s2" && state === "complete")).toEqual([]);
      await target.resize(64);
      expect(btrkit(["receive", "--cleanup", target.directory]).status).toBe(0);
      const again = receiveDirectory(target.directory, first ? streams.slice(1) : streams, { user: true });
      expect([again.stderr, again.status]).toEqual(["", 0]);
      for (const snapshot of ["s1", "s2"]) expect(await differencesFromSent(source, target, snapshot)).toEqual([]);
    }
  });

  test("killed at any point, what is there is known as unfinished, and cleaning up makes way for the next", async () => {
    const { source, streams } = await withTwoSnapshots();
    await using _source = source;
    await using target = await PlainFilesystem.make("tmpfs");
    const bytes = readFileSync(streams[0]!);
    for (const part of [0.0002, 0.2, 0.7]) {
      await killAfter(target.directory, bytes.subarray(0, Math.ceil(bytes.byteLength * part)));
      expect(sidecarLines(target.directory).map(({ path, state }) => [path, state])).toEqual([["s1", "receiving"]]);
      const cleaned = btrkit(["receive", "--cleanup", target.directory]);
      expect(cleaned.stdout.toString()).toBe(`deleted ${target.directory}/s1, an unfinished receive\n`);
      expect(readdirSync(target.directory)).toEqual([".btrkit"]);
    }
    expect(receiveDirectory(target.directory, streams.slice(0, 1)).status).toBe(0);
    expect(await differencesFromSent(source, target, "s1")).toEqual([]);
  });
});

/** Receives what is the start of a stream, and kills the process once it has done all of it that it can. */
async function killAfter(directory: string, input: Uint8Array): Promise<void> {
  const child = spawn(process.execPath, [BIN, "receive", "-q", directory], { stdio: ["pipe", "ignore", "ignore"] });
  const ended = once(child, "exit");
  child.stdin.write(input);
  for (let tries = 0; tries < 600 && !existsSync(join(directory, "s1")); tries++) await setTimeout(100);
  await setTimeout(500);
  child.kill("SIGKILL");
  await ended;
}
