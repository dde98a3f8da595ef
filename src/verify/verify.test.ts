import { expect, test } from "vitest";
import { type Attribute, commandOf, END, stream, u64 } from "../../test/support/raw-stream.ts";
import { streamBytes, streamFixtures } from "../../test/support.ts";
import { concatBytes, toBytes } from "../bytes/bytes.ts";
import { displayName } from "../bytes/display.ts";
import type { StreamItem } from "../stream/commands.ts";
import { readStream } from "../stream/reader.ts";
import { StreamWriter } from "../stream/writer.ts";
import type { StreamFault, VerifyReport } from "./report.ts";
import { verifyStreams } from "./verify.ts";

/** The stream written again, with `edit` between: what it returns is written instead of the item. */
async function edited(
  name: string,
  edit: (item: StreamItem, index: number) => readonly StreamItem[],
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const writer = new StreamWriter({ write: (chunk) => void chunks.push(chunk.slice()) }, { version: 1 });
  let index = 0;
  for await (const item of readStream(streamBytes(name))) {
    for (const one of edit(item, index)) writer.write(one);
    index++;
    await writer.drain();
  }
  await writer.flush();
  return concatBytes(chunks);
}

async function verify(...streams: Uint8Array[]): Promise<VerifyReport> {
  return verifyStreams(streams);
}

function lostOf({ lost }: StreamFault): string[] {
  return lost.map(({ path, from, to }) => `${displayName(path)} ${from ?? "?"}-${to ?? "?"}`);
}

const SUBVOL: readonly Attribute[] = [
  [15, "s"],
  [1, new Uint8Array(16).fill(1)],
  [2, u64(7)],
];

/** The commands of a stream with their offsets and lengths. */
async function commandsOf(bytes: Uint8Array) {
  const commands: { name: string; path: string; offset: number; start: bigint; end: bigint }[] = [];
  let offset = 0;
  for await (const item of readStream(bytes)) {
    const size =
      item.name === "segment" ? 17 : 10 + new DataView(bytes.buffer, bytes.byteOffset + offset).getUint32(0, true);
    const path = "path" in item ? displayName(item.path) : "";
    const start = "fileOffset" in item ? item.fileOffset : 0n;
    const length =
      item.name === "write" ? BigInt(item.data.byteLength) : item.name === "encodedWrite" ? item.unencodedFileLen : 0n;
    commands.push({ name: item.name, path, offset, start, end: start + length });
    offset += size;
  }
  return commands;
}

test.each(streamFixtures())(
  "$name, as the kernel made it, is sound",
  async ({ name, snapshots, compressed = false }) => {
    const report = await verify(streamBytes(name));
    expect(report.faults).toEqual([]);
    expect(report.sound).toBe(true);
    expect(report.bytes).toBe(streamBytes(name).byteLength);
    expect(report.subvolumes.map(({ path }) => displayName(path))).toEqual(snapshots);
    expect(Object.keys(report.byAlgorithm).length > 0).toBe(compressed && report.byCommand.encodedWrite !== undefined);
  },
);

test("streams given in order are a chain, and a link that is missing or late is a fault", async () => {
  const [full, increment] = [streamBytes("small-v2"), streamBytes("small-increment-v2")];
  expect((await verify(full, increment)).sound).toBe(true);
  expect((await verify(increment)).subvolumes[0]!.needs).toHaveLength(1);
  expect((await verify(increment)).sound).toBe(true);

  const late = await verify(increment, full);
  expect(late.faults.map(({ message }) => message).join()).toContain("comes later, in stream 2");
  const other = await verify(streamBytes("full-v2"), full, streamBytes("zlib"), increment);
  expect(other.sound).toBe(true);
  const missing = await verify(streamBytes("full-v2"), increment);
  expect(missing.faults.map(({ code, message }) => [code, message.replace(/ [0-9a-f-]{36} /, " … ")])).toEqual([
    ["missing", "Cannot follow the chain: parent … is in none of the streams"],
  ]);
  const swapped = await verify(streamBytes("full-v2"), increment, full);
  expect(swapped.faults[0]!.message).toContain("comes later, in stream 3");
});

