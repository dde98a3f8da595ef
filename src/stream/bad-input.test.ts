import { beforeAll, describe, expect, test } from "vitest";
import { crc32cRaw } from "#checksum";
import { streamBytes } from "../../test/support.ts";
import { concatBytes, toBytes, viewOf } from "../bytes/bytes.ts";
import { BtrfsError, StreamError } from "../errors.ts";
import { ATTRIBUTES } from "./attributes.ts";
import { attributesOf, COMMANDS, type Command, type CommandName, type StreamItem } from "./commands.ts";
import { commandCrc } from "./crc.ts";
import { readBatches, readStream, type StreamOptions } from "./reader.ts";
import type { StreamFault } from "./recover.ts";
import { StreamWriter } from "./writer.ts";

const VALUES = {
  u8: 1,
  u32: 2,
  u64: 3n,
  uuid: new Uint8Array(16).fill(4),
  timespec: { seconds: 5n, nanoseconds: 6 },
  string: toBytes("dir/name"),
  data: toBytes("some data"),
};

/** One of every command that the version has. */
function oneOfEach(version: 1 | 2 | 3): StreamItem[] {
  const commands = (Object.keys(COMMANDS) as CommandName[])
    .filter((name) => COMMANDS[name].since <= version && name !== "end")
    .map((name) => {
      const fields = attributesOf(name).filter(({ field }) => ATTRIBUTES[field].since <= version);
      return {
        name,
        ...Object.fromEntries(fields.map(({ field }) => [field, VALUES[ATTRIBUTES[field].type]])),
      } as Command;
    });
  return [{ name: "segment", version }, ...commands, { name: "end" }];
}

async function bytesOf(items: readonly StreamItem[]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 1 });
  for (const item of items) writer.write(item);
  await writer.flush();
  return concatBytes(chunks);
}

/** How reading went: what came out, and what it ended with. */
async function outcome(input: Parameters<typeof readStream>[0], options: StreamOptions = {}) {
  const items: StreamItem[] = [];
  try {
    for await (const item of readStream(input, options)) items.push(item);
  } catch (error) {
    return { items, error };
  }
  return { items, error: undefined };
}

async function recovered(bytes: Uint8Array) {
  const faults: StreamFault[] = [];
  const { items, error } = await outcome(bytes, { recover: (fault) => faults.push(fault) });
  expect(error).toBeUndefined();
  return { items, faults };
}

/** Where sound commands began, and what reading ended with. Their checksums vouch for the rest; decoding all would be slow. */
async function outline(input: Uint8Array | Uint8Array[], options: StreamOptions = {}) {
  const starts: number[] = [];
  try {
    for await (const batch of readBatches(input, options)) {
      for (let i = 0; i < batch.count; i++) starts.push(batch.streamOffset(i));
    }
  } catch (error) {
    return { starts, error };
  }
  return { starts, error: undefined };
}

/** Cheaper than `toEqual`, which is asked only where it will fail. */
function expectSame(a: readonly unknown[], b: readonly unknown[]): void {
  if (a.length !== b.length || a.some((value, i) => value !== b[i])) expect(a).toEqual(b);
}

function text(items: readonly StreamItem[]): string {
  return JSON.stringify(items, (_, value) =>
    typeof value === "bigint" ? `${value}n` : value instanceof Uint8Array ? [...value] : value,
  );
}

/** Makes `bytes` wrong at `at`, with a checksum that is right for the command which begins at `command`. */
function resealed(bytes: Uint8Array, command: number, at: number, value: number): Uint8Array {
  const changed = bytes.slice();
  changed[at] = value;
  const view = viewOf(changed);
  view.setUint32(command + 6, commandCrc(changed, command, view.getUint32(command, true)), true);
  return changed;
}

