import { expect, test } from "vitest";
import { commandOf, END, stream, time, u32, u64 } from "../../test/support/raw-stream.ts";
import { readBatches } from "../stream/reader.ts";
import { commandToJson } from "./json-lines.ts";

async function jsonOf(input: Uint8Array, withData = false): Promise<Record<string, unknown>[]> {
  const lines: Record<string, unknown>[] = [];
  const options = { allowUnknownCommands: true, allowUnknownAttributes: true };
  for await (const batch of readBatches(input, options)) {
    for (let i = 0; i < batch.count; i++) lines.push(JSON.parse(JSON.stringify(commandToJson(batch, i, withData))));
  }
  return lines;
}

const UUID = Uint8Array.from({ length: 16 }, (_, i) => i * 17);

test("numbers that can pass 2^53 are strings, and nothing is lost", async () => {
  const mode = (value: bigint | number) =>
    commandOf(1, 18, [
      [15, "p"],
      [5, u64(value)],
    ]);
  const write = commandOf(1, 15, [
    [15, "p"],
    [18, u64(2n ** 63n)],
    [19, "abc"],
  ]);
  const [chmod, odd, data] = await jsonOf(stream(1, mode(0o755), mode(2n ** 64n - 1n), write, END));
  expect(chmod).toEqual({ command: "chmod", segment: 0, index: 0, offset: 17, path: "p", mode: 0o755 });
  expect(odd).toMatchObject({ mode: "18446744073709551615" });
  expect(data).toMatchObject({ command: "write", file_offset: "9223372036854775808", data_len: 3 });
  expect(data).not.toHaveProperty("data_b64");
});

test("bytes come in base64 when asked for, and names that are not UTF-8 always", async () => {
  const link = commandOf(2, 8, [
    [15, Uint8Array.of(65, 255)],
    [3, u64(1)],
    [17, "ü"],
  ]);
  const write = commandOf(2, 15, [
    [15, "p"],
    [18, u64(0)],
    [19, new Uint8Array(20_000).fill(7)],
  ]);
  const [symlink, data] = await jsonOf(stream(2, link, write, END), true);
  expect(symlink).toMatchObject({ path: "A\ufffd", path_b64: "Qf8=", path_link: "ü" });
  expect(symlink).not.toHaveProperty("path_link_b64");
  expect(data!.data_b64).toBe(Buffer.alloc(20_000, 7).toString("base64"));
});

test("uuids, times and what no version knows have their forms", async () => {
  const commands = [
    commandOf(1, 2, [
      [15, "s"],
      [1, UUID],
      [2, u64(1)],
      [20, new Uint8Array(16)],
      [21, u64(2)],
    ]),
    commandOf(1, 20, [
      [15, "p"],
      [11, time(-1, 5)],
      [10, time(2)],
      [9, time(3)],
    ]),
    commandOf(1, 99, [
      [15, "p"],
      [77, "xyz"],
      [30, u32(2)],
    ]),
  ];
  const [snapshot, utimes, unknown, end] = await jsonOf(stream(1, ...commands, END));
  expect(snapshot).toMatchObject({ uuid: "00112233-4455-6677-8899-aabbccddeeff", clone_uuid: null, ctransid: "1" });
  expect(utimes).toMatchObject({ atime: { sec: "-1", nsec: 5 } });
  expect(unknown).toMatchObject({ command: "unknown", number: 99, path: "p", attribute_77_len: 3, compression: 2 });
  expect(end).toMatchObject({ command: "end", index: 3 });
});

test("of a name that comes twice the last one counts, its base64 too", async () => {
  const twice = commandOf(1, 11, [
    [15, Uint8Array.of(255)],
    [15, "plain"],
  ]);
  const [unlink] = await jsonOf(stream(1, twice, END));
  expect(unlink).toMatchObject({ path: "plain" });
  expect(unlink).not.toHaveProperty("path_b64");
});