test("a subvolume that comes twice is a fault: the second can't be received beside the first", async () => {
  const full = streamBytes("small-v2");
  const { sound, faults } = await verify(full, streamBytes("small-increment-v2"), full);
  expect(sound).toBe(false);
  expect(faults.map(({ code, stream }) => [code, stream])).toEqual([["exists", 2]]);
  expect(faults[0]!.message).toContain("came before, in stream 1");
});

test("damaged data in the middle of a file is found, and the very range is named", async () => {
  const bytes = streamBytes("zlib").slice();
  const commands = await commandsOf(bytes);
  const writes = commands.filter(({ name }) => name === "encodedWrite");
  const victim = writes.find(
    (write, index) => index > 0 && writes[index - 1]!.path === write.path && writes[index + 1]?.path === write.path,
  )!;
  bytes[victim.offset + 200]! ^= 0x10;
  const report = await verify(bytes);
  expect(report.sound).toBe(false);
  expect(report.faults).toHaveLength(1);
  const [fault] = report.faults;
  expect(fault).toMatchObject({ code: "checksum", command: "ENCODED_WRITE", streamOffset: victim.offset });
  expect(lostOf(fault!)).toEqual([`${victim.path} ${victim.start}-${victim.end}`]);
  expect(report.commands).toBe(commands.length - 2);
});

test("data that does not decode is a fault though its checksum is right, and names its range", async () => {
  let place = "";
  const stream = await edited("zstd", (item) => {
    if (item.name !== "encodedWrite" || place !== "") return [item];
    place = `${displayName(item.path)} ${item.fileOffset}-${item.fileOffset + item.unencodedFileLen}`;
    const data = item.data.slice();
    data.fill(0xff, 0, 40);
    return [{ ...item, data }];
  });
  const report = await verify(stream);
  expect(report.faults.map(({ code, command }) => [code, command])).toEqual([["corrupt", "ENCODED_WRITE"]]);
  expect(lostOf(report.faults[0]!)).toEqual([place]);
});

test("an encoded write whose numbers can't be is a fault", async () => {
  const wrong = [
    { encryption: 1 },
    { compression: 9 },
    { unencodedLen: 131073n },
    { unencodedLen: 2n ** 64n - 1n },
    { unencodedOffset: 131072n },
  ];
  for (const change of wrong) {
    let done = false;
    const stream = await edited("zstd", (item) => {
      if (item.name !== "encodedWrite" || done) return [item];
      done = true;
      return [{ ...item, ...change }];
    });
    const report = await verify(stream);
    expect(report.faults.map(({ code }) => code)).toEqual(["corrupt"]);
  }
});

test("a stream that ends early is damaged wherever it ends, and what may be lost is named", async () => {
  const bytes = streamBytes("small-v2");
  for (let length = 0; length < bytes.byteLength; length += 11) {
    const report = await verify(bytes.subarray(0, length));
    expect(report.sound).toBe(false);
    expect(report.faults.at(-1)!.code).toBe("truncated");
  }
  const commands = await commandsOf(bytes);
  const write = commands.find(({ name }) => name === "encodedWrite")!;
  const cut = await verify(bytes.subarray(0, write.offset + 100));
  expect(lostOf(cut.faults[0]!)).toEqual([`${write.path} 0-?`]);
});

test("a flipped bit of a stream is found", async () => {
  const bytes = streamBytes("small-v2").slice(0, 3000);
  const sound = (await verify(streamBytes("small-v2"))).commands;
  const rest = streamBytes("small-v2").slice(3000);
  for (let bit = 0; bit < bytes.byteLength * 8; bit += 41) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    const report = await verify(concatBytes([bytes, rest]));
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    // The version in the header has no checksum, and 0 to 3 are versions: 2 that became 3 or 0 is not seen.
    const inVersion = bit >> 3 >= 13 && bit >> 3 < 17;
    if (!inVersion) expect(report.sound, `bit ${bit}`).toBe(false);
    expect(report.commands).toBeGreaterThanOrEqual(inVersion ? 0 : sound - 2);
  }
});