// Version 2 is framed as 3, and has fewer commands.
describe.each([1, 3] as const)("version %d", (version) => {
  const items = oneOfEach(version);
  let bytes: Uint8Array;
  let whole: number[];
  beforeAll(async () => {
    bytes = await bytesOf(items);
    whole = (await outline(bytes)).starts;
    expect(whole).toHaveLength(items.length - 1);
  });

  test("a stream cut at any byte is truncated, after all commands that are whole", async () => {
    for (let length = 0; length < bytes.byteLength; length++) {
      const cut = bytes.subarray(0, length);
      for (const input of [cut, [cut.subarray(0, length >> 1), cut.subarray(length >> 1)]]) {
        const { starts, error } = await outline(input);
        if (!(error instanceof StreamError)) expect(error).toBeInstanceOf(StreamError);
        const { code, where } = error as StreamError;
        const next = whole.findIndex((start) => start >= length);
        const left = next < 0 ? whole.length - 1 : Math.max(next - 1, 0);
        expectSame([code, (whole[left + 1] ?? 0) === length], ["truncated", starts.length === left + 1]);
        if (where.streamOffset! > length) expect(where.streamOffset).toBeLessThanOrEqual(length);
        expectSame(starts, whole.slice(0, starts.length));
      }
    }
  });

  // The version has no checksum: a flipped bit makes 0 of 1, which means the same, and 3 of 2.
  test("any flipped bit is a located error, or changes nothing", async () => {
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      const at = bit >> 3;
      const flipped = bytes.with(at, bytes[at]! ^ (1 << (bit & 7)));
      const { starts, error } = await outline(flipped);
      if (error === undefined) {
        expect(at).toBe(13);
        expect(text((await outcome(flipped)).items.slice(1))).toBe(text(items.slice(1)));
        continue;
      }
      if (!(error instanceof StreamError)) expect(error).toBeInstanceOf(StreamError);
      const offset = (error as StreamError).where.streamOffset!;
      if (at !== 13 && !(offset <= at)) expect(offset).toBeLessThanOrEqual(at);
      expectSame(starts, whole.slice(0, starts.length));
    }
  });

  test("with recovery, a flipped bit in a command loses that command, and the fault names its bytes", async () => {
    const ends = [...whole.slice(1), bytes.byteLength];
    for (let bit = 17 * 8; bit < bytes.byteLength * 8; bit++) {
      const at = bit >> 3;
      const faults: StreamFault[] = [];
      const flipped = bytes.with(at, bytes[at]! ^ (1 << (bit & 7)));
      const { starts, error } = await outline(flipped, { recover: (fault) => faults.push(fault) });
      const lost = ends.findIndex((end) => end > at);
      // A changed length may point right behind a later command; what is left out is named all the same.
      const last = ends.indexOf(faults[0]!.end);
      expectSame([error, faults.length, faults[0]!.start], [undefined, 1, whole[lost]]);
      if (at >= whole[lost]! + 4) expectSame([last], [lost]);
      expectSame(starts, [...whole.slice(0, lost), ...whole.slice(last + 1)]);
    }
  });
});

test("any flipped bit in a header of version 2 is an error, or changes nothing", async () => {
  const bytes = await bytesOf(oneOfEach(2));
  for (let bit = 0; bit < 17 * 8; bit++) {
    const { items, error } = await outcome(bytes.with(bit >> 3, bytes[bit >> 3]! ^ (1 << (bit & 7))));
    if (error === undefined) expect(text(items.slice(1))).toBe(text(oneOfEach(2).slice(1)));
    else expect(error).toBeInstanceOf(StreamError);
  }
});

