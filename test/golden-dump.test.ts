import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type DumpOptions, dumpStream } from "../src/receive/index.ts";
import { commandOf, END, stream, time, u32, u64 } from "./support/raw-stream.ts";

// What `btrfs receive --dump` of btrfs-progs 6.2 said of the kernel's streams, and of some that no kernel would write.
// `test/kernel/dump.test.ts` compares with the peer itself, where it is installed.

const STREAMS = join(import.meta.dirname, "fixtures/streams");
const NAMES = readdirSync(STREAMS)
  .filter((name) => name.endsWith(".dump"))
  .map((name) => name.slice(0, -".dump".length));

async function dump(input: Uint8Array, options: DumpOptions = {}) {
  const text: Buffer[] = [];
  const errors: string[] = [];
  const reason = await dumpStream(input, async (bytes) => void text.push(Buffer.from(bytes)), {
    onError: (sentence) => errors.push(Buffer.from(sentence).toString("latin1")),
    ...options,
  });
  return { text: Buffer.concat(text).toString("latin1"), errors, reason };
}

const UUID = Uint8Array.from({ length: 16 }, (_, i) => i * 17);
const SUBVOL = commandOf(1, 1, [
  [15, "s"],
  [1, UUID],
  [2, u64(42)],
]);
const SUBVOL_LINE = `subvol          ./s                             uuid=00112233-4455-6677-8899-aabbccddeeff transid=42\n`;
const unlink = (path: string) => commandOf(1, 11, [[15, path]]);

test("there are golden dumps", () => {
  expect(NAMES.length).toBeGreaterThan(8);
});

test.each(NAMES)("the dump of %s is the one of btrfs-progs", async (name) => {
  const golden = readFileSync(join(STREAMS, `${name}.dump`)).toString("latin1");
  const input = readFileSync(join(STREAMS, `${name}.stream`));
  expect(await dump(input)).toEqual({ text: golden, errors: [], reason: undefined });
});

test("odd bytes of paths are escaped, those of xattrs and clone sources are not", async () => {
  const odd = Uint8Array.of(7, 10, 27, 32, 92, 1, 127, 195, 188, 65);
  const commands = [
    commandOf(1, 8, [
      [15, odd],
      [3, u64(1)],
      [17, odd],
    ]),
    commandOf(1, 13, [
      [15, "x"],
      [13, odd],
      [14, odd],
    ]),
  ];
  const shown = "\\a\\n\\e\\ \\\\\\001\\177\\303\\274A";
  const raw = Buffer.from(odd).toString("latin1");
  expect((await dump(stream(1, SUBVOL, ...commands, END))).text).toBe(
    `${SUBVOL_LINE}symlink         ${`./s/${shown}`.padEnd(32)}dest=${shown}\n` +
      `set_xattr       ./s/x                           name=${raw} data=${raw} len=10\n`,
  );
});

test("numbers of all sizes are shown as btrfs-progs shows them", async () => {
  const all = u64(2n ** 64n - 1n);
  const commands = [
    commandOf(1, 5, [
      [15, "p"],
      [3, u64(1)],
      [5, u64(0o60644)],
      [8, u64(0x12345)],
    ]),
    commandOf(1, 23, [
      [15, "p"],
      [25, u32(-1)],
      [18, u64(4_294_967_296)],
      [4, all],
    ]),
    commandOf(1, 16, [
      [15, "p"],
      [18, u64(1)],
      [24, u64(2 ** 31)],
      [20, UUID],
      [21, all],
      [22, "c"],
      [23, u64(10 ** 15)],
    ]),
    commandOf(1, 24, [
      [15, "p"],
      [26, u64(255)],
    ]),
  ];
  expect((await dump(stream(1, SUBVOL, ...commands, END))).text.split("\n").slice(1, 5)).toEqual([
    "mknod           ./s/p                           mode=60644 dev=0x12345",
    "fallocate       ./s/p                           mode=-1 offset=4294967296 len=18446744073709551615",
    "clone           ./s/p                           offset=1 len=18446744071562067968 from=./s/c clone_offset=1000000000000000",
    "fileattr        ./s/p                           fileattr=0x255",
  ]);
});