test("commands that make no sense where they stand are faults", async () => {
  const cases: [RegExp, (item: StreamItem) => readonly StreamItem[]][] = [
    [/MKFILE.*exists already/, (item) => (item.name === "mkfile" ? [item, item] : [item])],
    [/RENAME.*does not exist/, (item) => (item.name === "rename" ? [item, item] : [item])],
    [/END.*holds none/, (item) => (item.name === "segment" || item.name === "end" ? [item] : [])],
    [/no SUBVOL or SNAPSHOT/, (item) => (item.name === "subvol" ? [] : [item])],
    [/found the end of the input, expected END/, (item) => (item.name === "end" ? [] : [item])],
    [
      /RMDIR.*(root|not exist)/,
      (item) => (item.name === "end" ? [{ name: "rmdir", path: toBytes("") }, item] : [item]),
    ],
  ];
  for (const [expected, edit] of cases) {
    const report = await verify(await edited("full-v2", edit));
    expect(report.faults.map(({ message }) => message).join("\n")).toMatch(expected);
    expect(report.sound).toBe(false);
  }
});

test("paths that leave the subvolume, and names that no filesystem holds, are faults", async () => {
  const unsafe = [
    "../evil",
    "/etc/passwd",
    "a//b",
    "a/./b",
    "a/..",
    "a/",
    `${"n".repeat(256)}`,
    "nul\0",
    "d/..".repeat(1),
  ];
  for (const path of unsafe) {
    for (const bad of [
      { name: "mkfile", path: toBytes(path), ino: 1n },
      { name: "rename", path: toBytes("x"), pathTo: toBytes(path) },
      { name: "link", path: toBytes("x"), pathLink: toBytes(path) },
    ] as const satisfies readonly StreamItem[]) {
      const stream = await edited("small-v1", (item) => (item.name === "end" ? [bad, item] : [item]));
      const report = await verify(stream);
      expect(
        report.faults.map(({ code }) => code),
        `${bad.name} ${path}`,
      ).toEqual(["path"]);
    }
  }
});

test("names of extended attributes that no filesystem holds are faults", async () => {
  for (const name of ["", "user.a\0b", `user.${"n".repeat(251)}`]) {
    for (const number of [13, 14]) {
      const attributes = [[15, ""] as const, [13, name] as const, ...(number === 13 ? [[14, "value"] as const] : [])];
      const report = await verifyStreams([stream(1, commandOf(1, 1, SUBVOL), commandOf(1, number, attributes), END)]);
      expect(report.faults.map(({ code, attribute }) => [code, attribute])).toEqual([["path", "XATTR_NAME"]]);
    }
  }
});

test("a clone from the subvolume itself names a file that is there, and one that was lost counts as a command", async () => {
  const mkfile = commandOf(1, 3, [
    [15, "f"],
    [3, u64(257)],
  ]);
  const clone = (source: string, uuid: Uint8Array) =>
    commandOf(1, 16, [
      [18, u64(0)],
      [24, u64(4096)],
      [15, "f"],
      [20, uuid],
      [21, u64(1)],
      [22, source],
      [23, u64(0)],
    ]);
  const own = SUBVOL.find(([number]) => number === 1)![1] as Uint8Array;
  const lost = mkfile.map((byte, at) => (at === 8 ? byte ^ 1 : byte));
  const noMode = commandOf(1, 18, [[15, "f"]]);
  const begin = [commandOf(1, 1, SUBVOL), mkfile];
  expect((await verifyStreams([stream(1, ...begin, clone("f", own), END)])).faults).toEqual([]);
  const { faults } = await verifyStreams([stream(1, ...begin, clone("g", own), lost, noMode, END)]);
  expect(faults.map(({ code, commandIndex }) => [code, commandIndex])).toEqual([
    ["missing", 2],
    ["checksum", 3],
    ["corrupt", 4],
  ]);
});