describe("what does not belong there", () => {
  let bytes: Uint8Array;
  beforeAll(async () => {
    const path = toBytes("f");
    const data = new Uint8Array(100);
    bytes = await bytesOf([
      { name: "segment", version: 1 },
      { name: "write", path, fileOffset: 0n, data },
      { name: "end" },
    ]);
  });
  // Layout: header 0, command 17, PATH 27 (value 31), FILE_OFFSET 32 (value 36), DATA 44 (value 48), END 148.

  const cases: readonly [string, (bytes: Uint8Array) => Uint8Array, string, string][] = [
    ["nothing", () => new Uint8Array(0), "truncated", "the input is empty"],
    ["text", () => toBytes("Once upon a time there was a filesystem"), "corrupt", "there is no stream header"],
    ["less than a header", (b) => b.slice(0, 16), "truncated", "16 bytes, the format says 17"],
    ["version 4", (b) => b.with(13, 4), "unsupported", "version is 4, known are 1 to 3"],
    ["something behind END", (b) => concatBytes([b, toBytes("x")]), "corrupt", "there is no stream header after END"],
    [
      "a second stream cut short",
      (b) => concatBytes([b, b.subarray(0, 20)]),
      "truncated",
      "the input ends after 3 of 10",
    ],
    [
      "a stream without END before another",
      (b) => concatBytes([b.subarray(0, 148), b]),
      "truncated",
      "found another stream header, expected END first",
    ],
    [
      "a length of 2^32 - 1",
      (b) => b.with(17, 255).with(18, 255).with(19, 255).with(20, 255),
      "limit",
      "its payload has 4294967295 bytes",
    ],
    ["a length of 0", (b) => b.with(17, 0), "checksum", "checksum is"],
    ["a length beyond the end", (b) => b.with(19, 1), "truncated", "the input ends after 141 of"],
    ["an unknown command", (b) => resealed(b, 17, 21, 99), "unsupported", "its number is 99, known are 1 to 26"],
    ["command 0", (b) => resealed(b, 17, 21, 0), "unsupported", "its number is 0"],
    [
      "an unknown attribute",
      (b) => resealed(b, 17, 27, 99),
      "unsupported",
      "attribute has number 99, known are 1 to 35 (stream offset 17, command 0, WRITE, attribute attribute 99)",
    ],
    ["attribute 0", (b) => resealed(b, 17, 27, 0), "corrupt", "attribute has number 0"],
    [
      "a missing attribute",
      (b) => resealed(b, 17, 32, 23),
      "corrupt",
      "FILE_OFFSET is absent (stream offset 17, command 0, WRITE, attribute FILE_OFFSET)",
    ],
    [
      "a number of the wrong size",
      (b) => resealed(b, 17, 32, 25),
      "corrupt",
      "FALLOCATE_MODE has 8 bytes, its type has 4",
    ],
    [
      "an attribute that ends too late",
      (b) => resealed(b, 17, 46, 101),
      "corrupt",
      "attribute ends at byte 122 of the payload, which has 121",
    ],
    ["an attribute that ends too early", (b) => resealed(b, 17, 46, 98), "corrupt", "of the payload, which has 121"],
  ];

  test.each(cases)("%s", async (_, change, code, sentence) => {
    const { error } = await outcome(change(bytes));
    expect(error).toBeInstanceOf(StreamError);
    expect(error).toMatchObject({ code, message: expect.stringContaining(sentence) });
    expect((error as StreamError).where.streamOffset).toBeDefined();
  });

  test("what a caller allows passes, and is named", async () => {
    const withoutEnd = concatBytes([bytes.subarray(0, 148), bytes]);
    expect((await outcome(withoutEnd, { allowMissingEnd: true })).items).toHaveLength(5);
    expect((await outcome(bytes.subarray(0, 17), { allowMissingEnd: true })).items).toEqual([
      { name: "segment", version: 1 },
    ]);
    expect((await outcome(bytes.subarray(0, 20), { allowMissingEnd: true })).error).toMatchObject({
      code: "truncated",
    });
    const unknown = resealed(bytes, 17, 21, 99);
    expect((await outcome(unknown, { allowUnknownCommands: true })).items[1]).toMatchObject({
      name: "unknown",
      number: 99,
    });
    expect((await outcome(bytes.with(60, 1), { ignoreChecksums: true })).items).toHaveLength(3);
  });

  test("a length that is only claimed takes no memory", async () => {
    const claims = bytes.slice();
    viewOf(claims).setUint32(17, 60 * 1024 * 1024, true);
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const input = (async function* () {
      yield claims;
      for (let i = 0; i < 40; i++) {
        yield new Uint8Array(65536);
        most = Math.max(most, process.memoryUsage().arrayBuffers - before);
      }
    })();
    expect((await outcome(input)).error).toMatchObject({ code: "truncated" });
    expect(most).toBeLessThan(24 * 1024 * 1024);
  });

  test("a payload of thousands of empty attributes is refused", async () => {
    const attributes = Array.from({ length: 16000 }, () => ({ number: 15, value: new Uint8Array(0) }));
    const many = await bytesOf([
      { name: "segment", version: 1 },
      { name: "unknown", number: 11, attributes },
      { name: "end" },
    ]);
    expect((await outcome(many)).error).toMatchObject({ code: "limit" });
  });
});

