import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, readdirSync, truncateSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { formatUuid } from "../../src/bytes/uuid.ts";
import { findXattr, getSubvolumeFlags, getSubvolumeInfo, loadNative, openat } from "../../src/linux/index.ts";
import type { TreeEntry } from "../support.ts";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { fillBytes } from "./support/operations.ts";
import { peerSend } from "./support/peer.ts";
import { run, tryRun } from "./support/run.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

// Receives that are killed at any moment, from their start to behind their end, and that meet the end of filesystems of many
// sizes: what is there is whole, or known not to be; then cleaning up makes way for the next. BTRKIT_POINTS asks for more
// moments and sizes than the few that always run.

const BIN = resolve(import.meta.dirname, "../../dist/cli/bin.js");
const POINTS = Number(process.env.BTRKIT_POINTS ?? 6);

const btrkit = (...args: string[]) =>
  tryRun(process.execPath, [BIN, "receive", ...args], { env: { NODE_EXTRA_CA_CERTS: "" } });

/** Whether a subvolume says that it was received, and that it is unfinished. */
function signsOf(path: string): { readonly received: boolean; readonly marked: boolean; readonly readOnly: boolean } {
  const native = loadNative();
  const fd = openat(native, -100, path, 0);
  try {
    return {
      received: formatUuid(getSubvolumeInfo(native, fd).receivedUuid).replaceAll(/[0-]/g, "") !== "",
      marked: findXattr(native, fd, undefined, "user.btrkit.receiving") !== undefined,
      readOnly: getSubvolumeFlags(native, fd) !== 0n,
    };
  } finally {
    closeSync(fd);
  }
}

const WHOLE = { received: true, marked: false, readOnly: true };

async function expectWhole(path: string, sent: readonly TreeEntry[]): Promise<void> {
  expect(signsOf(path)).toEqual(WHOLE);
  expect(treeDifferences(await treeOf(path), sent)).toEqual([]);
}

