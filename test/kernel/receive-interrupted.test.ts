import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { formatUuid } from "../../src/bytes/uuid.ts";
import {
  findXattr,
  getSubvolumeFlags,
  getSubvolumeInfo,
  LiveTarget,
  loadNative,
  type Native,
  openat,
  type SyscallArgument,
  type SyscallName,
} from "../../src/linux/index.ts";
import { SUBVOL_SETFLAGS } from "../../src/linux/requests.ts";
import { receive } from "../../src/receive/receive.ts";
import { mkfile, snapshot, subvol, write } from "../support/raw-commands.ts";
import { END, stream } from "../support/raw-stream.ts";
import { applyHistory } from "./support/apply.ts";
import { TestFilesystem } from "./support/filesystem.ts";
import { makeHistory } from "./support/history.ts";
import { describeKernel } from "./support/host.ts";
import { fillBytes } from "./support/operations.ts";
import { peerSend } from "./support/peer.ts";
import { liveReceive } from "./support/receive.ts";
import { tryRun } from "./support/run.ts";
import { treeDifferences, treeOf } from "./support/tree.ts";

// A receive that ends too early leaves what anybody can tell from a whole subvolume, and what --cleanup takes away; then
// the same stream is received as if nothing had been.

const BIN = resolve(import.meta.dirname, "../../dist/cli/bin.js");
const MARK = "user.btrkit.receiving";

function btrkit(...args: string[]) {
  return tryRun(process.execPath, [BIN, ...args]);
}

/** What a subvolume is: "whole", or "unfinished" in every way that it should be. */
function stateOf(path: string): "whole" | "unfinished" | object {
  const native = loadNative();
  const fd = openat(native, -100, path, 0);
  try {
    const received = formatUuid(getSubvolumeInfo(native, fd).receivedUuid).replaceAll(/[0-]/g, "") !== "";
    const found = {
      received,
      readOnly: getSubvolumeFlags(native, fd) !== 0n,
      marked: findXattr(native, fd, undefined, MARK) !== undefined,
    };
    if (found.received && found.readOnly && !found.marked) return "whole";
    return !found.received && !found.readOnly && found.marked ? "unfinished" : found;
  } finally {
    closeSync(fd);
  }
}

/** Gives a receiver the first bytes of a stream, and lets it take them in. */
async function feed(child: ChildProcess, bytes: Uint8Array): Promise<void> {
  child.stdin!.on("error", () => {});
  await new Promise((done) => child.stdin!.write(bytes, done));
}

