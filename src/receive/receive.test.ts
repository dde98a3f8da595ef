import { describe, expect, test } from "vitest";
import { commandOf, END, header, stream, u64 } from "../../test/support/raw-stream.ts";
import { concatBytes, toBytes } from "../bytes/bytes.ts";
import { BtrfsError } from "../errors.ts";
import type { CommandBatch } from "../stream/batch.ts";
import { commandWord } from "../stream/commands.ts";
import { CommandError } from "./command-error.ts";
import { EncodedTally } from "./encoded-tally.ts";
import { type ReceiveEvent, type ReceiveOptions, receive } from "./receive.ts";
import type { ReceiveTarget, Report, SubvolumeStart } from "./target.ts";

const PATH = 15;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const uuid = (byte: number): Uint8Array => new Uint8Array(16).fill(byte);

const subvol = (name: string) =>
  commandOf(1, 1, [
    [PATH, name],
    [1, uuid(1)],
    [2, u64(7)],
  ]);
const snapshot = (name: string) =>
  commandOf(1, 2, [
    [PATH, name],
    [1, uuid(2)],
    [2, u64(8)],
    [20, uuid(1)],
    [21, u64(7)],
  ]);
const mkfile = (path: string | Uint8Array) =>
  commandOf(1, 3, [
    [PATH, path],
    [3, u64(257)],
  ]);
const chmod = (path: string) =>
  commandOf(1, 18, [
    [PATH, path],
    [5, u64(0o644)],
  ]);

/** Notes what it is asked for; fails where it is told to. */
class NotingTarget implements ReceiveTarget {
  readonly encoded = new EncodedTally();
  readonly calls: string[] = [];
  readonly failing: ReadonlySet<string>;
  #report: Report = () => {};

  constructor(...failing: string[]) {
    this.failing = new Set(failing);
  }

  begin({ name, parent }: SubvolumeStart, report: Report): void {
    this.#report = report;
    this.#note(`${parent === undefined ? "subvol" : "snapshot"} ${text(name)}`, true);
  }

  async apply(batch: CommandBatch, first: number, last: number): Promise<void> {
    for (let i = first; i < last; i++) {
      try {
        this.#note(`${commandWord(batch.type(i))} ${text(batch.value(i, PATH)!)}`, true);
      } catch (error) {
        this.#report(CommandError.of(batch, i, error));
      }
    }
  }

  async drain(): Promise<void> {
    if (this.failing.has("drain")) this.#report(new BtrfsError("io", "Cannot drain"));
  }

  async complete(): Promise<void> {
    this.#note("complete", true);
  }

  async abandon(): Promise<{ place: string }> {
    this.calls.push("abandon");
    return { place: "here" };
  }

  #note(call: string, mayFail: boolean): void {
    this.calls.push(call);
    if (mayFail && this.failing.has(call)) throw new BtrfsError("io", `Cannot do ${call}`);
  }
}

async function run(input: Uint8Array, target: NotingTarget, options: ReceiveOptions = {}) {
  const events: ReceiveEvent[] = [];
  const outcome = await receive(input, target, { ...options, onEvent: (event) => events.push(event) }).catch(
    (error: unknown) => error as BtrfsError,
  );
  return { outcome, kinds: events.map(({ kind }) => kind), events };
}