describeKernel("receives that end anywhere", () => {
  test("killed at any moment, what is not marked is all there, and the next receive goes on from it", {
    timeout: 3_600_000,
  }, async () => {
    await using source = await TestFilesystem.make({ mount: "compress=zstd" });
    const history = makeHistory({ seed: 31, profile: "everything", snapshots: 2, steps: 200 });
    await applyHistory(source.directory, history, { lenient: true });
    const at = (name: string): string => join(source.directory, name);
    const streams = { s1: join(source.work, "full"), s2: join(source.work, "increment") };
    await peerSend([at("s1")], streams.s1, { compressed: true });
    await peerSend([at("s2")], streams.s2, { compressed: true, parent: at("s1") });
    await using target = await TestFilesystem.make();
    for (const name of ["s1", "s2"] as const) {
      const place = join(target.directory, name);
      const sent = await treeOf(at(name));
      const start = performance.now();
      expect((await btrkit("-q", "-f", streams[name], target.directory)).code).toBe(0);
      const duration = performance.now() - start;
      const seen = new Set<string>();
      for (let point = 0; point < POINTS; point++) {
        await run("btrfs", ["property", "set", place, "ro", "false"]).catch(() => {});
        await tryRun("btrfs", ["subvolume", "delete", place]);
        const args = [BIN, "receive", "-q", "-f", streams[name], target.directory];
        const child = spawn(process.execPath, args, {
          stdio: "ignore",
          env: { ...process.env, NODE_EXTRA_CA_CERTS: "" },
        });
        const ended = once(child, "exit");
        // Most of them in the later part, where a process has started and the commits are.
        await sleep(duration * (1 - 0.9 * (1 - (point + 1) / POINTS) ** 2));
        child.kill("SIGKILL");
        await ended;
        const left = readdirSync(target.directory).filter((each) => each !== "s1" || name === "s1");
        expect(left.length).toBeLessThan(2);
        const signs = left.map((each) => signsOf(join(target.directory, each)));
        seen.add(JSON.stringify(signs));
        // Writable and received is the last moment but one: all is there.
        if (left[0] === name && !signs[0]!.marked) expect(treeDifferences(await treeOf(place), sent)).toEqual([]);
        expect((await btrkit("--cleanup", target.directory)).code).toBe(0);
        const kept = signs[0]?.received === true && !signs[0].marked ? [name] : [];
        expect(readdirSync(target.directory)).toEqual(name === "s1" ? kept : ["s1", ...kept]);
      }
      // Of the moments some at least were in between.
      expect(seen.size).toBeGreaterThan(1);
      await tryRun("btrfs", ["subvolume", "delete", place]);
      expect((await btrkit("-q", "-f", streams[name], target.directory)).code).toBe(0);
      await expectWhole(place, sent);
    }
    await target.unmount();
    expect((await target.check()).code).toBe(0);
  });

  test("in a filesystem of any size, a receive is whole, or unfinished and says so; with more room it succeeds", {
    timeout: 3_600_000,
  }, async () => {
    await using source = await TestFilesystem.make({ sizeMiB: 512, mount: "compress=zlib" });
    await applyHistory(source.directory, [{ op: "subvolume", path: "live" }]);
    for (let number = 0; number < 60; number++) {
      const kind = number % 3 === 0 ? "text" : "noise";
      // Small ones in the leaves as well, and some that fill metadata.
      const lengths = [4 << 20, 1500, 300_000, 2000];
      const data = fillBytes({ kind, seed: number }, lengths[number % lengths.length]!);
      await writeFile(join(source.directory, "live", `file-${number}`), data);
    }
    for (let number = 0; number < 3000; number++) {
      await writeFile(
        join(source.directory, "live", `small-${number}`),
        fillBytes({ kind: "noise", seed: number }, 1900),
      );
    }
    await applyHistory(source.directory, [{ op: "snapshot", source: "live", path: "s1", readOnly: true }]);
    const sent = await treeOf(join(source.directory, "s1"));
    const streams = [join(source.work, "v1"), join(source.work, "v2")] as const;
    await peerSend([join(source.directory, "s1")], streams[0], { protocol: 1 });
    await peerSend([join(source.directory, "s1")], streams[1], { compressed: true });
    const outcomes = { full: 0, whole: 0 };
    for (let point = 0; point < POINTS; point++) {
      const sizeMiB = 112 + Math.round((point * 68) / POINTS);
      await using target = await TestFilesystem.make({ sizeMiB });
      const place = join(target.directory, "s1");
      const stream = streams[point % 2]!;
      const options = point % 4 < 2 ? ["--syncfs"] : [];
      const ran = await btrkit("-q", ...options, "-f", stream, target.directory);
      if (ran.code === 0) {
        outcomes.whole++;
        await target.renew();
        await expectWhole(place, sent);
        continue;
      }
      outcomes.full++;
      expect([sizeMiB, ran.code, ran.stderr.toString()]).toEqual([
        sizeMiB,
        1,
        expect.stringMatching(/ENOSPC|No space/),
      ]);
      if (readdirSync(target.directory).length > 0) {
        expect(ran.stderr.toString()).toContain("s1 is unfinished");
        expect(signsOf(place)).toEqual({ received: false, marked: true, readOnly: false });
      }
      const cleaned = await btrkit("--cleanup", target.directory);
      expect([cleaned.code, cleaned.stderr.toString()]).toEqual([0, ""]);
      expect(readdirSync(target.directory)).toEqual([]);
      truncateSync(target.images[0]!, 512 << 20);
      await run("losetup", ["-c", target.devices[0]!]);
      await run("btrfs", ["filesystem", "resize", "max", target.directory]);
      const again = await btrkit("-q", ...options, "-f", stream, target.directory);
      expect([again.code, again.stderr.toString()]).toEqual([0, ""]);
      await target.renew();
      await expectWhole(place, sent);
      await target.unmount();
      expect((await target.check()).code).toBe(0);
    }
    expect(outcomes.full).toBeGreaterThan(0);
  });
});