test("what is no stream at all is damaged, not an exception", async () => {
  for (const bytes of [
    new Uint8Array(0),
    toBytes("hello, this is a text file\n".repeat(100)),
    new Uint8Array(100_000),
  ]) {
    const report = await verify(bytes);
    expect(report.sound).toBe(false);
    expect(report.commands).toBe(0);
  }
});

test("faults are counted and told one by one, but the list of them stays small, however long their names are", async () => {
  const unsafe = commandOf(1, 15, [
    [15, `../${"x".repeat(4000)}`],
    [18, u64(0)],
    [19, "data"],
  ]);
  const input = stream(1, commandOf(1, 1, SUBVOL), ...Array.from({ length: 3000 }, () => unsafe), END);
  let told = 0;
  const report = await verifyStreams([input], { onFault: () => told++ });
  expect(told).toBe(3000);
  expect(report.faults.length + report.faultsOmitted).toBe(3000);
  expect(report.faults.length).toBeGreaterThan(100);
  expect(report.faults.length * 8000).toBeLessThan(16 * 1024 * 1024);
});

test("verifying waits for whoever is told of faults, and ends with their error", async () => {
  const unsafe = commandOf(1, 11, [[15, ".."]]);
  const input = stream(1, commandOf(1, 1, SUBVOL), ...Array.from({ length: 20_000 }, () => unsafe), END);
  let underWay = 0;
  let most = 0;
  const onFault = async () => {
    most = Math.max(most, ++underWay);
    await new Promise((resolve) => setImmediate(resolve));
    underWay--;
  };
  await verifyStreams([input], { onFault });
  expect(most).toBeLessThanOrEqual(4096);
  const refused = verifyStreams([input], { onFault: () => Promise.reject(new Error("full")) });
  await expect(refused).rejects.toThrow("full");
});

test("the name of a subvolume is no file that may be lost, and nothing is of one that came before", async () => {
  const write = commandOf(1, 15, [
    [15, "f"],
    [18, u64(0)],
    [19, "data"],
  ]);
  const mkfile = commandOf(1, 3, [
    [15, "f"],
    [3, u64(257)],
  ]);
  const chmod = commandOf(1, 18, [
    [15, "f"],
    [5, u64(0o644)],
  ]);
  const root = commandOf(1, 18, [
    [15, ""],
    [5, u64(0o755)],
  ]);
  const damaged = (command: Uint8Array) => command.map((byte, at) => (at === 8 ? byte ^ 1 : byte));
  const second = commandOf(1, 1, [
    [15, "t"],
    [1, new Uint8Array(16).fill(8)],
    [2, u64(1)],
  ]);
  const begin = [commandOf(1, 1, SUBVOL), mkfile, write, second];
  const report = await verifyStreams([stream(1, ...begin, damaged(root), root, END)]);
  expect(report.faults.map(lostOf)).toEqual([[]]);
  const later = await verifyStreams([stream(1, ...begin, mkfile, chmod, damaged(write), chmod, END)]);
  expect(later.faults.map(lostOf)).toEqual([["f 0-?"]]);
});

test("verifying waits for who is told what the last encoded writes were found to be", async () => {
  const input = await edited("zstd", (item) =>
    item.name === "encodedWrite" ? [{ ...item, data: new Uint8Array(item.data.byteLength) }] : [item],
  );
  let told = 0;
  const onFault = async () => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    told++;
  };
  const { faults } = await verifyStreams([input], { onFault });
  expect(faults.length).toBeGreaterThan(0);
  expect(told).toBe(faults.length);
});

test("names that may be lost count for the length of the list as well", async () => {
  const commands: Uint8Array[] = [];
  for (let i = 0; i < 3000; i++) {
    const chmod = commandOf(1, 18, [
      [15, `${i}${`/${"x".repeat(250)}`.repeat(15)}`],
      [5, u64(1)],
    ]);
    commands.push(chmod, chmod.slice());
    commands.at(-1)![8]! ^= 1;
  }
  const { faults } = await verifyStreams([stream(1, commandOf(1, 1, SUBVOL), ...commands, END)]);
  const bytes = faults.reduce((sum, { lost }) => sum + lost.reduce((all, { path }) => all + path.byteLength, 0), 0);
  expect(faults.length).toBeGreaterThan(100);
  // Counted four times, for what they become in JSON.
  expect(bytes * 4).toBeLessThan(16 * 1024 * 1024);
});