describe("recovery", () => {
  test("a stream inside of a damaged file's data is not taken for the stream", async () => {
    const inner = streamBytes("empty-increment-v1");
    const bytes = await bytesOf([
      { name: "segment", version: 1 },
      { name: "write", path: toBytes("backup"), fileOffset: 0n, data: concatBytes([new Uint8Array(9), inner]) },
      { name: "unlink", path: toBytes("next") },
      { name: "end" },
    ]);
    const { items, faults } = await recovered(bytes.with(55, 1));
    expect(items.map(({ name }) => name)).toEqual(["segment", "unlink", "end"]);
    expect(faults).toHaveLength(1);
  });

  test("a lost stretch, a lost header and a lost END are each a fault, and the rest is read", async () => {
    const one = streamBytes("small-v1");
    const gap = concatBytes([one.subarray(0, 1000), one.subarray(2000)]);
    const { faults: gapFaults } = await recovered(gap);
    expect(gapFaults.length).toBe(1);

    const headerless = concatBytes([one, one.with(3, 0)]);
    const second = await recovered(headerless);
    expect(second.faults).toHaveLength(1);
    expect(second.items).toHaveLength((await outcome(one)).items.length * 2);

    const endless = concatBytes([one.subarray(0, -10), one]);
    const { faults, items } = await recovered(endless);
    expect(faults.map(({ error, start, end }) => [error.code, start, end])).toEqual([
      ["truncated", one.byteLength - 10, one.byteLength - 10],
    ]);
    expect(items).toHaveLength((await outcome(one)).items.length * 2 - 1);
  });

  test("a segment of an unknown version is passed over as a whole", async () => {
    const one = streamBytes("small-v1");
    const { items, faults } = await recovered(concatBytes([one.with(13, 9), one]));
    expect(faults.map(({ error, start, end }) => [error.code, start, end])).toEqual([
      ["unsupported", 0, one.byteLength],
    ]);
    expect(items).toHaveLength((await outcome(one)).items.length);
  });

  test("of a version that one flipped bit made 3 the data stay what they were", async () => {
    const one = streamBytes("small-v1");
    expect((await outcome(one.with(13, 3))).error).toMatchObject({ code: "corrupt" });
    const { items, faults } = await recovered(one.with(13, 3));
    expect(faults).toHaveLength(1);
    expect(text(items.slice(1))).toBe(text((await outcome(one)).items.slice(1)));
  });

  test("what `recover` throws stops reading", async () => {
    const stop = new Error("enough");
    const recover = () => {
      throw stop;
    };
    expect((await outcome(toBytes("no stream"), { recover })).error).toBe(stop);
  });

  // Each 20 bytes begin a command of almost 1 MiB whose checksum is wrong: all of them would be 400 GiB of checksums.
  test("a stream made to be searched in vain costs linear time", async () => {
    const bytes = new Uint8Array(8 * 1024 * 1024);
    const view = viewOf(bytes);
    for (let at = 17; at + 20 < bytes.byteLength; at += 20) {
      view.setUint32(at, 1024 * 1024 - 20, true);
      view.setUint16(at + 4, COMMANDS.unlink.number, true);
      view.setUint16(at + 10, ATTRIBUTES.path.number, true);
    }
    const { faults } = await recovered(bytes);
    expect(faults).toHaveLength(1);
  });

  // Damaged and sound by turns, the damaged ones claiming almost everything that follows.
  test("so does one where each search ends soon", async () => {
    const end = streamBytes("small-v1").subarray(-10);
    const header = streamBytes("small-v1").subarray(0, 17);
    const unlink = (
      await bytesOf([
        { name: "segment", version: 1 },
        { name: "unlink", path: toBytes("f") },
      ])
    ).subarray(17);
    const claim = unlink.slice();
    const pair = claim.byteLength * 2;
    const count = 10_000;
    const bytes = new Uint8Array(17 + pair * count + 10);
    bytes.set(header);
    const view = viewOf(bytes);
    for (let i = 0, at = 17; i < count; i++, at += pair) {
      bytes.set(claim, at);
      view.setUint32(at, bytes.byteLength - at - 30, true);
      bytes.set(unlink, at + claim.byteLength);
    }
    bytes.set(end, bytes.byteLength - 10);
    let faults = 0;
    let commands = 0;
    for await (const batch of readBatches(bytes, { recover: () => void faults++ })) commands += batch.count;
    expect([faults, commands]).toEqual([count, count + 1]);
  });

  test("nothing but a BtrfsError comes out of splices of two streams", async () => {
    const [a, b] = [streamBytes("small-v1"), streamBytes("small-v2")];
    for (let cut = 0; cut < 300; cut++) {
      const spliced = concatBytes([a.subarray(0, (cut * 977) % a.byteLength), b.subarray((cut * 571) % b.byteLength)]);
      const { error } = await outcome(spliced);
      if (error !== undefined) expect(error).toBeInstanceOf(BtrfsError);
      await recovered(spliced);
    }
  });
});