describe("receive", () => {
  test("segments follow each other, each subvolume complete at its END", async () => {
    const target = new NotingTarget();
    const input = concatBytes([stream(1, subvol("a"), mkfile("x"), END), stream(1, snapshot("b"), chmod(""), END)]);
    const { outcome, kinds } = await run(input, target);
    expect(target.calls).toEqual(["subvol a", "MKFILE x", "complete", "snapshot b", "CHMOD ", "complete"]);
    expect(kinds).toEqual(["begin", "received", "begin", "received"]);
    expect(outcome).toMatchObject({
      commands: 6,
      bytes: input.byteLength,
      subvolumes: [{ ctransid: 7n }, { ctransid: 8n }],
    });
  });

  test("subvolumes in one segment are complete when the next one begins", async () => {
    const target = new NotingTarget();
    await run(stream(1, subvol("a"), snapshot("b"), END), target);
    expect(target.calls).toEqual(["subvol a", "complete", "snapshot b", "complete"]);
  });

  test("only the first segment is received where that is asked for", async () => {
    const target = new NotingTarget();
    const input = concatBytes([stream(1, subvol("a"), END), toBytes("rubbish")]);
    const { outcome } = await run(input, target, { onlyFirstSegment: true });
    expect(outcome).toMatchObject({ commands: 2, bytes: input.byteLength - 7 });
    expect(target.calls).toEqual(["subvol a", "complete"]);
  });

  test("a stream that is cut short leaves the subvolume unfinished", async () => {
    const target = new NotingTarget();
    const { outcome, kinds } = await run(stream(1, subvol("a"), mkfile("x")), target);
    expect(outcome).toMatchObject({ code: "truncated" });
    expect(target.calls).toEqual(["subvol a", "MKFILE x", "abandon"]);
    expect(kinds).toEqual(["begin", "unfinished"]);
  });

  test("the first failure ends it, and says which command failed", async () => {
    const target = new NotingTarget("MKFILE x");
    const { outcome } = await run(stream(1, subvol("a"), mkfile("x"), mkfile("y"), END), target);
    expect(outcome).toBeInstanceOf(CommandError);
    expect(outcome).toMatchObject({ code: "io", type: 3, where: { path: "x", commandIndex: 1, command: "MKFILE" } });
    expect(target.calls).toEqual(["subvol a", "MKFILE x", "abandon"]);
  });

  test("a subvolume with a tolerated failure is not complete; later ones are", async () => {
    const target = new NotingTarget("MKFILE x");
    const input = stream(1, subvol("a"), mkfile("x"), mkfile("y"), subvol("b"), END);
    const { outcome, kinds } = await run(input, target, { maxErrors: 0 });
    expect(target.calls).toEqual(["subvol a", "MKFILE x", "MKFILE y", "abandon", "subvol b", "complete"]);
    expect(kinds).toEqual(["begin", "error", "unfinished", "begin", "received"]);
    expect(outcome).toMatchObject({ code: "io", sentence: expect.stringMatching("1 failure") });
  });

  test("so many failures end it", async () => {
    const target = new NotingTarget("MKFILE x", "MKFILE y");
    const { kinds } = await run(stream(1, subvol("a"), mkfile("x"), mkfile("y"), mkfile("z"), END), target, {
      maxErrors: 2,
    });
    expect(target.calls.slice(-2)).toEqual(["MKFILE y", "abandon"]);
    expect(kinds).toEqual(["begin", "error", "unfinished"]);
  });

  test("what fails late, while draining or completing, leaves the subvolume unfinished", async () => {
    for (const step of ["drain", "complete"]) {
      const target = new NotingTarget(step);
      const { outcome } = await run(stream(1, subvol("a"), END), target);
      expect(outcome).toMatchObject({ code: "io" });
      expect(target.calls.at(-1)).toBe("abandon");
      const tolerant = new NotingTarget(step);
      await run(stream(1, subvol("a"), END), tolerant, { maxErrors: 0 });
      expect(tolerant.calls.at(-1)).toBe("abandon");
    }
  });

  test("commands of a subvolume that could not begin are left out", async () => {
    const target = new NotingTarget("subvol a");
    const { kinds } = await run(stream(1, subvol("a"), mkfile("x"), subvol("b"), END), target, { maxErrors: 0 });
    expect(target.calls).toEqual(["subvol a", "subvol b", "complete"]);
    expect(kinds).toEqual(["begin", "error", "begin", "received"]);
  });

  test("commands before any subvolume are refused", async () => {
    const { outcome } = await run(stream(1, mkfile("x"), END), new NotingTarget());
    expect(outcome).toMatchObject({ code: "corrupt", sentence: expect.stringMatching("no subvolume has begun") });
  });

  test("an aborted receive abandons and throws the reason", async () => {
    const target = new NotingTarget();
    const controller = new AbortController();
    const reason = new Error("enough");
    const onEvent = () => controller.abort(reason);
    const input = [concatBytes([header(1), subvol("a"), mkfile("x")]), END];
    await expect(receive(input, target, { signal: controller.signal, onEvent })).rejects.toBe(reason);
    expect(target.calls.at(-1)).toBe("abandon");
  });

  const long = "a".repeat(256);
  const endless = Array.from({ length: 30 }, () => "b".repeat(200)).join("/");
  const rename = (from: string, to: string) =>
    commandOf(1, 9, [
      [PATH, from],
      [16, to],
    ]);
  const link = (path: string, existing: string) =>
    commandOf(1, 10, [
      [PATH, path],
      [17, existing],
    ]);
  const clone = (from: string) =>
    commandOf(1, 16, [
      [18, u64(0)],
      [24, u64(1)],
      [PATH, "x"],
      [20, uuid(1)],
      [21, u64(7)],
      [22, from],
      [23, u64(0)],
    ]);
  test.each([
    ["..", mkfile("..")],
    ["a name of dots on the way", mkfile("a/../../b")],
    [".", mkfile("./a")],
    ["absolute", mkfile("/etc/passwd")],
    ["NUL", mkfile("a\0b")],
    ["an empty name", mkfile("a//b")],
    ["a slash at the end", mkfile("a/")],
    ["a long name", mkfile(long)],
    ["a long path", mkfile(endless)],
    ["the subvolume itself", mkfile("")],
    ["a rename out", rename("a", "../a")],
    ["a rename onto the subvolume", rename("a", "")],
    ["a link from outside", link("a", "../../etc/shadow")],
    ["an absolute link", link("a", "/etc/shadow")],
    ["a clone from outside", clone("../../etc/shadow")],
    ["an absolute clone", clone("/etc/shadow")],
  ])("no target sees an unsafe path: %s", async (_, command) => {
    const target = new NotingTarget();
    const { outcome } = await run(stream(1, subvol("a"), mkfile("before"), command, mkfile("after"), END), target);
    expect(outcome).toMatchObject({ code: "path", where: { commandIndex: 2 } });
    expect(target.calls).toEqual(["subvol a", "MKFILE before", "abandon"]);
  });

  test.each(["", "..", ".", "a/b", "/a", "a\0"])("no subvolume has the name %j", async (name) => {
    const target = new NotingTarget();
    const { outcome } = await run(stream(1, subvol(name), END), target);
    expect(outcome).toMatchObject({ code: "path" });
    expect(target.calls).toEqual([]);
  });

  test("an unsafe path costs one command where failures are tolerated", async () => {
    const target = new NotingTarget();
    await run(stream(1, subvol("a"), mkfile("../x"), mkfile("y"), END), target, { maxErrors: 0 });
    expect(target.calls).toEqual(["subvol a", "MKFILE y", "abandon"]);
  });
});