test("of faults that follow each other each is reported, and what is lost is said once", async () => {
  const write = (path: string, at: number) =>
    commandOf(1, 15, [
      [15, path],
      [18, u64(at)],
      [19, "data"],
    ]);
  const file = commandOf(1, 3, [
    [15, "a"],
    [3, u64(257)],
  ]);
  const unknown = commandOf(1, 99, []);
  const input = stream(1, commandOf(1, 1, SUBVOL), file, write("a", 0), unknown, unknown, unknown, write("a", 8), END);
  const { faults } = await verifyStreams([input]);
  expect(faults.map(({ code }) => code)).toEqual(["unsupported", "unsupported", "unsupported"]);
  expect(faults.flatMap(lostOf)).toEqual(["a 4-8"]);
});

test("version 1 in a header that says 2 is a fault: all data would be written two bytes late", async () => {
  for (const name of ["full-v1", "increment-v1"]) {
    const bytes = streamBytes(name).slice();
    bytes[13] = 2;
    const { faults } = await verify(bytes);
    expect(faults.map(({ code, streamOffset }) => [code, streamOffset])).toEqual([["corrupt", 0]]);
    expect(faults[0]!.message).toContain("as in version 1");
  }
});

test("version 2 in a header that says 1 is one fault, and what follows is checked as version 2", async () => {
  for (const name of ["full-v2", "increment-v2", "zstd"]) {
    const bytes = streamBytes(name).slice();
    bytes[13] = 1;
    const { faults, segments, byAlgorithm } = await verify(bytes);
    expect(faults.map(({ code, attribute }) => [code, attribute])).toEqual([["corrupt", "DATA"]]);
    expect(faults[0]!.message).toContain("as in version 2, the header says version 1");
    expect(faults[0]!.lost).toEqual([]);
    expect(segments[0]!.version).toBe(2);
    expect(byAlgorithm).toEqual((await verify(streamBytes(name))).byAlgorithm);
  }
});

test("one write of version 2 may begin with its own length by chance", async () => {
  const write = (data: Uint8Array) =>
    commandOf(2, 15, [
      [15, "a"],
      [18, u64(0)],
      [19, data],
    ]);
  const file = commandOf(2, 3, [
    [15, "a"],
    [3, u64(257)],
  ]);
  const start = [commandOf(2, 1, SUBVOL), file, write(Uint8Array.of(2, 0, 9, 9))];
  expect((await verify(stream(2, ...start, END))).sound).toBe(false);
  expect((await verify(stream(2, ...start, write(Uint8Array.of(9, 9)), END))).sound).toBe(true);
  const time = [9, 10, 11, 12].map((number) => [number, new Uint8Array(12)] as const);
  expect((await verify(stream(2, ...start, commandOf(2, 20, [[15, "a"], ...time]), END))).sound).toBe(true);
});

test("where more than one command may be missing, the report says that not all that is lost has a name", async () => {
  const bytes = new Uint8Array(streamBytes("full-v1"));
  const commands = await commandsOf(bytes);
  const at = commands.findIndex(({ name, end, start }) => name === "write" && end - start > 100n);
  const one = bytes.slice();
  one[commands[at]!.offset + 80]! ^= 1;
  const several = bytes.slice();
  several.fill(0, commands[at - 4]!.offset, commands[at + 1]!.offset);
  const cut = bytes.subarray(0, commands[at]!.offset);
  expect((await verify(one)).faults.map(({ lostUnnamed }) => lostUnnamed)).toEqual([false]);
  expect((await verify(several)).faults.map(({ lostUnnamed }) => lostUnnamed)).toEqual([true]);
  expect((await verify(cut)).faults.map(({ lostUnnamed }) => lostUnnamed)).toEqual([true]);
});