test("a stretch of zeros is one fault, though ten of them make a command with a right checksum", async () => {
  const whole = await bytesOf(oneOfEach(2));
  const { starts } = await outline(whole);
  const damaged = whole.slice().fill(0, starts[3], starts[7]);
  const { items, faults } = await recovered(damaged);
  expect(faults.map(({ start, end, isOneCommand }) => [start, end, isOneCommand])).toEqual([
    [starts[3], starts[7], false],
  ]);
  expect(items).toHaveLength(starts.length + 1 - 4);
  // It is not one of the commands that later versions may bring.
  expect((await outcome(damaged, { allowUnknownCommands: true })).error).toMatchObject({ code: "unsupported" });
});

test("checksums count every byte of the length, and limits the header", async () => {
  for (const byteCount of [10, 65_000, 65_535, 65_536, 70_000, 131_071, 131_072, 200_000]) {
    const data = new Uint8Array(byteCount).fill(7);
    const bytes = await bytesOf([
      { name: "segment", version: 2 },
      { name: "write", path: toBytes("a"), fileOffset: 0n, data },
      { name: "end" },
    ]);
    const at = 17;
    const length = viewOf(bytes).getUint32(at, true);
    const header = bytes.slice(at, at + 10).fill(0, 6);
    const crc = crc32cRaw(crc32cRaw(0, header), bytes.subarray(at + 10, at + 10 + length));
    expect(viewOf(bytes).getUint32(at + 6, true)).toBe(crc);
    expect((await outcome(bytes, { maxCommandBytes: 10 + length })).error).toBeUndefined();
    expect((await outcome(bytes, { maxCommandBytes: 9 + length })).error).toMatchObject({ code: "limit" });
  }
});
