import { expect, test } from "vitest";
import { concatBytes } from "../bytes/bytes.ts";
import type { StreamItem } from "./commands.ts";
import { readStream } from "./reader.ts";

// Written byte by byte, as a kernel does: what the tests read does not come from our own writer.
const HEADER_V1 = Uint8Array.from([..."btrfs-stream\0\x01\0\0\0"].map((letter) => letter.charCodeAt(0)));
const END = Uint8Array.of(0, 0, 0, 0, 0x15, 0, 0x50, 0x6c, 0xc9, 0x9d);

async function itemsOf(input: Parameters<typeof readStream>[0]): Promise<StreamItem[]> {
  const items: StreamItem[] = [];
  for await (const item of readStream(input)) items.push(item);
  return items;
}

test("the smallest stream is a header and END", async () => {
  expect(await itemsOf(concatBytes([HEADER_V1, END]))).toEqual([{ name: "segment", version: 1 }, { name: "end" }]);
  expect(await itemsOf(concatBytes([HEADER_V1, END, HEADER_V1, END]))).toHaveLength(4);
});

test("a checksum that does not match is named with both values and its place", async () => {
  const damaged = concatBytes([HEADER_V1, END]);
  damaged[17 + 6]! ^= 1;
  await expect(itemsOf(damaged)).rejects.toThrow(
    "Cannot read command: checksum is 0x9dc96c50, header says 0x9dc96c51 (stream offset 17, command 0, END)",
  );
});