test("times come in the zone that is given, and a time beyond the C library's years is an error", async () => {
  const utimes = (seconds: bigint | number) =>
    commandOf(1, 20, [
      [15, "p"],
      [11, time(seconds)],
      [10, time(-1)],
      [9, time(0)],
    ]);
  const zone = () => ({ from: -Infinity, until: Infinity, offset: -12_600 });
  const { text, errors, reason } = await dump(stream(1, utimes(1_600_000_000), utimes(2n ** 62n), END), { zone });
  expect(text).toBe(
    "utimes          ./p                             atime=2020-09-13T08:56:40-0330 mtime=1969-12-31T20:29:59-0330 ctime=1969-12-31T20:30:00-0330\n",
  );
  expect(errors).toEqual(["failed to convert time 4611686018427387904.000000000 to local time"]);
  expect(reason).toBe("Invalid argument");
});

test("a bad command ends the dump, or with more errors allowed is left out", async () => {
  const bad = unlink("bad");
  bad[6]! ^= 1;
  const input = stream(1, SUBVOL, unlink("a"), bad, unlink("b"), commandOf(1, 17, [[15, "c"]]), unlink("d"), END);
  const line = (path: string) => `unlink          ./s/${path}\n`;
  expect(await dump(input)).toEqual({
    text: SUBVOL_LINE + line("a"),
    errors: ["crc32 mismatch in command"],
    reason: "Invalid argument",
  });
  expect(await dump(input, { maxErrors: 0 })).toEqual({
    text: SUBVOL_LINE + line("a") + line("b") + line("d"),
    errors: ["crc32 mismatch in command", "attribute 4 requested but not present"],
    reason: "No such file or directory",
  });
});

test("the longest paths that btrfs-progs takes are shown, one byte more is an error", async () => {
  const subvol = (length: number) =>
    commandOf(1, 1, [
      [15, "x".repeat(length)],
      [1, UUID],
      [2, u64(42)],
    ]);
  const rename = (to: string) =>
    commandOf(1, 9, [
      [15, "a"],
      [16, to],
    ]);
  expect((await dump(stream(1, subvol(4092), END))).reason).toBeUndefined();
  expect((await dump(stream(1, subvol(4093), END))).reason).toBe("File name too long");
  for (const commandWith of [unlink, rename]) {
    expect((await dump(stream(1, SUBVOL, commandWith("x".repeat(4090)), END))).reason).toBeUndefined();
    expect((await dump(stream(1, SUBVOL, commandWith("x".repeat(4091)), END))).reason).toBe("File name too long");
  }
});

test("a stream that is cut short ends at once, however many errors are allowed", async () => {
  const whole = stream(1, SUBVOL, unlink("a"), END);
  for (let length = 0; length < whole.byteLength; length++) {
    const { reason, errors } = await dump(whole.subarray(0, length), { maxErrors: 0 });
    expect(reason).toBeDefined();
    expect(errors.length).toBe(length === 0 ? 0 : 1);
  }
});

test("the dump stops at END unless all segments are asked for", async () => {
  const two = Buffer.concat([stream(1, unlink("a"), END), stream(2, unlink("b"), END)]);
  expect((await dump(two)).text).toBe("unlink          ./a\n");
  expect((await dump(two, { allSegments: true })).text).toBe("unlink          ./a\nunlink          ./b\n");
  const junk = Buffer.concat([stream(1, unlink("a"), END), Buffer.from("something else altogether")]);
  expect(await dump(junk)).toMatchObject({ errors: [], reason: undefined });
  expect(await dump(junk, { allSegments: true })).toMatchObject({
    errors: ["unexpected header"],
    reason: "Invalid argument",
  });
});

test.each([
  ["an empty file", new Uint8Array(0), [], "No data available"],
  ["a text file", Buffer.from("What a fine day for a dump of a text file."), ["unexpected header"], "Invalid argument"],
  ["a header alone", stream(1), ["unexpected EOF in stream"], "Invalid argument"],
  ["half a header", stream(1).subarray(0, 9), ["short read from stream: expected 17 read 9"], "Input/output error"],
  ["version 9", stream(9), ["stream version 9 not supported, please use newer version"], "Invalid argument"],
])("%s is refused in the words of btrfs-progs", async (_, input, errors, reason) => {
  expect(await dump(input)).toEqual({ text: "", errors, reason });
});