describeKernel("receives that end too early", () => {
  test("killed anywhere, what stands is marked, --cleanup deletes it, and the stream is received again", async () => {
    await using source = await TestFilesystem.make({ mount: "compress=zstd" });
    const history = makeHistory({ seed: 21, profile: "everything", snapshots: 2, steps: 120 });
    await applyHistory(source.directory, history, { lenient: true });
    const [full, increment] = [join(source.work, "full"), join(source.work, "increment")];
    await peerSend([join(source.directory, "s1")], full, { compressed: true });
    await peerSend([join(source.directory, "s2")], increment, {
      compressed: true,
      parent: join(source.directory, "s1"),
    });
    await using target = await TestFilesystem.make();
    for (const [name, stream] of [
      ["s1", full],
      ["s2", increment],
    ] as const) {
      const bytes = readFileSync(stream);
      for (const share of [0.02, 0.4, 0.8, 1]) {
        const child = spawn(process.execPath, [BIN, "receive", target.directory], {
          stdio: ["pipe", "ignore", "ignore"],
        });
        const ended = once(child, "exit");
        // Without END it waits for more, however long it has had.
        await feed(child, bytes.subarray(0, Math.floor((bytes.byteLength - 10) * share)));
        for (let wait = 0; wait < 200 && !readdirSync(target.directory).includes(name); wait++) await sleep(50);
        await sleep(100 * share);
        child.kill("SIGKILL");
        await ended;
        expect(stateOf(join(target.directory, name))).toBe("unfinished");
        const cleaned = await btrkit("receive", "--cleanup", target.directory);
        expect(cleaned.stdout.toString()).toContain(`/${name}, an unfinished receive of `);
        expect(cleaned.code).toBe(0);
        expect(readdirSync(target.directory)).toEqual(name === "s1" ? [] : ["s1"]);
      }
      const again = await btrkit("receive", "-f", stream, target.directory);
      expect(again.stderr.toString()).toBe(name === "s1" ? "At subvol s1\n" : "");
      expect(again.stdout.toString()).toBe(name === "s1" ? "" : "At snapshot s2\n");
      expect(stateOf(join(target.directory, name))).toBe("whole");
      const expected = await treeOf(join(source.directory, name));
      expect(treeDifferences(await treeOf(join(target.directory, name)), expected)).toEqual([]);
    }
    await target.unmount();
    expect((await target.check()).code).toBe(0);
  });

  test("a signal, and a stream that is cut, say what stands and where; cleanup leaves all else alone", async () => {
    await using source = await TestFilesystem.make();
    await applyHistory(source.directory, makeHistory({ seed: 22, profile: "data", snapshots: 1 }), { lenient: true });
    const stream = join(source.work, "stream");
    await peerSend([join(source.directory, "s1")], stream);
    const bytes = readFileSync(stream);
    await using target = await TestFilesystem.make();
    await mkdir(join(target.directory, "plain"));
    await liveReceive(stream, target.directory);
    await mkdir(join(target.directory, "second"));

    const cut = join(source.work, "cut");
    await writeFile(cut, bytes.subarray(0, bytes.byteLength >> 1));
    const second = join(target.directory, "second");
    const ran = await btrkit("receive", "-f", cut, second);
    expect(ran.code).toBe(1);
    expect(ran.stderr.toString()).toContain("ERROR: unexpected EOF in stream");
    expect(ran.stderr.toString()).toContain(`${second}/s1 is unfinished`);
    expect((await btrkit("receive", "-f", stream, second)).stderr.toString()).toContain(
      "ERROR: creating subvolume s1 failed: File exists",
    );

    const child = spawn(process.execPath, [BIN, "receive", target.directory], { stdio: ["pipe", "ignore", "pipe"] });
    const ended = once(child, "exit");
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const renamed = Buffer.from(bytes);
    expect(stateOf(join(target.directory, "s1"))).toBe("whole");
    await feed(child, renamed.subarray(0, 17));
    await sleep(200);
    child.kill("SIGTERM");
    expect(await ended).toEqual([null, "SIGTERM"]);
    expect(said).not.toContain("unexpected");

    const cleaned = await btrkit("receive", "--cleanup", target.directory);
    expect(cleaned.stdout.toString()).toBe("");
    expect(readdirSync(target.directory).sort()).toEqual(["plain", "s1", "second"]);
    expect((await btrkit("receive", "--cleanup", second)).stdout.toString()).toContain("deleted");
    expect(readdirSync(second)).toEqual([]);
  });

  test("a subvolume is not cleaned up while it is being received", async () => {
    await using source = await TestFilesystem.make();
    await applyHistory(source.directory, makeHistory({ seed: 23, profile: "data", snapshots: 1 }), { lenient: true });
    const stream = join(source.work, "stream");
    await peerSend([join(source.directory, "s1")], stream);
    const bytes = readFileSync(stream);
    await using target = await TestFilesystem.make();
    const child = spawn(process.execPath, [BIN, "receive", target.directory], { stdio: ["pipe", "ignore", "ignore"] });
    const ended = once(child, "exit");
    await feed(child, bytes.subarray(0, bytes.byteLength - 10));
    for (let wait = 0; wait < 200 && !readdirSync(target.directory).includes("s1"); wait++) await sleep(50);
    const busy = await btrkit("receive", "--cleanup", target.directory);
    expect(busy.code).toBe(1);
    expect(busy.stderr.toString()).toContain("it is being received right now");
    child.stdin.end(bytes.subarray(bytes.byteLength - 10));
    expect(await ended).toEqual([0, null]);
    expect(stateOf(join(target.directory, "s1"))).toBe("whole");
  });

  test("a full disk is named, at any point, and leaves nothing that looks whole", async () => {
    await using source = await TestFilesystem.make({ sizeMiB: 512 });
    await applyHistory(source.directory, [{ op: "subvolume", path: "live" }]);
    for (let number = 0; number < 40; number++) {
      const data = fillBytes({ kind: "noise", seed: number }, 4 << 20);
      await writeFile(join(source.directory, "live", `file-${number}`), data);
    }
    await applyHistory(source.directory, [{ op: "snapshot", source: "live", path: "s1", readOnly: true }]);
    const stream = join(source.work, "stream");
    await peerSend([join(source.directory, "s1")], stream);
    for (const sizeMiB of [128, 160]) {
      await using target = await TestFilesystem.make({ sizeMiB });
      const ran = await btrkit("receive", "-f", stream, target.directory);
      expect(ran.code).toBe(1);
      expect(ran.stderr.toString()).toContain("No space left on device");
      expect(ran.stderr.toString()).toContain("s1 is unfinished");
      expect(stateOf(join(target.directory, "s1"))).toBe("unfinished");
      expect((await btrkit("receive", "--cleanup", target.directory)).code).toBe(0);
      expect(readdirSync(target.directory)).toEqual([]);
    }
  });

  test("between the mark's removal and read-only, what stands is received, whole and writable", async () => {
    await using filesystem = await TestFilesystem.make();
    const real = loadNative();
    const native = overriding(real, (name, args) => {
      if (name === "ioctl" && args[1] === SUBVOL_SETFLAGS.number) throw new Error("killed");
      return undefined;
    });
    using target = LiveTarget.open(filesystem.directory, {}, native);
    const input = stream(2, subvol("s"), mkfile("a"), write("a", "all of it"), END);
    await expect(receive(input, target)).rejects.toThrow("killed");
    const place = join(filesystem.directory, "s");
    expect(stateOf(place)).toEqual({ received: true, readOnly: false, marked: false });
    expect(readFileSync(join(place, "a"), "utf8")).toBe("all of it");
    // It is a parent already.
    await liveReceive(stream(2, snapshot("t", 2, 1), write("a", "more"), END), filesystem.directory);
    expect(readFileSync(join(filesystem.directory, "t/a"), "utf8")).toBe("moreof it");
  });

  test("a new subvolume that somebody else has locked is not received into, and goes", async () => {
    await using filesystem = await TestFilesystem.make();
    const EWOULDBLOCK = 11;
    const native = overriding(loadNative(), (name) => (name === "flock" ? -EWOULDBLOCK : undefined));
    using target = LiveTarget.open(filesystem.directory, {}, native);
    const input = stream(2, subvol("s"), mkfile("a"), END);
    await expect(receive(input, target)).rejects.toMatchObject({ code: "busy" });
    expect(readdirSync(filesystem.directory)).toEqual([]);
  });
});

/** The kernel, but for the calls that `answer` answers. */
function overriding(
  real: Native,
  answer: (name: SyscallName, args: readonly SyscallArgument[]) => number | undefined,
): Native {
  return {
    call: (name, args, hold) => answer(name, args) ?? real.call(name, args, hold),
    callAsync: (name, args, hold) => real.callAsync(name, args, hold),
    addressOf: (memory) => real.addressOf(memory),
  };
}
